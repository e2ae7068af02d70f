"""Our own policy: the very functions that `Scaler` and `Placer` ask, on what the simulated machine looks like."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator

from penstock.function import Scaling
from workers import fairness
from workers.autoscaler import Decision, Idle, Policy, Snapshot, decide, max_queue_wait
from workers.claims import Claim, Debts, Holder, worth
from workers.history import Memory
from workers.simulate.world import Call, Controller, Instance, Pool, World

_LOOKS_APART = 0.05
"""Seconds between two looks at one function, as of the sweeper."""
_MAX_STARTS = 4
"""Of one function at a time, as of the placer."""


class Penstock(Controller):
    def __init__(self, name: str = "penstock", scaling: Scaling | None = None) -> None:
        self.name = name
        self._scaling = Scaling() if scaling is None else scaling
        self._memory: dict[str, Memory] = {}
        self._claims: dict[str, Claim] = {}
        self._evicted: list[tuple[float, float]] = [(0.0, 0.0)]
        """Greedy-dual's clock: when instances were evicted, and what each was worth."""
        self._debts = Debts()
        self._had: dict[str, float] = {}
        """When each function was last seen with an instance."""
        self._looked: dict[str, tuple[float, float]] = {}
        self._paused: set[str] = set()

    def look(self, world: World) -> None:
        for pool in world.pools.values():
            if pool.instances or pool.demand or pool.profile.floor or self._scaling.idle_timeout == "adaptive":
                self._consider(world, pool)
        self._balance(world)

    def arrived(self, world: World, pool: Pool) -> None:
        if pool.pick() is None:
            self._look_soon(world, pool)

    def taken(self, world: World, pool: Pool, call: Call) -> None:
        if call.request.held:
            self._memory_of(pool).waited(world.now - call.arrived)

    def ended(self, world: World, pool: Pool, call: Call) -> None:
        self._memory_of(pool).ended(call.request.duration)

    def ready(self, world: World, instance: Instance) -> None:
        self._memory_of(instance.pool).started(world.now - instance.born)

    def _memory_of(self, pool: Pool) -> Memory:
        return self._memory.setdefault(pool.function, Memory())

    def _look_soon(self, world: World, pool: Pool) -> None:
        """Now, or again after a pause; two in a row are let through."""
        before_last, last = self._looked.get(pool.function, (-1.0, -1.0))
        pause = before_last + 2 * _LOOKS_APART - world.now
        if pause <= 0:
            self._looked[pool.function] = (last, world.now)
            self._consider(world, pool)
            self._balance(world)
        elif pool.function not in self._paused:
            self._paused.add(pool.function)
            world.later(pause, lambda: self._look_again(world, pool))

    def _look_again(self, world: World, pool: Pool) -> None:
        self._paused.discard(pool.function)
        self._look_soon(world, pool)

    def _consider(self, world: World, pool: Pool) -> None:
        self._provision(pool)
        memory = self._memory_of(pool)
        keep = memory.keep_alive(self._scaling.idle_timeout, world.now)
        policy = self._policy(world, pool, keep.idle_timeout)
        snapshot = _snapshot(world, pool, warm=int(keep.prewarm))
        memory.observe(
            world.now,
            arrived=pool.arrived,
            waiting=len(pool.waiting),
            running=len(pool.running),
            held=pool.held_waiting + pool.held_running,
        )
        decision = decide(policy, snapshot, memory, world.now)
        memory.remember(world.now, wanted=decision.wanted, guarded=decision.guarded, reduced=bool(decision.stop))
        for instance in decision.stop:
            world.drain(pool.instances[instance])
        claim = self._claims[pool.function] = self._claim(pool, policy, snapshot, decision, world.now)
        if claim.missing <= 0:
            self._debts.settle(pool.function)

    @staticmethod
    def _provision(pool: Pool) -> None:
        """Marks as many as the floor asks for, the oldest first; marks stay where they are while it allows."""
        current = sorted(pool.current(), key=lambda one: (not one.provisioned, one.starting, one.born))
        for place, one in enumerate(current):
            one.provisioned = place < pool.profile.floor

    def _policy(self, world: World, pool: Pool, idle_timeout: float) -> Policy:
        scaling = self._scaling
        return Policy(
            max=max(world.board.capacity(pool.profile.need), 1) if scaling.max is None else scaling.max,
            concurrency=pool.profile.concurrency,
            idle_timeout=idle_timeout,
            max_queue_wait=scaling.max_queue_wait,
            target_utilization=scaling.target_utilization,
            metric=scaling.metric,
            buffer=scaling.buffer,
        )

    def _claim(self, pool: Pool, policy: Policy, snapshot: Snapshot, decision: Decision, now: float) -> Claim:
        have = len(pool.current())
        if have:
            self._had[pool.function] = now
        return Claim(
            function=pool.function,
            need=pool.profile.need,
            missing=max(decision.desired - have, 0),
            have=have,
            below_floor=max(snapshot.floor - have, 0),
            waited=snapshot.oldest or 0.0,
            without=now - self._had.get(pool.function, float("-inf")),
            patience=max_queue_wait(policy, snapshot.held, self._memory_of(pool)),
            weight=self._scaling.weight,
        )

    def _balance(self, world: World) -> None:
        claims = [claim for claim in self._claims.values() if claim.missing > 0]
        if not claims:
            return
        there = [one for pool in world.pools.values() for one in pool.instances.values()]
        plan = fairness.plan(
            world.board,
            self._debts.mark(claims),
            lambda: self._holders(world),
            limits={claim.function: self._may_start(world.pools[claim.function]) for claim in claims},
            starting=Counter(one.card for one in there if one.starting),
        )
        found = {one.id: one for one in there}
        for eviction in plan.evictions:
            victim = found[eviction.instance]
            self._evicted.append((world.now, self._worth(world, victim)))
            self._debts.owe(eviction.beneficiary, victim.pool.function)
            world.drain(victim)
        for start in plan.starts:
            world.start(world.pools[start.function], start.card)
            self._claims[start.function] = self._claims[start.function].served()
            self._debts.settle(start.function)

    @staticmethod
    def _may_start(pool: Pool) -> int:
        return max(_MAX_STARTS - sum(one.starting for one in pool.current()), 0)

    def _holders(self, world: World) -> Iterator[Holder]:
        for pool in world.pools.values():
            alone = len(pool.current()) == 1
            for one in pool.instances.values():
                yield Holder(
                    instance=one.id,
                    function=pool.function,
                    going=one.leaving,
                    idle=one.ready is not None and not one.calls,
                    unqueued=not pool.waiting,
                    alone=alone,
                    spare=not one.provisioned,
                    residence=0.0 if one.ready is None else world.now - one.ready,
                    cold_start=self._memory_of(pool).cold_start,
                    worth=self._worth(world, one),
                )

    def _worth(self, world: World, one: Instance) -> float:
        last_use = world.now if one.calls else one.idle_since
        past = self._evicted[max(bisect_right(self._evicted, (last_use, float("inf"))) - 1, 0)][1]
        return worth(past, one.taken, self._memory_of(one.pool).cold_start, one.pool.profile.need)


def _snapshot(world: World, pool: Pool, *, warm: int) -> Snapshot:
    current, now = pool.current(), world.now
    starting = sorted((one for one in current if one.starting), key=lambda one: -one.born)
    idle = [one for one in current if one.ready is not None and not one.calls and not one.provisioned]
    ages = [now - call.started for call in pool.running if call.started is not None]
    return Snapshot(
        queued=len(pool.waiting),
        held=pool.held_waiting,
        running=len(pool.running),
        held_running=pool.held_running,
        running_age=sum(ages) / len(ages) if ages else 0.0,
        oldest=now - pool.waiting[0].arrived if pool.waiting else None,
        starting=[one.id for one in starting],
        ready=len(current) - len(starting),
        idle=[Idle(instance=one.id, seconds=now - one.idle_since) for one in idle],
        floor=pool.profile.floor,
        warm=warm,
        capacity=world.board.capacity(pool.profile.need),
    )
