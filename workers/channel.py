"""HTTP to an instance: one call there and its answer back, and what exactly went wrong when there is none.

Whether bytes of a request had left decides whether it may be handed back untouched, so every failure says so.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from penstock import clock
from penstock.blobs import Blobs
from penstock.function import Function
from penstock.headers import crossing
from penstock.invocation import Response, Run
from penstock.settings import FcSettings
from workers import whole
from workers.answer import Answer, Busy, ChannelError, Lost, Malformed, NotSent, Raised
from workers.contract import ANSWER_HEADER, ERROR_HEADER, STATUS_HEADER, STATUS_PATH, call_headers
from workers.engines import Endpoint
from workers.live import LiveRun
from workers.protocols import WIRES
from workers.protocols.wire import BadEvent, NoRoom, Wire
from workers.recording import INLINE

_CHUNK = 64 * 1024
_STATUS_TIMEOUT = 1.0
_GRACE = 0.005
"""Seconds in which an answer without a length may end and count as a short one."""
_IDLE_CONNECTION = 30.0
"""Seconds; our own runtime keeps a connection for longer, so that it never closes one under a request."""


class Channel:
    def __init__(self, blobs: Blobs, *, max_answer: int, fc: FcSettings | None = None) -> None:
        """`max_answer`: bytes of the longest answer that is taken. `fc`: where a container is told that it is."""
        self.fc = fc or FcSettings()
        self._blobs = blobs
        self._max_answer = max_answer
        self._reusing = self._session(reuse=True)
        # A server that we did not write may close an idle connection at the moment we use it.
        self._fresh = self._session(reuse=False)

    @staticmethod
    def wire(function: Function) -> Wire:
        """How its containers want to be called."""
        return WIRES[function.spec.protocol]

    async def call(self, endpoint: Endpoint, function: Function, run: Run, live: LiveRun) -> Answer:
        """Runs one invocation on an instance; no time limit of its own. A long answer is handed to `live` as it
        comes. Raises NotSent, Busy, Lost, Malformed, Raised."""
        invocation, request = run.invocation, run.invocation.request
        wire = self.wire(function) if request.path is None else None
        method, path = wire.event(invocation) if wire else (request.method, request.path or "/")
        envelope = wire if wire is not None and wire.envelopes else None
        try:
            body = await self._body(run, envelope)
        except BadEvent as error:
            return whole.refusal(error)
        headers = CIMultiDict(call_headers(function, invocation, live.progress_url, self.fc))
        headers.update(body.headers)
        headers.update(live.trace.asks(method, endpoint, path, path if wire and not envelope else None))
        session = self._reusing if function.spec.path is not None else self._fresh
        began = clock.monotonic()
        try:
            async with session.request(
                method,
                _url(endpoint, path, request.query),
                headers=headers,
                data=body.data,
                allow_redirects=False,
            ) as reply:
                first_byte = clock.monotonic() - began
                live.trace.answered(reply.status)
                answer = await (self._open(reply, live, envelope) if envelope else self._read(reply, live))
                return replace(answer, first_byte=first_byte)
        except NoRoom as error:
            raise Busy(str(error)) from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotSent(f"cannot connect to the instance: {error}") from error
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            raise Lost("the instance closed the connection before its answer was complete") from error
        except aiohttp.ClientPayloadError as error:
            await self._ask_why(endpoint, function, invocation.id)
            raise Lost(f"the instance broke off its answer: {error}") from error
        except aiohttp.ClientError as error:
            raise Malformed(f"the instance's answer is not HTTP: {error}") from error

    async def ask(
        self,
        endpoint: Endpoint,
        method: str,
        path: str,
        *,
        timeout: float,
        headers: Iterable[tuple[str, str]] = (),
    ) -> tuple[int, str | None, bytes]:
        """A hook of the contract: status, the handler's error if there is one, body. Raises ChannelError."""
        try:
            async with self._fresh.request(
                method,
                _url(endpoint, path, ""),
                headers=CIMultiDict(headers),
                timeout=aiohttp.ClientTimeout(total=timeout),
                allow_redirects=False,
            ) as reply:
                body, _ = await _up_to(reply, _CHUNK)
                return reply.status, _handler_error(reply, body)[0], body
        except TimeoutError as error:
            raise Lost(f"{method} {path} took longer than {timeout:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Lost(f"{method} {path}: {error}") from error

    async def _ask_why(self, endpoint: Endpoint, function: Function, invocation_id: str) -> None:
        """Our own runtime can say why an answer broke off. Raises Raised if its handler did."""
        if function.spec.path is None:
            return
        try:
            _, _, status = await self.ask(endpoint, "GET", STATUS_PATH, timeout=_STATUS_TIMEOUT)
            why = json.loads(status)["broken_off"].get(invocation_id)
        except (ChannelError, ValueError, KeyError):
            return
        if why is not None:
            raise Raised(f"{why['errorType']}: {why['errorMessage']}")

    async def close(self) -> None:
        await self._reusing.close()
        await self._fresh.close()

    async def _body(self, run: Run, envelope: Wire | None) -> _Body:
        request = run.invocation.request
        if envelope is not None:
            wrapped = envelope.wrap(run.invocation, await whole.event(run, self._blobs))
            return _Body(wrapped, (("Content-Type", "application/json"),))
        if request.blob is None:
            return _Body(run.body, ())
        pieces = self._blobs.chunks(request.blob)
        try:
            first = await anext(pieces)
        except OSError as error:
            raise Malformed(f"the request's body is not in the blob folder any more: {error}") from error
        return _Body(_chained(first, pieces), (("Content-Length", str(request.size)),))

    async def _open(self, reply: aiohttp.ClientResponse, live: LiveRun, envelope: Wire) -> Answer:
        """An answer in a vendor's envelope, which is read to its end before anything of it is passed on."""
        body = bytearray()
        async for piece in reply.content.iter_any():
            body += piece
            self._check(len(body))
        return await whole.answer(envelope.unwrap(reply.status, bytes(body)), live)

    async def _read(self, reply: aiohttp.ClientResponse, live: LiveRun) -> Answer:
        response = Response(
            status=reply.status,
            headers=crossing(reply.headers.items()),
            lambda_style=reply.headers.get(ANSWER_HEADER) == "lambda",
        )
        failed = reply.headers.get(STATUS_HEADER) == "404"
        begun = await _beginning(reply)
        if begun.ended or ERROR_HEADER in reply.headers:
            body = begun.body if begun.ended else begun.body + (await _up_to(reply, _CHUNK))[0]
            self._check(len(body))
            error, retryable = _handler_error(reply, body)
            return Answer(
                response=replace(response, size=len(body)),
                body=body,
                error=error,
                retryable=retryable,
                marked_failed=failed,
            )
        size, blob, body = await self._follow(reply, live, response, begun.body)
        response = replace(response, size=size, blob=blob)
        return Answer(response=response, body=body, error=None, marked_failed=failed)

    async def _follow(
        self, reply: aiohttp.ClientResponse, live: LiveRun, response: Response, head: bytes
    ) -> tuple[int, str | None, bytes]:
        """An answer as it comes: its size, and its blob or its body."""
        length = reply.content_length
        if length is None:
            live.narrator.speaks(reply.headers.get("Content-Type", ""))
        recording = await live.answers(response, length)
        try:
            piece = head
            while True:
                if piece:
                    await recording.write(piece)
                    self._check(recording.size)
                    if length is None:
                        live.narrator.output(piece)
                piece = await reply.content.readany()
                if not piece:
                    break
            body, blob = await recording.finish()
        except BaseException:
            await recording.abandon()
            raise
        return recording.size, blob, body

    def _check(self, size: int) -> None:
        if size > self._max_answer:
            raise Malformed(f"the answer is longer than {self._max_answer} bytes, the limit")

    @staticmethod
    def _session(*, reuse: bool) -> aiohttp.ClientSession:
        connector = (
            aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_CONNECTION)
            if reuse
            else aiohttp.TCPConnector(limit=0, force_close=True)
        )
        session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5.0),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Content-Type", "Accept", "Accept-Encoding"),
            trust_env=False,
        )
        # aiohttp sends a GET or PUT a second time when the connection breaks; whether a call may run again is for
        # the verdict alone to say.
        session._retry_connection = False
        return session


