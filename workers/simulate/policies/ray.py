"""Ray Serve's default autoscaling policy, with the defaults of `AutoscalingConfig` but min_replicas 0.

The mean of ongoing requests (queued and running) over the look-back, pushed each metrics interval, divided by the
target per replica; a decision counts once it has been the same way for a delay. From zero it starts one at once.

target_ongoing_requests is 2, the default; but 1 where a replica takes one call at a time, since a target above
max_ongoing_requests could never be met. Its control loop runs each 0.1 s; here each second, against delays of 30 s
and 600 s. Sources: ray `python/ray/serve/autoscaling_policy.py`, `config.py`, their tests; victims as in
`deployment_scheduler.py`: those not running, then the newest; killed after graceful_shutdown_timeout_s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from workers.simulate.policies.replicas import Ongoing, Replicas, most
from workers.simulate.world import Instance, Pool, World

UPSCALE_DELAY = 30.0
DOWNSCALE_DELAY = 600.0
_LOOK_BACK = 30.0
_METRICS_INTERVAL = 10.0
_TARGET = 2.0


@dataclass
class Streak:
    """Decisions that all went the same way."""

    up: bool = False
    since: float | None = None
    """None: the last one was to stay."""


def decide(
    streak: Streak, *, requests: float, running: int, target: int, each: float, bounds: tuple[int, int], now: float
) -> int:
    """Replicas. `requests` ongoing on average, `running` replicas that serve, `target` replicas asked for last,
    `each` requests that one should have. Changes `streak`."""
    if not running:
        return max(1, target) if requests > 0 else target
    wanted = max(bounds[0], min(bounds[1], ceil(requests / each)))
    if wanted == target:
        streak.since = None
        return target
    up = wanted > target
    if streak.since is None or streak.up != up:
        streak.up, streak.since = up, now
    if now - streak.since < (UPSCALE_DELAY if up else DOWNSCALE_DELAY):
        return target
    streak.since = None
    return wanted if up or target == 1 else max(1, wanted)


class _Metrics:
    """What the controller was told last."""

    def __init__(self) -> None:
        self.mean = 0.0
        self._told = -_METRICS_INTERVAL
        self._ongoing = Ongoing(_LOOK_BACK)

    def observe(self, now: float, demand: int) -> None:
        self._ongoing.observe(now, demand)
        if now - self._told >= _METRICS_INTERVAL:
            self._told = now
            self.mean = self._ongoing.mean(min(_LOOK_BACK, now), now)


class Ray(Replicas):
    name = "ray"
    grace = 20.0

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._metrics: dict[str, _Metrics] = {}
        self._streaks: dict[str, Streak] = {}

    def look(self, world: World) -> None:
        for pool in world.pools.values():
            self._observe(world, pool)
            self._decide(world, pool, self._metrics[pool.function].mean)

    def arrived(self, world: World, pool: Pool) -> None:
        self._observe(world, pool)
        if not pool.current():
            self._decide(world, pool, float(pool.demand))  # a handle without replicas tells at once

    def victims(self, world: World, current: Sequence[Instance]) -> list[Instance]:
        return sorted(current, key=lambda one: (not one.starting, -one.born))

    def _observe(self, world: World, pool: Pool) -> None:
        self._metrics.setdefault(pool.function, _Metrics()).observe(world.now, pool.demand)

    def _decide(self, world: World, pool: Pool, requests: float) -> None:
        replicas = decide(
            self._streaks.setdefault(pool.function, Streak()),
            requests=requests,
            running=sum(not one.starting for one in pool.current()),
            target=max(self.target(pool), pool.profile.floor),
            each=min(_TARGET, pool.profile.concurrency),
            bounds=(pool.profile.floor, most(world, pool)),
            now=world.now,
        )
        self.scale(world, pool, replicas)
