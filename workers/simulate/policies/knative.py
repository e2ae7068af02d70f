"""Knative's KPA, with the defaults of its `config-autoscaler`: averages of concurrency over a stable window and a
panic window, activation from zero on the first request, and a grace period before zero.

Sources: knative/serving `pkg/autoscaler/scaling/autoscaler.go` and its tests, docs/serving/autoscaling. Pods drain
for as long as a revision's timeout (300 s), which is why it rarely kills.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

from workers.simulate.policies.replicas import Ongoing, Pods
from workers.simulate.world import Pool, World

STABLE_WINDOW = 60.0
PANIC_WINDOW = 6.0
_TICK = 2.0
_PANIC_THRESHOLD = 2.0
_UTILIZATION = 0.7
_SCALE_TO_ZERO_GRACE = 30.0


@dataclass
class Panic:
    since: float | None = None
    """When the threshold was last crossed; None: all is calm."""
    pods: int = 0
    """The most that were asked for since; less is not asked for before it ends."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    up: float = 1_000.0
    down: float = 2.0
    """Times the ready pods that the scale may change in one step."""


def recommend(
    panic: Panic, *, stable: float, short: float, ready: int, target: float, now: float, rates: Rates | None = None
) -> int:
    """Pods, from mean concurrency over the two windows. Changes `panic`."""
    rates = rates or Rates()
    pods = max(1, ready)
    most, least = ceil(rates.up * pods), floor(pods / rates.down)
    for_stable, for_short = ceil(stable / target), ceil(short / target)
    if for_short / pods >= _PANIC_THRESHOLD:
        panic.since = now
    elif panic.since is not None and panic.since + STABLE_WINDOW < now:
        panic.since, panic.pods = None, 0
    wanted = min(max(for_stable, least), most)
    if panic.since is None:
        return wanted
    panic.pods = max(panic.pods, wanted, min(max(for_short, least), most))
    return panic.pods


class _Metrics:
    """Mean concurrency of one revision, over the time since it has any."""

    def __init__(self) -> None:
        self._ongoing = Ongoing(STABLE_WINDOW)
        self._since: float | None = None
        """None: nothing was asked of it within the stable window."""

    def observe(self, now: float, demand: int) -> None:
        self._ongoing.observe(now, demand)
        if demand and self._since is None:
            self._since = now
        elif not demand and self._since is not None and not self._ongoing.mean(STABLE_WINDOW, now):
            self._since = None

    def mean(self, window: float, now: float) -> float:
        if self._since is None:
            return 0.0
        known = min(window, now - self._since)
        return self._ongoing.mean(known if known >= 1.0 else 0.0, now)


class Knative(Pods):
    name = "knative"
    grace = 300.0

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._metrics: dict[str, _Metrics] = {}
        self._panics: dict[str, Panic] = {}
        self._unneeded: dict[str, float] = {}
        """Since when each function has been told to go to zero."""
        self._due = 0.0

    def look(self, world: World) -> None:
        due = world.now >= self._due
        if due:
            self._due = world.now + _TICK
        for pool in world.pools.values():
            self._observe(world, pool)
            if due:
                self._decide(world, pool)

    def arrived(self, world: World, pool: Pool) -> None:
        self._observe(world, pool)
        if not pool.current():
            self._decide(world, pool)  # the activator tells the autoscaler at once

    def _observe(self, world: World, pool: Pool) -> None:
        self._metrics.setdefault(pool.function, _Metrics()).observe(world.now, pool.demand)

    def _decide(self, world: World, pool: Pool) -> None:
        metrics, now = self._metrics[pool.function], world.now
        wanted = recommend(
            self._panics.setdefault(pool.function, Panic()),
            stable=metrics.mean(STABLE_WINDOW, now),
            short=metrics.mean(PANIC_WINDOW, now),
            ready=sum(not one.starting for one in pool.current()),
            target=pool.profile.concurrency * _UTILIZATION,
            now=now,
        )
        self.scale(world, pool, max(self._graced(pool, wanted, now), pool.profile.floor))

    def _graced(self, pool: Pool, wanted: int, now: float) -> int:
        """The last pod stays until the network is known to lead elsewhere."""
        if wanted:
            self._unneeded.pop(pool.function, None)
            return wanted
        since = self._unneeded.setdefault(pool.function, now)
        return min(self.target(pool), 1) if now - since < _SCALE_TO_ZERO_GRACE else 0