@dataclass(frozen=True)
class _Body:
    """Of a request."""

    data: bytes | AsyncIterator[bytes]
    headers: tuple[tuple[str, str], ...]
    """Instead of the client's own."""


async def _chained(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


@dataclass(frozen=True)
class _Beginning:
    body: bytes
    ended: bool
    """True: that was all."""


async def _beginning(reply: aiohttp.ClientResponse) -> _Beginning:
    """The whole of a short answer; of a long one, or of one that comes bit by bit, what is there by now."""
    length = reply.content_length
    if length is not None:
        short = length <= INLINE
        return _Beginning(await reply.read() if short else b"", short)
    body = bytearray()
    try:
        async with asyncio.timeout(_GRACE):
            while len(body) <= INLINE:
                piece = await reply.content.readany()
                if not piece:
                    return _Beginning(bytes(body), True)
                body += piece
    except TimeoutError:
        pass
    return _Beginning(bytes(body), False)


async def _up_to(reply: aiohttp.ClientResponse, limit: int) -> tuple[bytes, bool]:
    """A body's beginning, a chunk beyond the limit at most, and whether there may be more of it."""
    body = bytearray()
    async for chunk in reply.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > limit:
            return bytes(body), True
    return bytes(body), False


async def listens(endpoint: Endpoint) -> bool:
    """True if something accepts a connection there."""
    try:
        # Not wait_for, which in Python 3.11 swallows a cancellation that comes as the connection is refused.
        async with asyncio.timeout(1.0):
            _, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
    except OSError:  # a TimeoutError is one
        return False
    writer.close()
    return True


@lru_cache(1024)
def _url(endpoint: Endpoint, path: str, query: str) -> URL:
    suffix = f"?{query}" if query else ""
    return URL(f"http://{endpoint.host}:{endpoint.port}{path}{suffix}", encoded=True)


def _handler_error(reply: aiohttp.ClientResponse, body: bytes) -> tuple[str | None, bool]:
    """What the handler raised, None if it did not; and whether it says that another attempt may help."""
    kind = reply.headers.get(ERROR_HEADER)
    if kind is None:
        return None, False
    try:
        said = json.loads(body)
        return f"{kind}: {said['errorMessage']}", said.get("retryable") is True
    except (ValueError, KeyError, TypeError, AttributeError):
        return kind, False
