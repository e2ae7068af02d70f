"""Asks the autoscaler about each function, on what its queue, its past and its instances look like."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace

from penstock import clock
from penstock.instance import InstanceState
from penstock.invocation import State
from penstock.store import Store, Sweep
from penstock.telemetry import catalogue as the
from workers.autoscaler import Decision, Idle, Policy, Snapshot, decide, max_queue_wait
from workers.claims import Claim
from workers.dispatcher import Dispatcher
from workers.figures import Figures
from workers.floors import Floors
from workers.function_pool import FunctionPool
from workers.placer import Placer
from workers.pool import Pool, need_of

_PERIOD = 1.0
_AWAKE = 60.0
"""Seconds without work after which a function without instances is forgotten until it is called again."""
_FIRST_SWEEP = 5.0
"""Seconds after the beginning in which a function that was not swept yet is left alone: adopted ones soon are."""
_NOTHING = Sweep(queued=0, held=0, running=0, delayed=0, oldest_ms=None, expired=0, requeued=0, failed=0)


def default_slots() -> int:
    """Instances at a time on a machine without GPUs: its CPU bounds containers but does not schedule them."""
    return max(16, 8 * (os.cpu_count() or 1))


class Scaler:
    def __init__(
        self,
        store: Store,
        pool: Pool,
        dispatcher: Dispatcher,
        placer: Placer,
        floors: Floors,
        figures: Figures,
        *,
        epoch: int,
        in_contact: Callable[[], bool],
        on_change: Callable[[str], None],
    ) -> None:
        """`in_contact` says whether the store answers: what is not known is not taken for nothing. `on_change`
        hears of functions about which something else was decided."""
        self._store = store
        self._pool = pool
        self._dispatcher = dispatcher
        self._placer = placer
        self._floors = floors
        self._figures = figures
        self._epoch = epoch
        self._in_contact = in_contact
        self._on_change = on_change
        self._balancing = False
        self._last: dict[str, tuple[float, Sweep]] = {}
        self.decisions: dict[str, Decision] = {}
        """The last one about each function."""

    async def consider(self, function: str, sweep: Sweep) -> None:
        """Decides about one function on fresh figures of its queue."""
        if sweep.expired or sweep.requeued or sweep.failed:
            self._figures.of(function).swept(sweep)
        pool = self._pool.find(function)
        if pool is None:
            return
        self._last[function] = (clock.monotonic(), sweep)
        blocked = pool.blocked()
        if blocked is not None and sweep.held:
            rejected = await self._store.queue.reject_held(function, epoch=self._epoch, failure=blocked)
            self._figures.of(function).failed(State.FAILED, blocked.code, rejected)
        self._apply(pool, sweep)
        self._balance_soon()
        if sweep.queued:
            self._dispatcher.pump(function)

    async def run(self) -> None:
        """Loop: decides about functions that have instances, or shall have, though nothing is queued."""
        began = clock.monotonic()
        while True:
            for name, pool in list(self._pool.functions.items()):
                if name not in self._last and clock.monotonic() - began < _FIRST_SWEEP:
                    continue  # what an adopted instance is in the middle of is not known yet
                when, sweep = self._last.get(name, (float("-inf"), _NOTHING))
                fresh = clock.monotonic() - when < 2 * _PERIOD
                self._floors.observe(pool, sweep.queued if fresh else 0, sweep.running if fresh else 0)
                if clock.monotonic() - when > _AWAKE and not self._stands(pool) and self._pool.lay_down(name):
                    self._forget(name)
                else:
                    self._apply(pool, sweep if fresh else replace(_NOTHING, arrived=sweep.arrived))
            self._balance()
            await asyncio.sleep(_PERIOD)

    def queue(self, function: str) -> Sweep:
        """What its queue was like when it was last swept; nothing if that was long ago."""
        when, sweep = self._last.get(function, (float("-inf"), _NOTHING))
        return sweep if clock.monotonic() - when < 2 * _PERIOD else _NOTHING

    def oldest(self, function: str) -> float:
        """Seconds that the head of its queue has waited, if it still does since the last sweep."""
        when, sweep = self._last.get(function, (0.0, _NOTHING))
        return 0.0 if sweep.oldest_ms is None else sweep.oldest_ms / 1000 + clock.monotonic() - when

    def _forget(self, function: str) -> None:
        self._last.pop(function, None)
        self.decisions.pop(function, None)
        self._placer.forget(function)

    def _stands(self, pool: FunctionPool) -> bool:
        """It wants instances at times when nobody calls."""
        scaling = pool.function.spec.scaling
        standing = scaling.min or pool.warm or scaling.idle_timeout == "adaptive"
        return bool(standing) or self._floors.configured(pool)

    def _balance_soon(self) -> None:
        """Once for all functions that are considered in this turn of the loop."""
        if not self._balancing:
            self._balancing = True
            asyncio.get_running_loop().call_soon(self._balance)

    def _balance(self) -> None:
        self._balancing = False
        for function in self._placer.balance():
            self._on_change(function)

    def _apply(self, pool: FunctionPool, sweep: Sweep) -> None:
        name, now = pool.function.name, clock.monotonic()
        if pool.deleted:
            self._placer.forget(name)
            return
        if pool.paused is not None:
            self._pause(pool)
            return
        pool.floor = self._floors.of(pool)
        keep = pool.memory.keep_alive(pool.function.spec.scaling.idle_timeout, now)
        policy = self._policy(pool, keep.idle_timeout)
        snapshot = self._snapshot(pool, sweep, pool.floor.target, warm=max(pool.warm, int(keep.prewarm)))
        pool.unqueued = not sweep.queued
        pool.provision(snapshot.floor)
        if snapshot.queued is not None and sweep.arrived is not None:
            held = snapshot.held + snapshot.held_running
            pool.memory.observe(now, arrived=sweep.arrived, waiting=sweep.queued, running=sweep.running, held=held)
        decision = decide(policy, snapshot, pool.memory, now)
        pool.memory.remember(now, wanted=decision.wanted, guarded=decision.guarded, reduced=bool(decision.stop))
        if decision != self.decisions.get(name):
            self._figures.decided(decision, len(snapshot.starting) + snapshot.ready)
            self.decisions[name] = decision
            self._on_change(name)
        for instance in decision.stop:
            one = pool.instances[instance]
            why = "its start is no longer needed" if one.starting else f"idle for {policy.idle_timeout:g} s"
            self._pool.drain(one, why)
        if snapshot.ready >= min(pool.warm, policy.max):
            pool.warm = 0
        claim = self._claim(pool, policy, snapshot, decision, now)
        self._placer.want(claim, decision.reason)
        self._replace(pool, policy, settled=not claim.missing and not snapshot.starting)

    def _pause(self, pool: FunctionPool) -> None:
        """All its instances end once their calls have, and nothing is started until it is resumed."""
        name = pool.function.name
        self._placer.forget(name)
        for instance in pool.instances.values():
            self._pool.drain(instance, "the function was paused by an operator")
        if name not in self.decisions or self.decisions[name].desired:
            self._figures.metrics.counter(the.DECISIONS, "paused").add()
        decision = Decision(desired=0, wanted=0, reason=f"paused by an operator at {clock.rfc3339(pool.paused)}")
        if decision != self.decisions.get(name):
            self.decisions[name] = decision
            self._on_change(name)

    def _replace(self, pool: FunctionPool, policy: Policy, *, settled: bool) -> None:
        """Older revisions go once the current one has all it should have, or when nobody calls them any more."""
        for one in pool.outdated():
            if settled or (not one.in_flight and one.idle_for() >= policy.idle_timeout):
                self._pool.drain(one, f"revision {pool.function.revision} replaces it")

    def _claim(
        self, pool: FunctionPool, policy: Policy, snapshot: Snapshot, decision: Decision, now: float
    ) -> Claim:
        """What it lacks. A new revision needs as many as the one before it has, so that it can take over."""
        have, outdated = len(pool.current()), len(pool.outdated())
        if have + outdated:
            pool.had_instance = now
        should = max(decision.desired, min(outdated + have, policy.max) if outdated else 0)
        if decision.valid:
            # Also more than could ever fit here: placement alone can say why it does not.
            should = max(should, snapshot.floor, 1 if snapshot.queued else 0)
        return Claim(
            function=pool.function.name,
            need=need_of(pool.function),
            missing=max(should - have, 0) if pool.prepared else 0,
            have=have + outdated,
            below_floor=max(snapshot.floor - have, 0),
            waited=snapshot.oldest or 0.0,
            without=now - pool.had_instance,
            patience=max_queue_wait(policy, snapshot.held, pool.memory),
            weight=pool.function.spec.scaling.weight,
        )

    def _policy(self, pool: FunctionPool, idle_timeout: float) -> Policy:
        spec = pool.function.spec
        everything = self._pool.board.capacity(need_of(pool.function))
        return Policy(
            max=max(everything, 1) if spec.scaling.max is None else spec.scaling.max,
            concurrency=spec.slots,
            idle_timeout=idle_timeout,
            max_queue_wait=spec.scaling.max_queue_wait,
            target_utilization=spec.scaling.target_utilization,
            metric=spec.scaling.metric,
            buffer=spec.scaling.buffer,
        )

    def _snapshot(self, pool: FunctionPool, sweep: Sweep, floor: int, *, warm: int) -> Snapshot:
        current = pool.current()
        runs = self._dispatcher.runs(pool.function.name)
        starting = sorted((one for one in current if one.starting), key=lambda one: -one.started_at)
        idle = [one for one in current if one.state is InstanceState.IDLE and not one.provisioned]
        return Snapshot(
            queued=sweep.queued if self._in_contact() else None,
            held=sweep.held,
            running=sweep.running,
            held_running=runs.held,
            running_age=runs.age,
            oldest=None if sweep.oldest_ms is None else sweep.oldest_ms / 1000,
            starting=[one.id for one in starting],
            ready=sum(one.serves for one in current),
            idle=[Idle(instance=one.id, seconds=one.idle_for()) for one in idle],
            floor=floor,
            warm=warm,
            capacity=self._pool.board.capacity(need_of(pool.function)),
        )
