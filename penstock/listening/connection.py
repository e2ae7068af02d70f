"""One connection: aiohttp's own, which parses and calls the handlers, with limits in time around it.

Nothing is done per request but to note what is going on; `look`, once a second, decides. What is overridden is
what aiohttp's documentation or its public names offer; tests/unit/penstock/test_listener.py tells when that
changes.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

from aiohttp import StreamReader, hdrs, web
from aiohttp.http_exceptions import LineTooLong

from penstock.errors import RequestTimedOut
from penstock.listening.limits import Limits, Progress

log = logging.getLogger(__name__)

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_ACKED = struct.Struct("=120xQ")
"""Of Linux' struct tcp_info: tcpi_bytes_acked, since 4.1."""

Refuse = Callable[[int, str, str], web.Response]
"""How a listener says no: status, code, detail."""


class Connection(web.RequestHandler):
    __slots__ = (
        "_answered",
        "_awaits_continue",
        "_body",
        "_busy",
        "_head_since",
        "_held",
        "_left",
        "_limits",
        "_reading",
        "_refuse",
        "_silent",
        "_socket",
        "_upload",
        "_wire",
    )

    def __init__(
        self,
        server: web.Server,
        sock: socket.socket,
        limits: Limits,
        refuse: Refuse,
        left: Callable[[Connection], None],
        **options: Any,
    ) -> None:
        """`left` is called when it is over."""
        super().__init__(server, keepalive_timeout=limits.idle_timeout, **options)
        self._limits = limits
        self._refuse = refuse
        self._left = left
        self._socket = sock
        self._wire: asyncio.Transport | None = None
        self._silent = True
        self._busy = False
        """A request is being answered."""
        self._head_since: float | None = self._loop.time()
        """When the headers that are awaited began; None: nothing has come of the next request."""
        self._body: StreamReader | None = None
        """Of the latest request."""
        self._held = False
        """We do not read, because what has come is not yet taken."""
        self._awaits_continue = False
        self._upload: Progress | None = None
        self._reading: Progress | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.Transport, transport)  # uvloop's is not derived from it
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._left(self)

    def data_received(self, data: bytes) -> None:
        self._silent = False
        if self._head_since is None and not self._busy and (self._body is None or self._body.is_eof()):
            self._head_since = self._loop.time()
        super().data_received(data)

    def pause_reading(self) -> None:
        self._held = True
        super().pause_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:
        if self._held:  # aiohttp calls it after each read
            self._held = False
            self._upload = None
        super().resume_reading(resume_parser)

    def begin(self, message: Any, body: StreamReader) -> tuple[Any, StreamReader]:
        """A request that is about to be answered, as its handler is to see it."""
        self._busy = True
        self._head_since = None
        self._body = body
        self._upload = None if body.is_eof() else Progress(self._loop.time(), body.total_bytes)
        if hdrs.EXPECT in message.headers:
            # aiohttp would ask for the body before anybody has looked whether the request may be made at all.
            headers = message.headers.copy()
            expected = headers.popall(hdrs.EXPECT)
            message = message._replace(headers=type(message.headers)(headers))
            if [word.lower() for word in expected] == ["100-continue"] and not body.is_eof():
                self._awaits_continue = not body.total_bytes
                return message, _Asked(body, self._ask)  # type: ignore[return-value]
        return message, body

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """`True` with the answer: the connection ends."""
        body = self._body
        useless = body is not None and (
            body.exception() is not None or (self._awaits_continue and not body.total_bytes)
        )
        if useless and not resp.prepared:
            resp.force_close()
        try:
            resp, reset = await super().finish_response(request, resp, start_time)
        finally:
            self._busy = False
        # aiohttp would wait for the rest of a body of which nothing more will come.
        return resp, reset or useless

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What aiohttp's parser refused, told without a word of its own."""
        if status >= 500:
            log.error("a handler failed", exc_info=exc)
        else:
            log.debug("%s sent no HTTP: %s", request.remote, exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        response = self._refuse(*_reason(status, exc))
        response.headers["Server"] = "penstock"  # aiohttp would say which versions of what
        response.force_close()
        return response

    def look(self, now: float) -> None:
        """Ends what has taken too long at the time `now`."""
        limits = self._limits
        if self.writing_paused:
            self._look_at_reader(now)
        else:
            self._reading = None
        body = self._body
        if body is not None and not body.is_eof():
            if self._busy:
                self._look_at_body(body, now)
        elif not self._busy and self._head_since is not None and now - self._head_since >= limits.header_timeout:
            self._head_since = None
            if not self._silent and self._wire is not None:
                self._wire.write(wire(self._refuse(408, *_too_slow("the headers", limits.header_timeout))))
            self.force_close()

    def abort(self) -> None:
        """Ends it at once."""
        if self._wire is not None:
            self._wire.abort()

    def _look_at_body(self, body: StreamReader, now: float) -> None:
        if self._held:
            return
        if self._upload is None:  # it was held
            self._upload = Progress(now, body.total_bytes)
        limits = self._limits
        if body.exception() is None and self._upload.stalled(
            now, body.total_bytes, length=limits.body_timeout, rate=limits.least_rate
        ):
            body.set_exception(RequestTimedOut(_too_slow("the body", limits.body_timeout)[1]))

    def _look_at_reader(self, now: float) -> None:
        """A client that takes nothing is ended by the kernel, see Listener; this is for one that takes sips."""
        acked = _acked(self._socket)
        if acked is None:
            return
        if self._reading is None:
            self._reading = Progress(now, acked)
        limits = self._limits
        if self._reading.stalled(now, acked, length=limits.write_timeout, rate=limits.least_rate):
            log.info("%s takes its answer too slowly", self.peername)
            self.abort()

    def _ask(self) -> None:
        """The client waits to be asked for its body (RFC 9110, 10.1.1)."""
        if self._awaits_continue:
            self._awaits_continue = False
            if self._wire is not None and self._body is not None and not self._body.total_bytes:
                self._wire.write(_CONTINUE)


class _Asked:
    """A body that its client sends only when it is asked to, which is when it is first read."""

    def __init__(self, body: StreamReader, ask: Callable[[], None]) -> None:
        self._body = body
        self._ask = ask

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("read", "iter")):
            self._ask()
        return getattr(self._body, name)

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._ask()
        return self._body.__aiter__()


