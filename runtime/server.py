"""The HTTP server around a handler: an ASGI application that speaks the container contract.

    POST /initialize        imports the user's module and runs its `initialize`, once
    GET  /pre-stop          the instance is about to be stopped
    GET  /.penstock/status  {"running": [request ids]}, asked when another worker adopts this instance
    any other path          one call of the handler with the body as its event

A handler that raises is answered with 500 and a `Penstock-Error` header; that header, not the status, is what
tells an error of the handler from an answer that says 500.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from runtime.context import Context, from_headers
from runtime.loader import Loaded

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

_TRACEBACK_LINES = 20
_LONGEST_MESSAGE = 8_000
_OURS = (
    str(Path(importlib.__file__).parent),
    str(Path(__file__).parent),
    str(Path(asyncio.__file__).parent.parent / "concurrent"),
    "<frozen importlib",
)


class Raised(Exception):
    """The user's code raised `error`. Wrapped, since StopIteration cannot pass through a coroutine, and SystemExit
    must end the call and not the server."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


class Disconnected(Exception):
    """The caller left before its request was whole."""


class Answer(Exception):
    """An answer that ends the call early."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


class Application:
    """`load` is called once, by the first request that needs the handler."""

    def __init__(self, load: Callable[[], Loaded], base: Context, *, event: str, concurrency: int) -> None:
        self._load = load
        self._base = base
        self._event = event
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="handler")
        self._loading: asyncio.Task[Loaded] | None = None
        self._running: set[str] = set()

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        error: BaseException | None = None
        try:
            body = await _read(receive)
            if path == "/.penstock/status":
                status, kind, answer = 200, "application/json", self._status()
            elif path == "/initialize":
                await self._loaded()
                status, kind, answer = 200, "text/plain", b""
            elif path == "/pre-stop":
                status, kind, answer = 200, "text/plain", b""
            else:
                kind, answer = _encode(await self._call(dict(scope["headers"]), body))
                status = 200
        except Answer as early:
            status, kind, answer, error = (
                early.status,
                "application/json",
                json.dumps(early.body).encode(),
                None,
            )
        except Disconnected:
            return
        except Exception as failure:
            error = failure.error if isinstance(failure, Raised) else failure
            lines = _user_traceback(error)
            sys.stderr.write("".join(lines))
            status, kind, answer = 500, "application/json", _describe(error, lines)
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(answer)).encode())]
        if error is not None:
            headers.append((b"penstock-error", type(error).__name__.encode("ascii", "replace")))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def _call(self, headers: Mapping[bytes, bytes], body: bytes) -> Any:
        loaded = await self._loaded()
        context = from_headers(self._base, headers)
        event = _parse(body) if self._event == "json" else body
        self._running.add(context.request_id)
        try:
            return await self._run(loaded.handler, event, context)
        finally:
            self._running.discard(context.request_id)

    async def _loaded(self) -> Loaded:
        # Shielded: a client that gives up must not cancel the start for those who still wait for it.
        if self._loading is None or (self._loading.done() and self._loading.exception() is not None):
            self._loading = asyncio.create_task(self._start())
        return await asyncio.shield(self._loading)

    async def _start(self) -> Loaded:
        loaded: Loaded = await asyncio.get_running_loop().run_in_executor(self._threads, _wrapped, self._load, ())
        if loaded.initialize is not None:
            await self._run(loaded.initialize, self._base)
        return loaded

    async def _run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Calls the user's code. Raises Raised."""
        if not inspect.iscoroutinefunction(function):
            return await asyncio.get_running_loop().run_in_executor(self._threads, _wrapped, function, args)
        try:
            return await function(*args)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            raise Raised(error) from error

    def _status(self) -> bytes:
        return json.dumps({"running": sorted(self._running)}).encode()


def _wrapped(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    try:
        return function(*args)
    except BaseException as error:
        raise Raised(error) from error


async def _read(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        message = f"this function takes JSON (event: json), and the body is none: {error}"
        raise Answer(400, {"errorType": "InvalidEvent", "errorMessage": message}) from error


def _encode(result: Any) -> tuple[str, bytes]:
    if isinstance(result, (bytes, bytearray, memoryview)):
        return "application/octet-stream", bytes(result)
    if isinstance(result, str):
        return "text/plain; charset=utf-8", result.encode()
    # Infinity and NaN are no JSON: a client could not read them.
    return "application/json", json.dumps(result, allow_nan=False).encode()


def _user_traceback(error: BaseException) -> list[str]:
    """The traceback from the user's first line on; how the call got there is not what they look for."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next
    return traceback.format_exception(type(error), error, trace)


def _describe(error: BaseException, lines: list[str]) -> bytes:
    message = {"errorType": type(error).__name__, "errorMessage": str(error)[:_LONGEST_MESSAGE]}
    return json.dumps({**message, "stackTrace": lines[-_TRACEBACK_LINES:]}).encode()
