"""The user's function from its first request to its last: loaded and initialized once, called, stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from runtime.context import Context
from runtime.exchange import Exchange, Message, Send
from runtime.loader import Loaded
from runtime.slots import Threads, run


class Callee(Protocol):
    """What calls the user's code, for one kind of function."""

    async def start(self) -> None:
        """Once, before anything else."""

    async def call(self, exchange: Exchange, body: bytes, context: Context) -> None: ...

    async def stop(self) -> None:
        """Once, after the last call."""


class LoadedFunction:
    """`load` is run by the first request that needs the function; `callee` says what calls such a one."""

    def __init__(
        self, load: Callable[[], Loaded], callee: Callable[[Loaded], Callee], slots: Threads, base: Context
    ) -> None:
        self._load = load
        self._callee = callee
        self._slots = slots
        self._base = base
        self._starting: asyncio.Task[tuple[Loaded, Callee]] | None = None
        self._pre_stopped = False

    async def initialize(self, exchange: Exchange, context: Context) -> None:
        loaded, callee = await self._started()
        if loaded.kind == "event" or loaded.initialize is not None:
            await exchange.answer(200, "text/plain", b"")
        else:
            await _pass_on(exchange, context, callee)

    async def pre_stop(self, exchange: Exchange, context: Context) -> None:
        started = self._has_started()
        if started is None or started[0].kind == "event" or started[0].pre_stop is not None:
            await self._run_pre_stop()
            await exchange.answer(200, "text/plain", b"")
        else:
            await _pass_on(exchange, context, started[1])

    async def call(self, exchange: Exchange, body: bytes, context: Context) -> None:
        _, callee = await self._started()
        await callee.call(exchange, body, context)

    async def close(self) -> None:
        """After the last call."""
        started = self._has_started()
        if started is not None:
            await self._run_pre_stop()
            await started[1].stop()

    async def _started(self) -> tuple[Loaded, Callee]:
        # Shielded: a client that gives up must not cancel the start for those who still wait for it.
        if self._starting is None or (self._starting.done() and self._starting.exception() is not None):
            self._starting = asyncio.create_task(self._start())
        return await asyncio.shield(self._starting)

    def _has_started(self) -> tuple[Loaded, Callee] | None:
        task = self._starting
        return None if task is None or not task.done() or task.exception() is not None else task.result()

    async def _start(self) -> tuple[Loaded, Callee]:
        async with self._slots.one() as slot:
            loaded: Loaded = await slot.run(self._load)
        callee = self._callee(loaded)
        await callee.start()
        if loaded.initialize is not None:
            async with self._slots.one() as slot:
                await run(slot, loaded.initialize, self._base)
        return loaded, callee

    async def _run_pre_stop(self) -> None:
        """Once, whether the contract's request or the signal comes first."""
        started = self._has_started()
        if started is not None and started[0].pre_stop is not None and not self._pre_stopped:
            self._pre_stopped = True
            async with self._slots.one() as slot:
                await run(slot, started[0].pre_stop, self._base)


async def _pass_on(exchange: Exchange, context: Context, callee: Callee) -> None:
    """Gives a web application the request of a hook that it may have a route for."""
    tolerant = Exchange(exchange.scope, exchange.receive, _without_route_is_well(exchange.send))
    await callee.call(tolerant, await tolerant.body(), context)
    exchange.started, exchange.ended = tolerant.started, tolerant.ended


def _without_route_is_well(send: Send) -> Send:
    """Makes 200 of an answer that says no more than that there is no such route, or not for everybody."""
    replaced = False

    async def wrapped(message: Message) -> None:
        nonlocal replaced
        if message["type"] == "http.response.start" and 300 <= message["status"] < 500:
            replaced = True
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        elif not replaced:
            await send(message)
        elif message["type"] == "http.response.body" and not message.get("more_body"):
            await send({"type": "http.response.body"})

    return wrapped
