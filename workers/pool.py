"""The instances of all functions: starts them, follows them, ends them. It never decides how many.

One task per instance sees it from its order to its end, so that whatever happens to it happens in one place.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping
from typing import Any

from penstock import clock
from penstock.errors import Stale
from penstock.function import Function
from penstock.instance import InstanceState
from penstock.invocation import Failure, FailureCode
from penstock.tasks import Tasks, cancel
from penstock.telemetry import catalogue as the
from penstock.telemetry import logs
from penstock.telemetry.traces import NOT_TRACED, Traces
from workers import tracing
from workers.answer import ChannelError
from workers.callers import Callers
from workers.channel import Channel
from workers.contract import hook_headers
from workers.crashloop import CrashLoop
from workers.engines import Engine, EngineError, Found, Order
from workers.figures import Figures
from workers.function_pool import FunctionPool
from workers.instances import Instance
from workers.placement import SLOTS, Board, Need
from workers.readiness import NotReady

log = logging.getLogger(__name__)

STOP_GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL."""


class _Dismissed(Exception):
    """The instance was told to go."""


class Pool:
    def __init__(
        self,
        engine: Engine,
        channel: Channel,
        callers: Callers,
        figures: Figures,
        *,
        epoch: int,
        board: Board,
        guard: Callable[[], Awaitable[None]],
        on_ready: Callable[[str], None],
        on_change: Callable[[str], None],
        traces: Traces = NOT_TRACED,
    ) -> None:
        """`guard` returns once it is sure that this process leads, and raises Stale if it no longer does.
        `on_ready` hears of a function with a new free slot, `on_change` of any change to a function's pool."""
        self._engine = engine
        self._channel = channel
        self._callers = callers
        self._figures = figures
        self._epoch = epoch
        self._guard = guard
        self._on_ready = on_ready
        self._on_change = on_change
        self._traces = traces
        self._tasks = Tasks()
        self.board = board
        """What each instance has reserved, from the decision to start it until it is gone."""
        self.functions: dict[str, FunctionPool] = {}
        """Those that are awake: something was asked of them lately, or stands ready."""
        self.paused: Mapping[str, int] = {}
        """Functions that an operator paused, also those that have no pool yet -> milliseconds since 1970."""
        self._asleep: dict[str, bytes] = {}
        """The others, as JSON: a registered function that nobody calls costs no more than its text."""

    def find(self, name: str) -> FunctionPool | None:
        """A function that is deployed and prepared, or being prepared; it is awake from now on."""
        stored = self._asleep.pop(name, None)
        if stored is not None:
            self._pool_of(Function.load(stored)).prepared = True
        return self.functions.get(name)

    def knows(self, name: str) -> bool:
        """It is deployed, awake or asleep."""
        return name in self.functions or name in self._asleep

    def lay_down(self, name: str) -> bool:
        """Forgets all but the text of a function that has nothing and lacks nothing; False if it has or does."""
        pool = self.functions[name]
        if pool.instances or not pool.settled or pool.deleted or pool.problem is not None or pool.warm:
            return False
        del self.functions[name]
        self._asleep[name] = pool.function.dump().encode()
        return True

    async def prepare(self, function: Function) -> str | None:
        """Of one that nobody waits for: it is ready, and asleep. Returns what its image is. Raises EngineError."""
        image = await self._engine.prepare(function)
        if function.name in self.functions:
            return await self.deploy(function)  # an instance of it was adopted
        self._asleep[function.name] = function.dump().encode()
        return image

    async def deploy(self, function: Function) -> str | None:
        """Makes a revision the current one once it is prepared; until then, and if it cannot be, the one before it
        goes on. Returns what its image is. Raises EngineError."""
        pool = self._pool_of(function)
        pool.deleted = False
        began = clock.monotonic()
        try:
            image = await self._engine.prepare(function)
        except EngineError as error:
            pool.problem = Failure(code=FailureCode.START_FAILED, message=str(error))
            raise
        preparation = {"preparation": (clock.monotonic() - began) * 1000}
        pool.coldstarts.took(preparation)
        self._figures.took(preparation)
        if pool.function.digest != function.digest:
            pool.crash = CrashLoop()
        pool.function, pool.prepared, pool.problem = function, True, None
        for instance in list(pool.instances.values()):
            if instance.function.digest != function.digest and instance.starting:
                self.drain(instance, _replaced(function))
        return image

    def remove(self, name: str) -> None:
        """Ends all instances of a function that is no longer deployed."""
        self._asleep.pop(name, None)
        self._engine.forget(name)
        pool = self.functions.get(name)
        if pool is None:
            return
        pool.deleted = True
        for instance in list(pool.instances.values()):
            self.drain(instance, "the function was deleted")
        if not pool.instances:
            del self.functions[name]

    def start(self, pool: FunctionPool, card: str, reason: str) -> None:
        """Starts one instance of a function that may start, on a card that has room for it."""
        instance = Instance(pool.function, identity=self._engine.standby(pool.function))
        instance.reason = reason
        self._figures.count(the.STARTS, pool.function.name).add()
        self._settle(pool, instance, card)
        self._on_change(pool.function.name)

    def _pool_of(self, function: Function) -> FunctionPool:
        """A new one is paused from the start if its function is: it must not run anything before that is seen."""
        pool = self.find(function.name) or self.functions.setdefault(function.name, FunctionPool(function))
        pool.paused = self.paused.get(function.name)
        return pool

    def _settle(self, pool: FunctionPool, instance: Instance, card: str | None) -> None:
        if card is not None:
            self.board.reserve(instance.id, need_of(instance.function), card)
        instance.card = card
        pool.instances[instance.id] = instance
        self._tasks.spawn(f"instance {instance.id}", self._live(pool, instance))

    def on_cards(self, cards: Collection[str]) -> list[Instance]:
        """Instances that have their place there."""
        every = (instance for pool in self.functions.values() for instance in pool.instances.values())
        return [instance for instance in every if instance.card in cards]

    def codes(self) -> set[str]:
        """Digests of the code that instances run."""
        every = (instance for pool in self.functions.values() for instance in pool.instances.values())
        return {instance.function.code for instance in every}

    def drain(self, instance: Instance, reason: str) -> None:
        """Gives it no new calls and ends it when its last one has."""
        if instance.leave.is_set():
            return
        instance.reason = reason
        instance.leave.set()
        log.info("instance %s goes: %s", instance.id, reason)

    async def adopt(
        self, found: Iterable[Found], functions: Mapping[str, Function], served: Collection[str]
    ) -> None:
        """Takes over what runs already; what no deployed revision wants is ended. `served` were ready once: the
        others may not have been initialized yet, and a hook of the user's own cannot be called twice."""
        for one in found:
            function = functions.get(one.function)
            ready = one.instance in served
            if function is None or (why := self._unfit(function, one, ready=ready)) is not None:
                log.info("instance %s goes: %s", one.instance, "its function is gone" if function is None else why)
                await self._guard()
                await self._engine.stop(one.instance, grace=STOP_GRACE if ready else 0.0)
                continue
            pool = self._pool_of(function)
            if one.instance in pool.instances:
                continue
            instance = Instance(function, identity=one.instance, started_at=one.started_at)
            instance.adopted, instance.ready_before, instance.reason = True, ready, "adopted"
            instance.endpoint = one.endpoint
            self._settle(pool, instance, self._card_of(one, function))

    def _unfit(self, function: Function, found: Found, *, ready: bool) -> str | None:
        """Why it cannot be adopted; None: it can."""
        if function.digest != found.digest:
            return "no deployed revision wants it"
        if not self._callers.of(function).adoptable:
            return "it answers to nobody but the leader that started it"
        return None if ready or _may_initialize_again(function) else "it was not ready yet"

    async def reconcile(self) -> None:
        """Removes instances of this deployment that nobody here knows of."""
        known = {instance for pool in self.functions.values() for instance in pool.instances}
        for one in await self._engine.adoptable():
            if one.instance not in known:
                log.warning("instance %s belongs to nobody: removed", one.instance)
                await self._guard()
                await self._engine.stop(one.instance, grace=STOP_GRACE)

    async def close(self) -> None:
        """Lets go of all instances; what becomes of them is the engine's to say."""
        await self._tasks.stop()

    async def _live(self, pool: FunctionPool, instance: Instance) -> None:
        """The whole life of one instance."""
        logs.about(instance.facts)
        try:
            await self._serve(pool, instance)
        except Stale:
            log.warning("instance %s is left to the next leader", instance.id)
        except EngineError as error:
            log.warning("instance %s is left to the next look for strays: %s", instance.id, error)
        finally:
            instance.end()
            del pool.instances[instance.id]
            self.board.release(instance.id)
            if pool.deleted and not pool.instances:
                self.functions.pop(pool.function.name, None)
            self._on_change(pool.function.name)

    async def _serve(self, pool: FunctionPool, instance: Instance) -> None:
        """From its start until it is stopped. Raises Stale when this process no longer leads."""
        try:
            await (self._settle_in(pool, instance) if instance.adopted else self._start(pool, instance))
            instance.became_ready()
            tracing.of_start(self._traces, instance)
            self._replace(pool, instance)
            self._on_change(pool.function.name)
            self._on_ready(pool.function.name)
            await self._race(instance, self._callers.of(instance.function).watch(instance))
        except _Dismissed:
            if instance.spent:
                pool.crash = pool.crash.ready()  # its only run has begun
            await self._retire(pool, instance)
        except (EngineError, NotReady, ChannelError) as error:
            await self._failed(pool, instance, str(error))

    def _replace(self, pool: FunctionPool, ready: Instance) -> None:
        """One that is ready replaces one of an older revision, an idle one first."""
        outdated = sorted(pool.outdated(), key=lambda one: one.in_flight)
        if outdated and ready.function.digest == pool.function.digest:
            self.drain(outdated[0], _replaced(pool.function))

    def _card_of(self, found: Found, function: Function) -> str | None:
        """Where an adopted instance has its place; None: it was started before it needed one."""
        need = need_of(function)
        return found.gpu if need.gpu else SLOTS

    async def _start(self, pool: FunctionPool, instance: Instance) -> None:
        instance.move(InstanceState.STARTING)
        self._on_change(pool.function.name)
        await self._guard()
        gpu = instance.card if instance.card != SLOTS else None
        order = Order(instance=instance.id, function=instance.function, epoch=self._epoch, gpu=gpu)
        caller = self._callers.of(instance.function)
        await caller.start(instance, order)
        instance.stage("listening")
        await self._until_ready(pool, instance)
        timeline = {**instance.timeline, InstanceState.INITIALIZING: instance.in_stage_ms()}
        pool.memory.started(sum(timeline.values()) / 1000)
        pool.coldstarts.starts += 1
        pool.coldstarts.took(timeline)
        self._figures.started(pool.function.name, timeline)
        if caller.stays:
            pool.crash = pool.crash.ready()

    async def _settle_in(self, pool: FunctionPool, instance: Instance) -> None:
        instance.move(InstanceState.STARTING)
        await self._until_ready(pool, instance)

    async def _until_ready(self, pool: FunctionPool, instance: Instance) -> None:
        def listening() -> None:
            instance.move(InstanceState.INITIALIZING)
            self._on_change(pool.function.name)

        await self._race(instance, self._callers.of(instance.function).ready(instance, listening))

    async def _race(self, instance: Instance, work: Coroutine[Any, Any, None]) -> None:
        """Does `work` unless the instance ends first (EngineError) or is told to go (_Dismissed)."""
        working = asyncio.create_task(work)
        ended = asyncio.create_task(self._exited(instance))
        leaving = asyncio.create_task(instance.leave.wait())
        try:
            await asyncio.wait([working, ended, leaving], return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                await working
            elif ended.done():
                code = ended.result()
                raise EngineError("it ended by itself" + (f" with exit code {code}" if code is not None else ""))
            else:
                raise _Dismissed
        finally:
            await cancel((working, ended, leaving))

    async def _exited(self, instance: Instance) -> int | None:
        """Waits until it has ended by itself."""
        if not self._callers.of(instance.function).stays:
            await asyncio.Event().wait()  # its end is that of its call
        return await self._engine.exited(instance.id)

    async def _retire(self, pool: FunctionPool, instance: Instance) -> None:
        """Waits for its calls, says goodbye and stops it."""
        instance.move(InstanceState.DRAINING)
        self._on_change(pool.function.name)
        ended = asyncio.create_task(self._exited(instance))
        quiet = asyncio.create_task(instance.quiet.wait())
        await asyncio.wait([quiet, ended], return_when=asyncio.FIRST_COMPLETED)
        hook = instance.function.spec.lifecycle.pre_stop
        if hook is not None and instance.endpoint is not None and not ended.done():
            try:
                headers = hook_headers(instance.function, instance.id, "/pre-stop", self._channel.fc)
                await self._channel.ask(instance.endpoint, "GET", hook.path, timeout=hook.timeout, headers=headers)
            except ChannelError as error:
                log.warning("instance %s: pre-stop: %s", instance.id, error)
        quiet.cancel()
        ended.cancel()
        self._callers.of(instance.function).leave(instance)
        await self._guard()
        await self._engine.stop(instance.id, grace=STOP_GRACE)

    async def _failed(self, pool: FunctionPool, instance: Instance, message: str) -> None:
        if instance.starting:
            tracing.of_start(self._traces, instance, message)
        tail = (await self._engine.log_tail(instance.id)).strip()
        failure = Failure(code=FailureCode.START_FAILED, message=message, log_tail=tail or None)
        self._figures.count(the.START_FAILURES, pool.function.name).add()
        if instance.function.digest == pool.function.digest:
            pool.crash = pool.crash.failed(failure, clock.monotonic())
        log.warning("instance %s: %s%s", instance.id, message, f"\n{tail}" if tail else "")
        self._callers.of(instance.function).leave(instance)
        await self._guard()
        await self._engine.stop(instance.id, grace=0)


def _may_initialize_again(function: Function) -> bool:
    """Our own runtime does its work once, however often it is asked."""
    return function.spec.path is not None or function.spec.initialize is None


def need_of(function: Function) -> Need:
    """What one instance of it takes."""
    gpu = function.spec.resources.gpu
    return Need() if gpu is None else Need(gpu=True, memory=gpu.memory, type=gpu.type, mode=gpu.mode)


def _replaced(function: Function) -> str:
    return f"revision {function.revision} replaces it"
