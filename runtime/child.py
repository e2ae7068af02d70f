"""One handler process, which serves one call at a time over a socket.

It ends when the socket does: in peace between two calls, at once in the middle of one.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import signal
import socket
import sys
from dataclasses import replace
from typing import Any

from runtime import frames
from runtime.application import application
from runtime.exchange import Message
from runtime.server import Application
from runtime.settings import Settings


def serve(connection: socket.socket) -> None:
    """Until the other end is gone."""
    faulthandler.enable()
    # A signal to the whole group is for the parent to act on. Not SIG_IGN, which children of the handler inherit.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    settings = replace(Settings.read(os.environ), concurrency=1, workers="thread")
    asyncio.run(_serve(application(settings), connection))


async def _serve(app: Application, connection: socket.socket) -> None:
    reader, writer = await asyncio.open_connection(sock=connection)
    request = await frames.read(reader)
    while request is not None:
        call = asyncio.create_task(_call(app, writer, *request))
        following = asyncio.create_task(frames.read(reader))
        await asyncio.wait([call, following], return_when=asyncio.FIRST_COMPLETED)
        if following.done() and following.result() is None and not call.done():
            os._exit(1)  # the parent is gone
        await call
        request = await following
    await app.close()
    writer.close()


async def _call(app: Application, writer: asyncio.StreamWriter, scope: dict[str, Any], body: bytes) -> None:
    unread = [body]

    async def receive() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        await asyncio.Event().wait()  # a cancelled call is killed with its process
        raise AssertionError

    async def send(message: Message) -> None:
        await frames.write(writer, message)

    identity = dict(scope["headers"]).get(b"x-fc-request-id", b"").decode()
    await app(scope, receive, send)
    await frames.write(writer, {"type": frames.DONE, "broken_off": app.broken_off.pop(identity, None)})