def wire(response: web.Response) -> bytes:
    """The whole response, for a client that is given no other."""
    body = (response.text or "").encode()
    head = [f"HTTP/1.1 {response.status} {response.reason}", f"Content-Length: {len(body)}", "Connection: close"]
    head += [f"{name}: {value}" for name, value in response.headers.items() if name != hdrs.CONTENT_LENGTH]
    return "\r\n".join([*head, "", ""]).encode() + body


def _reason(status: int, exc: BaseException | None) -> tuple[int, str, str]:
    """Status, code and detail."""
    if status >= 500:
        return 500, "internal_error", "the gateway failed; its log says why"
    if isinstance(exc, LineTooLong):
        begins = exc.args[0] if exc.args else b""
        if isinstance(begins, bytes | bytearray) and begins.startswith((b"/", b"http")):
            return 414, "invalid_request", "the request's target is longer than 8190 bytes"
        return 431, "invalid_request", "one of the request's headers is longer than 8190 bytes"
    if exc is not None and "Too many headers" in str(exc):
        return 431, "invalid_request", "the request has more headers than 128"
    return 400, "invalid_request", "this is no valid HTTP/1.1 request"


def _too_slow(what: str, seconds: float) -> tuple[str, str]:
    return RequestTimedOut.code, f"{what} did not come in {seconds:g} s"


def _acked(sock: socket.socket) -> int | None:
    """Bytes that the client's side has received; None: nobody knows."""
    try:
        return int(_ACKED.unpack(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKED.size))[0])
    except (OSError, struct.error):
        return None
