"""Calls that are a run of a container each, for functions without a web server.

An instance of such a function is a place that was kept for a run; its call starts the container. What is left of
that goes with the instance, or at once if the call was given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from penstock.blobs import Blobs
from penstock.invocation import Invocation, Response, Run
from workers import whole
from workers.answer import Answer, Malformed, NotSent
from workers.engines import Engine, EngineError, Order
from workers.instances import Instance
from workers.live import LiveRun
from workers.protocols.wire import Said

EVENT = "FC_CUSTOM_CONTAINER_EVENT"
_LONGEST = 128 * 1024
"""Bytes of a variable with its name, `=` and a zero, that Linux takes."""
_GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL for a run that was given up."""


class Once:
    stays = False
    adoptable = False  # its call went with the leader that made it

    def __init__(
        self, engine: Engine, blobs: Blobs, guard: Callable[[], Awaitable[None]], *, max_answer: int
    ) -> None:
        """`guard` returns once it is sure that this process leads. `max_answer`: bytes."""
        self._engine = engine
        self._blobs = blobs
        self._guard = guard
        self._max_answer = max_answer
        self._orders: dict[str, Order] = {}
        self._problems: dict[str, asyncio.Future[None]] = {}

    async def start(self, instance: Instance, order: Order) -> None:
        self._orders[instance.id] = order
        self._problems[instance.id] = asyncio.get_running_loop().create_future()

    async def ready(self, instance: Instance, listening: Callable[[], None]) -> None:
        listening()

    async def watch(self, instance: Instance) -> None:
        await asyncio.shield(self._problems[instance.id])

    async def call(self, instance: Instance, run: Run, live: LiveRun) -> Answer:
        event = await whole.event(run, self._blobs)
        env = {
            "PENSTOCK_INVOCATION": run.invocation.id,
            "PENSTOCK_ATTEMPT": str(run.invocation.attempt),
            "PENSTOCK_PROGRESS_URL": live.progress_url,
            **{name.upper(): value for name, value in live.trace.headers},
            **variable(event),
        }
        instance.spent = True
        await self._guard()
        try:
            order = replace(self._orders[instance.id], env=env)
            ran = await self._engine.run(order, event, limit=self._max_answer)
        except EngineError as error:
            # Like any start that fails: the call waits for the next one, or hears why there is none.
            self._problems[instance.id].set_exception(error)
            raise NotSent(str(error)) from error
        if len(ran.output) > self._max_answer:
            raise Malformed(f"the answer is longer than {self._max_answer} bytes, the limit")
        if ran.exit_code != 0:
            return _failed(ran.exit_code)
        said = Said(status=200, body=ran.output, content_type="application/octet-stream")
        return await whole.answer(said, live)

    async def lets_go(self, instance: Instance, invocation: Invocation) -> bool:
        await self._engine.stop(instance.id, grace=_GRACE)
        return True

    def leave(self, instance: Instance) -> None:
        self._orders.pop(instance.id, None)
        self._problems.pop(instance.id, None)


def variable(event: bytes) -> Mapping[str, str]:
    """The event as a variable of the environment; none for one that does not fit, or is not text."""
    try:
        text = event.decode()
    except UnicodeDecodeError:
        return {}
    fits = len(EVENT) + 1 + len(event) < _LONGEST
    return {EVENT: text} if fits and "\0" not in text else {}


def _failed(exit_code: int | None) -> Answer:
    what = "its exit code is not known" if exit_code is None else f"the run ended with exit code {exit_code}"
    return Answer(response=Response(status=500), body=b"", error=f"Exit: {what}")
