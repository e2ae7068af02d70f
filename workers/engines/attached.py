"""What is said over a connection that is attached to a container's standard input and output.

Input goes as it is; output comes in frames with a head of 8 bytes: which stream, and how long.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

from penstock.tasks import cancel

_HEAD = struct.Struct(">BxxxL")
_STDOUT = 1
_CHUNK = 64 * 1024


async def talk(connection: socket.socket, event: bytes, limit: int) -> bytes:
    """Sends the event and reads what is written to standard output until that is closed, or until it is more than
    `limit` bytes. Raises OSError."""
    connection.setblocking(False)
    feeding = asyncio.create_task(_feed(connection, event))
    try:
        return await _drain(connection, limit)
    finally:
        await cancel((feeding,))


async def _feed(connection: socket.socket, event: bytes) -> None:
    with contextlib.suppress(ConnectionError):  # one that does not read to the end is no error
        await asyncio.get_running_loop().sock_sendall(connection, event)
        connection.shutdown(socket.SHUT_WR)


async def _drain(connection: socket.socket, limit: int) -> bytes:
    output, unread = bytearray(), bytearray()
    while len(output) <= limit:
        piece = await asyncio.get_running_loop().sock_recv(connection, _CHUNK)
        if not piece:
            break
        unread += piece
        while len(unread) >= _HEAD.size:
            stream, length = _HEAD.unpack_from(unread)
            if len(unread) < _HEAD.size + length:
                break
            if stream == _STDOUT:
                output += unread[_HEAD.size : _HEAD.size + length]
            del unread[: _HEAD.size + length]
    return bytes(output)
