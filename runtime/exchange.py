"""One HTTP request and the answer to it: what every style of function reads from and writes to.

It is the only place that speaks ASGI to the server.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]


class Disconnected(Exception):
    """The caller left before its request was whole."""


class BrokenOff(Exception):
    """A stream ended early in another process, which has described why."""

    def __init__(self, described: Mapping[str, Any]) -> None:
        super().__init__()
        self.described = described


class Refused(Exception):
    """The call is not made. Its answer is no error of the handler: status and JSON body."""

    def __init__(self, status: int, kind: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"errorType": kind, "errorMessage": message, "retryable": retryable}


class Exchange:
    def __init__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        self.scope = scope
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        """By lower-case name; of a repeated one the last."""
        self.started = False
        self.ended = False
        """The answer is whole: that the caller goes now is no cancel."""
        self._missing: int | None = None
        """Bytes of the body that are still to come; None if that was not announced."""
        self.receive = receive
        self.send = send

    async def body(self) -> bytes:
        """All of it. Raises Disconnected."""
        parts = []
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                return b"".join(parts)

    async def gone(self) -> None:
        """Returns when the caller has left, or the answer is whole. To be called after `body`, by one alone."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def start(self, status: int, headers: Headers) -> None:
        await self.forward({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def write(self, chunk: bytes) -> None:
        """Returns when the caller keeps up. An empty chunk sends nothing."""
        if chunk:
            await self.forward({"type": "http.response.body", "body": chunk, "more_body": True})

    async def end(self, last: bytes = b"") -> None:
        await self.forward({"type": "http.response.body", "body": last})

    async def forward(self, message: Message) -> None:
        """Sends a message of ASGI."""
        if message["type"] == "http.response.start":
            self.started = True
            bodiless = self.scope["method"] == "HEAD" or message["status"] in (204, 304)
            self._missing = 0 if bodiless else _length(message.get("headers", ()))
        elif message["type"] == "http.response.body":
            self.ended = self.ended or not message.get("more_body")
            if self._missing is not None:
                self._missing -= len(message.get("body", b""))
        if self._missing is not None and self._missing <= 0:
            self.ended = True  # the caller has all that was announced, although a last message may still come
        await self.send(message)

    async def answer(self, status: int, kind: str, body: bytes, headers: Headers = ()) -> None:
        named = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode()), *headers]
        await self.start(status, named)
        await self.end(body)

    async def answer_json(self, status: int, value: Any, headers: Headers = ()) -> None:
        await self.answer(status, "application/json", json.dumps(value).encode(), headers)


def _length(headers: Headers) -> int | None:
    return next((int(value) for name, value in headers if name.lower() == b"content-length"), None)


async def to_its_end(future: asyncio.Future[Any]) -> Any:
    """The result of what cannot be broken off, such as a thread: who is cancelled meanwhile waits all the same."""
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if not future.done():
            await asyncio.wait([future])
        if not future.cancelled():
            future.exception()  # looked at, so that nobody is told that no one did
        raise
