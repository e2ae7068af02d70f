"""A WSGI application (PEP 3333) as a function: Flask, Django, or a plain `handler(environ, start_response)`."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from runtime.context import Context
from runtime.exchange import Exchange
from runtime.slots import Slot, Threads

_END = object()


class WsgiFunction:
    def __init__(self, app: Any, slots: Threads, *, concurrency: int) -> None:
        self._app = app
        self._slots = slots
        self._threads = concurrency > 1

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def call(self, exchange: Exchange, body: bytes, context: Context) -> None:
        environ = _environ(exchange, body, context, threads=self._threads)
        async with self._slots.one() as slot:
            response = _Response()
            parts = await slot.run(self._app, environ, response.start)
            try:
                await _send(exchange, slot, response, parts)
            finally:
                if hasattr(parts, "close"):
                    await slot.run(parts.close)


class _Response:
    """What the application passes to `start_response`."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.written = io.BytesIO()
        """By the callable that `start_response` returns; only old frameworks use it."""

    def start(
        self, status: str, headers: Iterable[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        if self.status is not None and exc_info is None:
            raise RuntimeError("start_response was called twice")
        self.status = int(status.split(" ", 1)[0])
        self.headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return self.written.write


async def _send(exchange: Exchange, slot: Slot, response: _Response, parts: Iterable[bytes]) -> None:
    iterator: Iterator[bytes] = iter(parts)
    # An application may call start_response as late as with its first part that is not empty.
    part: Any = await slot.run(_next_part, iterator)
    if response.status is None:
        raise RuntimeError("the application answered without a call of start_response")
    await exchange.start(response.status, response.headers)
    await exchange.write(response.written.getvalue())
    while part is not _END:
        await exchange.write(part)
        part = await slot.run(_next_part, iterator)
    await exchange.end()


def _next_part(iterator: Iterator[bytes]) -> Any:
    """The next part that is not empty, or `_END`."""
    return next((part for part in iterator if part), _END)


def _environ(exchange: Exchange, body: bytes, context: Context, *, threads: bool) -> dict[str, Any]:
    scope = exchange.scope
    server, client = scope["server"] or ("", 0), scope["client"] or ("", 0)
    environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode().decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "REMOTE_ADDR": client[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": threads,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "penstock.context": context,
        "fc.context": context,
        "fc.request_uri": _uri(scope),
        "CONTENT_LENGTH": str(len(body)),
    }
    for raw, value in scope["headers"]:
        name = raw.decode("latin-1").upper().replace("-", "_")
        if name in ("CONTENT_LENGTH", "TRANSFER_ENCODING"):
            continue  # the body is whole by now
        key = name if name == "CONTENT_TYPE" else f"HTTP_{name}"
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ


def _uri(scope: Any) -> str:
    query = scope["query_string"].decode("latin-1")
    path = scope["raw_path"].decode("latin-1")
    return f"{path}?{query}" if query else path
