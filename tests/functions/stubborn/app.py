"""Does not listen to SIGTERM."""

import signal
from typing import Any


async def initialize(context: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # on the loop, and so in the main thread, as signals need it


def handler(event: bytes, context: Any) -> bytes:
    return event
