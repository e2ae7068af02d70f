"""Acts on the autoscaler's decisions: gathers the facts, asks, starts and drains, and shows the result."""

from __future__ import annotations

import asyncio
import os

from penstock import clock
from penstock.instance import InstanceState
from penstock.store import PoolView, Store, Sweep
from workers.autoscaler import Decision, Idle, Memory, Policy, Snapshot, decide
from workers.dispatcher import Dispatcher
from workers.pool import FunctionPool, Pool

_PERIOD = 1.0
_SHOW_APART = 0.05
"""Seconds between two times that a function's pool is shown."""
_NOTHING = Sweep(queued=0, held=0, running=0, delayed=0, oldest_ms=None, expired=0, requeued=0, failed=0)


def default_slots() -> int:
    """Instances at a time on a machine without GPUs: its CPU bounds containers but does not schedule them."""
    return max(16, 8 * (os.cpu_count() or 1))


class Scaler:
    def __init__(self, store: Store, pool: Pool, dispatcher: Dispatcher, *, epoch: int, slots: int) -> None:
        self._store = store
        self._pool = pool
        self._dispatcher = dispatcher
        self._epoch = epoch
        self._slots = slots
        self._last: dict[str, tuple[float, Sweep]] = {}
        self._decisions: dict[str, Decision] = {}
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()

    async def consider(self, function: str, sweep: Sweep) -> None:
        """Decides about one function on fresh figures of its queue."""
        pool = self._pool.functions.get(function)
        if pool is None:
            return
        self._last[function] = (clock.monotonic(), sweep)
        blocked = pool.blocked()
        if blocked is not None and sweep.held:
            await self._store.queue.reject_held(function, epoch=self._epoch, failure=blocked)
        self._apply(pool, sweep)
        if sweep.queued:
            self._dispatcher.pump(function)

    async def run(self) -> None:
        """Loop: decides about functions that have instances, or shall have, though nothing is queued."""
        while True:
            for name, pool in list(self._pool.functions.items()):
                when, sweep = self._last.get(name, (float("-inf"), _NOTHING))
                fresh = clock.monotonic() - when < 2 * _PERIOD
                if pool.instances or pool.function.spec.scaling.min or fresh:
                    self._apply(pool, sweep if fresh else _NOTHING)
                    self.changed(name)
            await asyncio.sleep(_PERIOD)

    def changed(self, function: str) -> None:
        """Something about a function's pool is different: it will be shown."""
        self._dirty.add(function)
        self._wake.set()

    async def show(self) -> None:
        """Loop: writes what changed, for gateways to show."""
        shown: dict[str, PoolView] = {}
        while True:
            await self._wake.wait()
            self._wake.clear()
            dirty, self._dirty = self._dirty, set()
            for name in dirty:
                view = self._view(name)
                if view is not None and shown.get(name) != view:
                    await self._store.pools.show(name, view, epoch=self._epoch)
                    shown[name] = view
            await asyncio.sleep(_SHOW_APART)

    def _apply(self, pool: FunctionPool, sweep: Sweep) -> None:
        if pool.deleted:
            return
        name = pool.function.name
        decision = decide(self._policy(pool), self._snapshot(pool, sweep), self._memory(pool))
        if decision != self._decisions.get(name):
            self._decisions[name] = decision
            self.changed(name)
        for instance in decision.stop:
            timeout = pool.function.spec.scaling.idle_timeout
            self._pool.drain(pool.instances[instance], f"idle for {timeout:g} s")
        missing = decision.desired - len(pool.current())
        if missing > 0:
            self._pool.scale_up(pool, missing, decision.reason)

    def _policy(self, pool: FunctionPool) -> Policy:
        spec = pool.function.spec
        return Policy(
            min=spec.scaling.min,
            max=self._slots if spec.scaling.max is None else spec.scaling.max,
            concurrency=spec.concurrency,
            idle_timeout=spec.scaling.idle_timeout,
            max_queue_wait=spec.scaling.max_queue_wait,
        )

    def _snapshot(self, pool: FunctionPool, sweep: Sweep) -> Snapshot:
        current = pool.current()
        idle = [
            Idle(instance=instance.id, seconds=instance.idle_for())
            for instance in current
            if instance.state is InstanceState.IDLE
        ]
        return Snapshot(
            queued=sweep.queued,
            held=sweep.held,
            running=sweep.running,
            oldest=None if sweep.oldest_ms is None else sweep.oldest_ms / 1000,
            starting=sum(instance.starting for instance in current),
            ready=sum(instance.serves for instance in current),
            idle=idle,
            capacity=max(self._slots - self._pool.size(), 0) + len(current),
        )

    def _memory(self, pool: FunctionPool) -> Memory:
        return Memory(service=self._dispatcher.service.get(pool.function.name), cold_start=pool.cold_start)

    def _view(self, name: str) -> PoolView | None:
        pool = self._pool.functions.get(name)
        if pool is None:
            return None
        decision = self._decisions.get(name)
        service = self._dispatcher.service.get(name)
        serving = sum(instance.serves for instance in pool.current())
        rate = serving * pool.function.spec.concurrency / service if service else None
        return PoolView(
            instances=tuple(instance.view() for instance in pool.instances.values()),
            desired=decision.desired if decision else None,
            reason=_reason(pool, decision),
            settled=pool.prepared and pool.crash.failure is None,
            drain_rate=round(rate, 2) if rate else None,
        )


def _reason(pool: FunctionPool, decision: Decision | None) -> str:
    if pool.problem is not None:
        if not pool.prepared:
            return f"revision {pool.function.revision} cannot be prepared: {pool.problem.message}"
        revision = pool.function.revision
        return f"its latest revision cannot be prepared: {pool.problem.message}; revision {revision} goes on"
    if not pool.prepared:
        return f"revision {pool.function.revision} is being prepared"
    if pool.crash.failure is not None:
        wait = max(pool.crash.next_start - clock.monotonic(), 0.0)
        again = f"next start in {wait:.0f} s" if wait else "starting again"
        return f"{pool.crash.failures} starts failed in a row: {pool.crash.failure.message}; {again}"
    return decision.reason if decision else "not decided yet"
