"""One call of an event handler: event in, answer or stream out."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from runtime.answers import encode, stream_encoder
from runtime.context import Context
from runtime.exchange import Exchange
from runtime.handlers import Handler
from runtime.slots import Slot, Threads, awaited, run

_FLUSH = 1.0
"""Seconds that an answer waits for the progress that was reported before it."""
_END = object()


class EventFunction:
    def __init__(self, handler: Handler, slots: Threads) -> None:
        self._handler = handler
        self._slots = slots

    async def start(self) -> None:
        await set_up(self._handler, self._slots)

    async def stop(self) -> None:
        pass

    async def call(self, exchange: Exchange, body: bytes, context: Context) -> None:
        event = event_of(self._handler, exchange, body)
        async with self._slots.one() as slot:
            result = await run(slot, self._handler.call, event, context, on_loop=self._handler.on_loop)
            if hasattr(result, "__next__") or hasattr(result, "__anext__"):
                await _send_stream(exchange, context, _Stream(slot, result))
            else:
                await send_answer(exchange, context, self._handler, result)


async def set_up(handler: Handler, slots: Threads) -> None:
    """Runs a predictor's own setup. Raises Raised."""
    if handler.setup is not None:
        async with slots.one() as slot:
            await run(slot, handler.setup)


def event_of(handler: Handler, exchange: Exchange, body: bytes) -> Any:
    """Raises Refused."""
    if handler.lambda_style and exchange.headers.get(b"x-fc-control-path") == b"/http-invoke":
        return _http_event(exchange.scope, body)
    return handler.parse(body)


async def send_answer(exchange: Exchange, context: Context, handler: Handler, result: Any) -> None:
    """Raises TypeError, ValueError for a result that is no answer."""
    kind, body, marks = encode(result, lambda_style=handler.lambda_style)
    await _flush(context)
    await exchange.answer(200, kind, body, marks)


class _Stream:
    """What a handler yields, one at a time."""

    def __init__(self, slot: Slot, source: Any) -> None:
        self._slot = slot
        self._source = source
        self._asynchronous = hasattr(source, "__anext__")

    async def next(self) -> Any:
        """`_END` after the last. Raises Raised."""
        if self._asynchronous:
            return await awaited(anext(self._source, _END))
        return await self._slot.run(next, self._source, _END)

    async def close(self) -> None:
        """Ends a generator that is not at its end. Raises Raised."""
        if self._asynchronous:
            if hasattr(self._source, "aclose"):
                await awaited(self._source.aclose())
        elif hasattr(self._source, "close"):
            await self._slot.run(self._source.close)


async def _send_stream(exchange: Exchange, context: Context, stream: _Stream) -> None:
    try:
        item = await stream.next()
        kind, encoded = stream_encoder(b"" if item is _END else item)
        while item is not _END:
            chunk = encoded(item)
            if not exchange.started:  # only now, so that a handler that raises at once is an error like any other
                await exchange.start(200, [(b"content-type", kind.encode())])
            await exchange.write(chunk)
            item = await stream.next()
    finally:
        await stream.close()
    await _flush(context)
    if exchange.started:
        await exchange.end()
    else:
        await exchange.answer(200, kind, b"")


async def _flush(context: Context) -> None:
    if context.reporter is not None and context.reported:
        await asyncio.wait([asyncio.wrap_future(context.reporter.flush())], timeout=_FLUSH)


def _http_event(scope: Mapping[str, Any], body: bytes) -> dict[str, Any]:
    """An HTTP call as Lambda's function URLs and HTTP APIs show it: payload format 2.0."""
    headers = _joined((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
    query = scope["query_string"].decode("latin-1")
    parameters = _joined(parse_qsl(query, keep_blank_values=True))
    text, is_base64 = _text(body)
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": scope["path"],
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "http": {"method": scope["method"], "path": scope["path"], "protocol": "HTTP/1.1"},
            "requestId": headers.get("x-fc-request-id", ""),
        },
        "isBase64Encoded": is_base64,
    }
    if parameters:
        event["queryStringParameters"] = parameters
    if "cookie" in headers:
        event["cookies"] = headers["cookie"].split("; ")
    return event | ({"body": text} if body else {})


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """What occurs several times becomes one value with commas."""
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _text(body: bytes) -> tuple[str, bool]:
    try:
        return body.decode(), False
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), True
