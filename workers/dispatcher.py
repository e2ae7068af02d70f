"""Brings queued invocations to free slots: take, call, classify, settle.

One task per call. A slot whose take finds something wakes the next slot, so that one hint serves any number of
jobs; a hint that is lost costs at most the second until the next sweep. Slots are freed before the outcome is
written, so that the next take travels in the same pipeline.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from penstock import clock
from penstock.errors import Stale, StoreUnavailable
from penstock.invocation import Event, Failure, FailureCode, Invocation, Outcome, Run, State
from penstock.store import Store
from penstock.tasks import Tasks
from penstock.telemetry import logs
from penstock.telemetry.traces import NOT_TRACED, Traces
from workers import facts, tracing, verdict
from workers.answer import Answer, ChannelError, Lost, NotSent
from workers.callers import Callers
from workers.engines import Engine
from workers.figures import Figures
from workers.instances import Instance
from workers.live import LiveRun, LiveRuns, Shared
from workers.pool import Pool
from workers.verdict import Finish, HandBack, RunFacts, TryAgain, Verdict

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_STORE_PAUSE = 0.5
_STUCK_POLL = 1.0
_REFUSALS = 8
"""In a row, of an instance that runs nothing of ours."""
_SHORTEST_REST = 0.02
_EXIT_GRACE = 1.0
"""Seconds within which an instance whose connection broke is seen to have ended, if it has."""
_STOPPED = Outcome(
    event=Event.FAIL,
    failure=Failure(code=FailureCode.INSTANCE_LOST, message="the workers process was stopped during the run"),
)


@dataclass
class _Takes:
    """Of one function."""

    under_way: int = 0
    more: bool = False
    """Something may wait that none of these was sent for. What nobody was told of is found by the next sweep."""


@dataclass
class _Call:
    invocation: Invocation
    task: asyncio.Task[None]
    began: float
    """Monotonic seconds."""
    aborts: int = 0
    """Times that it was given up: a library may swallow a cancellation."""


@dataclass(frozen=True)
class Runs:
    """What runs of one function."""

    calls: int
    held: int
    """How many of them a client waits for."""
    age: float
    """Seconds that they have run, on average."""


class Dispatcher:
    def __init__(
        self,
        store: Store,
        pool: Pool,
        engine: Engine,
        callers: Callers,
        live: LiveRuns,
        shared: Shared,
        figures: Figures,
        *,
        epoch: int,
        traces: Traces = NOT_TRACED,
    ) -> None:
        self._store = store
        self._pool = pool
        self._engine = engine
        self._callers = callers
        self._live = live
        self._shared = shared
        self._figures = figures
        self._epoch = epoch
        self._traces = traces
        self._tasks = Tasks()
        self._calls: defaultdict[str, dict[str, _Call]] = defaultdict(dict)
        """By function and id."""
        self._takes: defaultdict[str, _Takes] = defaultdict(_Takes)
        self._open = True

    def pump(self, function: str, *, hint: bool = False) -> None:
        """Work may wait for this function: a free slot looks. Each hint stands for a job of its own; without one,
        a take that is under way is enough, as long as somebody looks again after it."""
        takes = self._takes[function]
        takes.more = True
        if hint or not takes.under_way:
            self._look(function, takes)

    def _look(self, function: str, takes: _Takes) -> None:
        """A free slot looks for what waits, if anything may."""
        pool = self._pool.functions.get(function)
        if not takes.more or pool is None or not self._open:
            return
        instance = pool.pick()
        if instance is None:
            return  # the next slot that is free looks
        takes.more = False
        takes.under_way += 1
        self._tasks.spawn(f"slot of {instance.id}", self._turn(instance, instance.occupy()))

    def runs(self, function: str) -> Runs:
        """What runs here now."""
        calls = list(self._calls[function].values())
        held = sum(call.invocation.kind == "call" for call in calls)
        age = sum(clock.monotonic() - call.began for call in calls) / len(calls) if calls else 0.0
        return Runs(calls=len(calls), held=held, age=age)

    def tokens(self) -> Mapping[str, Mapping[str, int]]:
        """What runs here now: function -> id -> fencing token."""
        return {
            function: {name: call.invocation.token for name, call in calls.items()}
            for function, calls in self._calls.items()
            if calls
        }

    def abort(self, function: str, invocation_id: str, token: int | None = None) -> None:
        """Gives up a call whose outcome no longer counts; `token` None: whatever its token is."""
        call = self._calls[function].get(invocation_id)
        if call is not None and token in (None, call.invocation.token):
            call.aborts += 1
            call.task.cancel()

    def shut(self) -> None:
        """Takes nothing more; what runs goes on."""
        self._open = False

    async def drain(self, timeout: float) -> bool:
        """Waits until what runs has ended; False if it had not within `timeout` seconds."""
        return await self._tasks.drain(timeout)

    async def hand_back(self) -> None:
        """Ends what still runs here. Jobs go back untouched; a held call was seen by its function, and is not
        run a second time."""
        left = [call.invocation for calls in self._calls.values() for call in calls.values()]
        await self._tasks.stop()
        for one in left:
            if one.kind == "call":
                await self._store.queue.finish(one.function, one.id, one.token, _STOPPED)
            else:
                await self._store.queue.release(one.function, one.id, one.token, epoch=self._epoch)

    async def _turn(self, instance: Instance, slot: int) -> None:
        """One slot's turn: at most one call."""
        logs.about(instance.facts)  # and not about the call before, whose end began this
        function = instance.function.name
        takes = self._takes[function]
        try:
            run = await self._take(function, instance, slot)
        finally:
            takes.under_way -= 1
        if run is None:
            instance.vacate(slot)
            if not takes.under_way:
                self._look(function, takes)
            return
        takes.more |= run.behind > takes.under_way
        if not takes.under_way:
            self._look(function, takes)
        instance.begin(slot)
        self._learn_wait(run.invocation)
        figures, began = self._figures.of(function), clock.monotonic()
        figures.began(run.invocation, at_once=len(self._calls[function]) + 1)
        live = self._go_live(instance, run)
        logs.about(live.facts)
        try:
            decision = await self._abortable_call(instance, run, live)
        except BaseException as error:
            live.trace.broke(error)
            self._live.end(live)
            if isinstance(error, Exception):
                self._vacate(instance, slot)
            raise
        live.trace.ended(decision)
        if not isinstance(decision, HandBack):
            figures.ran(clock.monotonic() - began, provisioned=instance.provisioned)
        if instance.spent:
            self._pool.drain(instance, "it has run its last call")
        if decision == HandBack(room=False):
            self._tasks.spawn(f"rest of {instance.id}", self._rest(instance, slot))
        elif decision is None or _ran_out(decision) or instance.suspect:
            self._tasks.spawn(f"recovery of {instance.id}", self._recover(instance, slot, run.invocation))
        else:
            self._vacate(instance, slot)
        await live.narrator.flush()
        if decision is not None:
            await self._settle(run.invocation, decision, began)
        self._live.end(live)

    def _vacate(self, instance: Instance, slot: int) -> None:
        function = instance.function.name
        instance.vacate(slot)
        self._look(function, self._takes[function])

    async def _take(self, function: str, instance: Instance, slot: int) -> Run | None:
        # The same nonce until Redis answers: a take whose reply was lost is found again, not run twice.
        nonce = secrets.token_hex(8)
        try:
            return await _insist(
                lambda: self._store.queue.take(
                    function,
                    epoch=self._epoch,
                    slot=f"{instance.id}/{slot}",
                    nonce=nonce,
                    instance=instance.id,
                )
            )
        except Stale:
            self.shut()
            return None

    def _go_live(self, instance: Instance, run: Run) -> LiveRun:
        invocation = run.invocation
        live = LiveRun(
            self._shared,
            instance.function,
            invocation,
            facts=partial(facts.of_run, instance, invocation, clock.monotonic()),
            final=partial(verdict.is_final, invocation, retry=invocation.retry or instance.function.spec.retry),
            trace=tracing.of_run(self._traces, run, instance),
        )
        self._live.begin(live, instance)
        return live

    async def _abortable_call(self, instance: Instance, run: Run, live: LiveRun) -> Verdict | None:
        """The call, which `abort` can find; None if it was aborted."""
        calls, key = self._calls[run.invocation.function], run.invocation.id
        task = asyncio.current_task()
        assert task is not None, "a slot's turn is a task"
        call = calls[key] = _Call(run.invocation, task, clock.monotonic())
        try:
            return await self._call(instance, run, live)
        except asyncio.CancelledError:
            if task.cancelling() > call.aborts:
                raise  # the slot itself is being stopped
            return None
        finally:
            del calls[key]
            for _ in range(call.aborts):
                task.uncancel()

    async def _call(self, instance: Instance, run: Run, live: LiveRun) -> Verdict:
        invocation = run.invocation
        retry = invocation.retry or instance.function.spec.retry
        began = clock.monotonic()
        ran = partial(facts.of_run, instance, invocation, began)
        try:
            async with asyncio.timeout(invocation.timeout_ms / 1000):
                answer = await self._callers.of(instance.function).call(instance, run, live)
        except TimeoutError:
            return verdict.of_timeout(invocation, await self._explained(instance, ran()))
        except ChannelError as error:
            if isinstance(error, NotSent):
                self._pool.drain(instance, f"unreachable: {error}")
            # The engine tells of an end half a second late: until then a retry would find the corpse.
            instance.suspect = isinstance(error, Lost)
            known = await self._explained(instance, ran())
            if isinstance(error, Lost):
                known = replace(known, exit_code=await self._exit_code(instance))
            return verdict.of_error(invocation, error, retry, known)
        instance.refusals = 0
        self._learn(invocation.function, clock.monotonic() - began)
        known = ran() if answer.error is None else await self._explained(instance, ran())
        self._count(invocation, known, answer)
        return verdict.of_answer(invocation, answer, retry, known)

    async def _settle(self, invocation: Invocation, decision: Verdict, began: float) -> None:
        queue, function, token = self._store.queue, invocation.function, invocation.token
        figures = self._figures.of(function)
        match decision:
            case Finish(outcome):

                def told(state: State, dead: bool) -> None:
                    figures.ended(state, outcome, _age(invocation, began), dead=dead)

                state = await _insist(lambda: queue.finish(function, invocation.id, token, outcome, told=told))
                written = state is not None and state is not State.CANCELLED
            case TryAgain(outcome, delay_ms):
                written = await _insist(
                    lambda: queue.retry(function, invocation.id, token, delay_ms=delay_ms, outcome=outcome)
                )
                if written:
                    figures.retried()
            case HandBack():
                written = await _insist(lambda: queue.release(function, invocation.id, token, epoch=self._epoch))
                if written:
                    figures.handed_back()
        if not written:
            log.warning("%s/%s: token %d is stale; its outcome is dropped", function, invocation.id, token)

    async def _recover(self, instance: Instance, slot: int, invocation: Invocation) -> None:
        """After a call that was aborted or broke: its slot is free once the instance is seen to have let go of it.
        One that is dead, or runs nothing but what it does not let go of, is replaced."""
        while not await self._callers.of(instance.function).lets_go(instance, invocation):
            instance.stuck.add(slot)
            if instance.suspect or instance.in_flight == len(instance.stuck):
                self._pool.drain(instance, f"did not let go of call {invocation.id}")
            if not instance.serves:
                break
            await asyncio.sleep(_STUCK_POLL)
        else:
            instance.suspect = False
        instance.stuck.discard(slot)
        self._vacate(instance, slot)

    async def _rest(self, instance: Instance, slot: int) -> None:
        """After a call that its instance had no room for, since it runs more than we know of. One that has none
        although it runs nothing of ours is replaced."""
        instance.refusals += 1
        if instance.refusals >= _REFUSALS and instance.runs == 1:
            self._pool.drain(instance, "it has no room for a call, though it runs none")
        # A server may free its slot a moment after its answer.
        await asyncio.sleep(min(_SHORTEST_REST * 4.0 ** (instance.refusals - 1), _STUCK_POLL))
        self._vacate(instance, slot)

    async def _explained(self, instance: Instance, facts: RunFacts) -> RunFacts:
        """With the last lines of its log."""
        return replace(facts, log_tail=(await self._engine.log_tail(instance.id)).strip() or None)

    async def _exit_code(self, instance: Instance) -> int | None:
        """If it has ended, or is just about to; None if it goes on, or its code is not known."""
        try:
            return await asyncio.wait_for(self._engine.exited(instance.id), _EXIT_GRACE)
        except TimeoutError:
            return None

    def _count(self, invocation: Invocation, known: RunFacts, answer: Answer) -> None:
        pool = self._pool.functions.get(invocation.function)
        if pool and invocation.attempt == 1:
            pool.coldstarts.called(cold=known.cold_start)
            if known.cold_start:
                pool.coldstarts.took({"first_byte": answer.first_byte * 1000})
                self._figures.of(invocation.function).was_cold()
                self._figures.took({"first_byte": answer.first_byte * 1000})

    def _learn_wait(self, invocation: Invocation) -> None:
        pool = self._pool.functions.get(invocation.function)
        if pool and invocation.kind == "call" and invocation.started_at is not None:
            pool.memory.waited((invocation.started_at - invocation.created_at) / 1000)

    def _learn(self, function: str, seconds: float) -> None:
        if pool := self._pool.functions.get(function):
            pool.memory.ended(seconds)


def _age(invocation: Invocation, began: float) -> float:
    """Seconds since it was submitted; its last run began at this monotonic time."""
    waited = (invocation.started_at or invocation.created_at) - invocation.created_at
    return waited / 1000 + clock.monotonic() - began


def _ran_out(decision: Verdict) -> bool:
    return isinstance(decision, Finish) and decision.outcome.event == "time_out"


async def _insist(ask: Callable[[], Awaitable[_T]]) -> _T:
    """Asks the store until it answers. All of these may be asked twice: they carry a nonce or a token."""
    told = False
    while True:
        try:
            return await ask()
        except StoreUnavailable as error:
            if not told:
                log.warning("%s; asking until it answers", error)
            told = True
            await asyncio.sleep(_STORE_PAUSE)
