"""Calls that are sent to the server of an instance: whether it is ready, well, and has let go of a call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from penstock import clock
from penstock.invocation import Invocation, Run
from workers.answer import Answer, ChannelError
from workers.channel import Channel, listens
from workers.contract import STATUS_PATH
from workers.engines import Engine, Order
from workers.instances import Instance
from workers.live import LiveRun
from workers.protocols.wire import NeverReady
from workers.readiness import NotReady, health_path, wait_until_ready

_LIVENESS_PERIOD = 3.0
_LIVENESS_TIMEOUT = 1.0
_LIVENESS_FAILURES = 3
_GRACE = 2.0
"""Seconds that an instance has to let go of a call."""
_POLL = 0.1
_STATUS_POLL = 0.5
_STATUS_TIMEOUT = 5.0
_CANCEL_TIMEOUT = 1.0


class Push:
    stays = True
    adoptable = True

    def __init__(self, channel: Channel, engine: Engine) -> None:
        self._channel = channel
        self._engine = engine

    async def start(self, instance: Instance, order: Order) -> None:
        instance.endpoint = await self._engine.start(order)

    async def ready(self, instance: Instance, listening: Callable[[], None]) -> None:
        if instance.ready_before:
            listening()
        else:
            endpoint = instance.endpoint
            assert endpoint is not None, "it was started"
            await wait_until_ready(
                self._channel, self._engine, instance.id, endpoint, instance.function, listening
            )
        if instance.adopted and instance.function.spec.path is not None:
            while await self._running(instance):  # noqa: ASYNC110 - for its last leader
                await asyncio.sleep(_STATUS_POLL)

    async def watch(self, instance: Instance) -> None:
        wire = self._channel.wire(instance.function)
        health = health_path(instance.function, wire)
        endpoint = instance.endpoint
        assert endpoint is not None, "it serves"
        failures = 0
        while failures < _LIVENESS_FAILURES:
            await asyncio.sleep(_LIVENESS_PERIOD)
            if health is None:
                continue
            try:
                status, _, body = await self._channel.ask(endpoint, "GET", health, timeout=_LIVENESS_TIMEOUT)
                failures = 0 if wire.healthy(status, body) else failures + 1
            except (ChannelError, NeverReady):
                failures += 1
        raise NotReady(f"its health check failed {failures} times in a row")

    async def call(self, instance: Instance, run: Run, live: LiveRun) -> Answer:
        assert instance.endpoint is not None, "it serves"
        return await self._channel.call(instance.endpoint, instance.function, run, live)

    async def lets_go(self, instance: Instance, invocation: Invocation) -> bool:
        assert instance.endpoint is not None, "it serves"
        cancel = self._channel.wire(instance.function).cancel(invocation)
        try:
            if instance.function.spec.path is not None:
                return await self._has_ended(instance, invocation)
            if cancel is not None and invocation.request.path is None:
                return await self._is_cancelled(instance, cancel)
        except ChannelError:
            return False  # it does not answer: as stuck as one that says so
        # Any other server must be thought to go on with a call that was aborted, and to have let go of one whose
        # connection it closed itself, if it still listens.
        return instance.suspect and await listens(instance.endpoint)

    def leave(self, instance: Instance) -> None:
        pass  # its server needs no word of ours

    async def _has_ended(self, instance: Instance, invocation: Invocation) -> bool:
        """By the word of our own runtime."""
        deadline = clock.monotonic() + _GRACE
        while invocation.id in await self._running(instance):
            if clock.monotonic() > deadline:
                return False
            await asyncio.sleep(_POLL)
        return True

    async def _is_cancelled(self, instance: Instance, path: str) -> bool:
        """Of a server that can cancel, until it knows the call no more."""
        assert instance.endpoint is not None, "it serves"
        deadline = clock.monotonic() + _GRACE
        while clock.monotonic() < deadline:
            status, _, _ = await self._channel.ask(instance.endpoint, "POST", path, timeout=_CANCEL_TIMEOUT)
            if status == 404:
                return True
            await asyncio.sleep(_POLL)
        return False

    async def _running(self, instance: Instance) -> list[str]:
        """Ids of the calls that our own runtime says it runs. Raises ChannelError."""
        assert instance.endpoint is not None
        _, _, body = await self._channel.ask(instance.endpoint, "GET", STATUS_PATH, timeout=_STATUS_TIMEOUT)
        running: list[str] = json.loads(body)["running"]
        return running
