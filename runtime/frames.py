"""How the runtime and its handler processes talk: one frame is four bytes of length and a marshalled value.

marshal, since both ends are the same interpreter, and ASGI's messages are made of what it knows.
"""

from __future__ import annotations

import asyncio
import marshal
from typing import Any

DONE = "penstock.done"
"""Type of the message after the last one of a call: the process is free. It has `broken_off`, the description of
the error that ended a stream early, or None."""


async def read(reader: asyncio.StreamReader) -> Any:
    """None at the end."""
    try:
        size = int.from_bytes(await reader.readexactly(4), "big")
        return marshal.loads(await reader.readexactly(size))  # noqa: S302
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


async def write(writer: asyncio.StreamWriter, value: Any) -> None:
    """Returns when the other end keeps up. Raises ConnectionError."""
    data = marshal.dumps(value)
    writer.write(len(data).to_bytes(4, "big"))
    writer.write(data)
    await writer.drain()
