"""Shows what each function's pool looks like, and why: the leader writes it, gateways read it."""

from __future__ import annotations

import asyncio

from penstock import clock
from penstock.invocation import Failure
from penstock.store import FloorView, PoolView, Store
from workers.autoscaler import Decision
from workers.crashloop import CrashLoop
from workers.function_pool import FunctionPool
from workers.placer import Placer
from workers.pool import Pool
from workers.scaler import Scaler

_LAST_WORDS = 200
_APART = 0.05
"""Seconds between two times that a function's pool is shown."""


class Shows:
    def __init__(self, store: Store, pool: Pool, scaler: Scaler, placer: Placer, *, epoch: int) -> None:
        self._store = store
        self._pool = pool
        self._scaler = scaler
        self._placer = placer
        self._epoch = epoch
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()

    def changed(self, function: str) -> None:
        """Something about a function's pool is different: it will be shown."""
        self._dirty.add(function)
        self._wake.set()

    async def run(self) -> None:
        """Loop: writes what changed."""
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
            await asyncio.sleep(_APART)

    def _view(self, name: str) -> PoolView | None:
        pool = self._pool.functions.get(name)
        if pool is None:
            return None
        decision = self._scaler.decisions.get(name)
        service = pool.memory.service
        serving = sum(instance.serves for instance in pool.current())
        rate = serving * pool.function.spec.slots / service if service else None
        return PoolView(
            instances=tuple(instance.view() for instance in pool.instances.values()),
            desired=decision.desired if decision else None,
            reason=reason(pool, decision, self._placer.blocked.get(name)),
            blocked=self._placer.blocked.get(name),
            failure=pool.crash.failure.message if pool.crash.failure and pool.crash.open else None,
            settled=pool.settled and name not in self._placer.blocked,
            drain_rate=round(rate, 2) if rate else None,
            cold_starts=pool.coldstarts.summary(),
            floor=_floor(pool, self._placer.blocked.get(name)),
        )


def _floor(pool: FunctionPool, blocked: str | None) -> FloorView | None:
    if pool.floor is None:
        return None
    ready = sum(one.serves for one in pool.current() if one.provisioned)
    problems = [pool.floor.error]
    if ready < pool.floor.target:
        problems += [pool.crash.failure.message if pool.crash.failure else None, blocked]
        problems += ["the function is paused by an operator"] if pool.paused is not None else []
    return FloorView(
        target=pool.floor.target,
        reason=pool.floor.reason,
        error="; ".join(filter(None, problems)) or None,
        active=pool.floor.active,
        pending=pool.floor.pending,
        expired=pool.floor.expired,
    )


def reason(pool: FunctionPool, decision: Decision | None, blocked: str | None) -> str:
    """Why it has the instances that it has."""
    if pool.paused is not None and decision is not None:
        return decision.reason
    if pool.problem is not None:
        if not pool.prepared:
            return f"revision {pool.function.revision} cannot be prepared: {pool.problem.message}"
        revision = pool.function.revision
        return f"its latest revision cannot be prepared: {pool.problem.message}; revision {revision} goes on"
    if not pool.prepared:
        return f"revision {pool.function.revision} is being prepared"
    if pool.crash.failure is not None:
        return _crash_loop(pool.crash, pool.crash.failure)
    if decision is None:
        return "not decided yet"
    return f"{decision.reason}; {blocked}" if blocked else decision.reason


def _crash_loop(crash: CrashLoop, failure: Failure) -> str:
    since = clock.rfc3339(round(clock.now_ms() / 1000 - (clock.monotonic() - crash.since)) * 1000)
    last = (failure.log_tail or "").strip().rpartition("\n")[2][:_LAST_WORDS]
    words = f", its last words: {last}" if last else ""
    wait = max(crash.next_start - clock.monotonic(), 0.0)
    again = f"next start in {wait:.0f} s" if wait else "starting again"
    return f"{crash.failures} starts failed in a row since {since}: {failure.message}{words}; {again}"
