"""The HTTP server around a function: an ASGI application that speaks the container contract.

    POST /initialize        imports the user's module and runs its `initialize`, once
    GET  /pre-stop          the instance is about to be stopped: runs the module's `pre_stop`
    GET  /.penstock/status  which calls run, and which streams broke off (see `_status`)
    any other path          one call

A web application that has routes of its own for the first two gets these requests, too; from an HTTP call
(`x-fc-control-path: /http-invoke`) any path is the application's.

A handler that raises is answered with 500 and a `Penstock-Error` header; that header, not the status, is what
tells an error of the handler from an answer that says 500. If it raises in the middle of a stream the connection
is broken off, and the status path tells why.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Mapping
from typing import Any, Protocol

from runtime.context import Context, from_headers
from runtime.errors import Raised, describe, header, user_traceback
from runtime.exchange import BrokenOff, Disconnected, Exchange, Receive, Refused, Send

_REMEMBERED = 64
"""Broken-off streams."""


class Function(Protocol):
    """What serves the requests: the function itself, or processes that each hold one."""

    async def initialize(self, exchange: Exchange, context: Context) -> None: ...

    async def pre_stop(self, exchange: Exchange, context: Context) -> None: ...

    async def call(self, exchange: Exchange, body: bytes, context: Context) -> None: ...

    async def close(self) -> None: ...


class Application:
    def __init__(self, function: Function, base: Context) -> None:
        self._function = function
        self._base = base
        self._running: dict[Exchange, str] = {}
        self.broken_off: dict[str, Mapping[str, Any]] = {}
        """Request id → what was wrong with a stream that ended early."""

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        exchange = Exchange(scope, receive, send)
        context = from_headers(self._base, exchange.headers)
        try:
            await self._route(exchange, context)
        except Refused as refused:
            await exchange.answer_json(refused.status, refused.body)
        except Disconnected:
            pass
        except asyncio.CancelledError as cancelled:
            if context.cancelled:
                return  # nobody waits for an answer
            if (task := asyncio.current_task()) and task.cancelling():
                raise  # the server ends
            await self._fail(exchange, context, cancelled)  # the user's own code made it up
        except BrokenOff as broken:
            self._remember(context, broken.described)
        except Exception as failure:
            if not context.cancelled:
                await self._fail(exchange, context, failure.error if isinstance(failure, Raised) else failure)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def close(self) -> None:
        """After the last call."""
        try:
            await self._function.close()
        except Exception as failure:
            _log(user_traceback(failure.error if isinstance(failure, Raised) else failure))

    async def _route(self, exchange: Exchange, context: Context) -> None:
        outside = exchange.headers.get(b"x-fc-control-path") == b"/http-invoke"
        if exchange.path == "/.penstock/status":
            await exchange.answer_json(200, self._status())
        elif outside or exchange.path not in ("/initialize", "/pre-stop"):
            await self._call(exchange, context)
        elif exchange.path == "/initialize":
            if card := exchange.headers.get(b"penstock-gpu"):
                # Told only now, before anything of the user's is imported: this instance may have stood by.
                os.environ["CUDA_VISIBLE_DEVICES"] = card.decode()
            await self._function.initialize(exchange, context)
        else:
            await self._function.pre_stop(exchange, context)

    async def _call(self, exchange: Exchange, context: Context) -> None:
        body = await exchange.body()
        task = asyncio.current_task()
        assert task is not None

        def left(watch: asyncio.Task[None]) -> None:
            if not watch.cancelled() and not exchange.ended:
                context.cancelled = True
                task.cancel()

        self._running[exchange] = context.request_id
        watch = asyncio.create_task(exchange.gone())
        watch.add_done_callback(left)
        try:
            await self._function.call(exchange, body, context)
        finally:
            watch.remove_done_callback(left)
            watch.cancel()
            del self._running[exchange]

    async def _fail(self, exchange: Exchange, context: Context, error: BaseException) -> None:
        lines = user_traceback(error)
        _log(lines)
        described = describe(error, lines)
        if not exchange.started:
            await exchange.answer_json(500, described, [header(error)])
        elif not exchange.ended:  # uvicorn closes the connection of an answer that is not whole
            self._remember(context, described)

    def _remember(self, context: Context, described: Mapping[str, Any]) -> None:
        self.broken_off[context.request_id] = described
        while len(self.broken_off) > _REMEMBERED:
            del self.broken_off[next(iter(self.broken_off))]

    def _status(self) -> Mapping[str, Any]:
        """`running`: request ids of what runs or waits for a slot, a cancelled handler that goes on included;
        `broken_off`: request id → the error that ended its stream, of the latest ones."""
        return {"running": sorted(self._running.values()), "broken_off": self.broken_off}


def _log(lines: list[str]) -> None:
    with contextlib.suppress(Exception):  # the user's code may have closed or replaced it
        sys.stderr.write("".join(lines))
