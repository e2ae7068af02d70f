"""Gives places to functions that should have more instances: asks fairness, then starts and evicts."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping

from penstock import clock
from penstock.telemetry import catalogue as the
from workers import fairness
from workers.claims import Claim, Debts, Eviction, Holder, Start, worth
from workers.figures import Figures
from workers.function_pool import FunctionPool
from workers.instances import Instance
from workers.pool import Pool, need_of

_REMEMBERED = 1_000
_MAX_STARTS = 4
"""Of one function at a time."""


class Placer:
    def __init__(self, pool: Pool, figures: Figures) -> None:
        self._pool = pool
        self._figures = figures
        self._evicted: list[tuple[float, float]] = [(0.0, 0.0)]
        """Greedy-dual's clock: when instances were evicted, and what each was worth."""
        self._claims: dict[str, tuple[Claim, str]] = {}
        self._debts = Debts()
        self.blocked: Mapping[str, str] = {}
        """Function -> why it does not get what it should have."""

    def want(self, claim: Claim, reason: str) -> None:
        """What a function should have; it stays so until it is told otherwise. `reason` is for its instances."""
        if claim.missing > 0:
            self._claims[claim.function] = (claim, reason)
        else:
            self.forget(claim.function)

    def forget(self, function: str) -> None:
        self._claims.pop(function, None)
        self._debts.settle(function)

    def balance(self) -> set[str]:
        """Serves the claims. Returns the functions of which something is different now."""
        before, self.blocked = self.blocked, {}
        for deleted in self._claims.keys() - self._pool.functions.keys():
            self.forget(deleted)
        if not self._claims and not before:
            return set()
        plan = fairness.plan(
            self._pool.board,
            self._debts.mark(claim for claim, _ in self._claims.values()),
            self._holders,
            limits={name: self._may_start(name) for name in self._claims},
            starting=self._starting(),
            wall=clock.now_ms() / 1000,
        )
        for eviction in plan.evictions:
            self._evict(eviction)
        for start in plan.starts:
            self._start(start)
        self.blocked = plan.blocked
        return {name for name in {*before, *plan.blocked} if before.get(name) != plan.blocked.get(name)}

    def _start(self, start: Start) -> None:
        pool = self._pool.functions[start.function]
        claim, reason = self._claims[start.function]
        self._debts.settle(start.function)
        self._pool.start(pool, start.card, reason)
        # Before its function is decided about again others are, and must not find the same claim unserved.
        self.want(claim.served(), reason)

    def _evict(self, eviction: Eviction) -> None:
        for pool in self._pool.functions.values():
            instance = pool.instances.get(eviction.instance)
            if instance is not None:
                self._evicted.append((clock.monotonic(), self._worth(pool, instance)))
                del self._evicted[:-_REMEMBERED]
                self._debts.owe(eviction.beneficiary, pool.function.name)
                self._figures.count(the.EVICTIONS, pool.function.name).add()
                self._pool.drain(instance, f"makes room for {eviction.beneficiary}")

    def _may_start(self, function: str) -> int:
        """How many more of it may start now."""
        pool = self._pool.functions[function]
        if pool.deleted or not pool.prepared or not pool.crash.may_start(clock.monotonic()):
            return 0
        return max(_MAX_STARTS - sum(instance.starting for instance in pool.current()), 0)

    def _starting(self) -> Mapping[str, int]:
        instances = (one for pool in self._pool.functions.values() for one in pool.instances.values())
        return Counter(one.card for one in instances if one.starting and one.card is not None)

    def _holders(self) -> Iterator[Holder]:
        for pool in self._pool.functions.values():
            current = {instance.id for instance in pool.current()}
            for instance in pool.instances.values():
                yield Holder(
                    instance=instance.id,
                    function=pool.function.name,
                    going=instance.leave.is_set(),
                    idle=instance.serves and not instance.in_flight,
                    unqueued=pool.unqueued,
                    alone=len(current) == 1,
                    outdated=instance.id not in current,
                    spare=not instance.provisioned,
                    residence=instance.residence(),
                    cold_start=pool.memory.cold_start,
                    ends_in=_ends_in(pool, instance),
                    worth=self._worth(pool, instance),
                )

    def _worth(self, pool: FunctionPool, instance: Instance) -> float:
        last_use = instance.idle_since if not instance.in_flight else clock.monotonic()
        past = self._evicted[max(bisect_right(self._evicted, (last_use, float("inf"))) - 1, 0)][1]
        return worth(past, instance.taken, pool.memory.cold_start, need_of(instance.function))


def _ends_in(pool: FunctionPool, instance: Instance) -> float | None:
    """Seconds until it is idle, from how long calls take; None: it still starts, or none has ended yet."""
    if instance.serves and not instance.in_flight:
        return 0.0
    if pool.memory.service is None or not instance.serves:
        return None
    return max(pool.memory.service - instance.in_stage_ms() / 1000, 0.0)
