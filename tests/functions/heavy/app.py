"""Takes its time to start, as something that loads a model does."""

import time
from typing import Any


def initialize(context: Any) -> None:
    time.sleep(2)


def handler(event: bytes, context: Any) -> bytes:
    return event
