"""KEDA's list scaler with the Horizontal Pod Autoscaler behind it, both at their defaults.

The metric is the length of the list: what waits, and not what runs, since a worker has popped that. KEDA itself
goes between 0 and 1 (polled each 30 s, back to 0 after a cooldown); from 1 on the HPA divides by listLength.
Sources: the KEDA documentation (ScaledObject specification, Redis lists, scaling deployments), the Kubernetes
documentation and API reference (HorizontalPodAutoscaler, HPAScalingRules), `replica_calculator.go`. A pod has
terminationGracePeriodSeconds, 30 s, to end what it runs.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import ceil

from workers.simulate.policies.replicas import Pods, most
from workers.simulate.world import Pool, World

_LIST_LENGTH = 5
_POLLING = 30.0
_COOLDOWN = 300.0
_SYNC = 15.0
_STABILIZATION = 300.0
_TOLERANCE = 0.1
_MORE_PODS = 4
_MORE_TIMES = 2
"""Scale-up policies: whichever allows more, per sync period."""


def desired(length: int, replicas: int, each: int = _LIST_LENGTH) -> int:
    """Pods for an external metric with an average value per pod; as many as now if that is nearly right."""
    if replicas and abs(1.0 - length / (each * replicas)) <= _TOLERANCE:
        return replicas
    return ceil(length / each)


@dataclass
class Hpa:
    """What the HPA remembers of one target."""

    _recommended: deque[tuple[float, int]] = field(default_factory=deque)
    _added: deque[tuple[float, int]] = field(default_factory=deque)

    def scale(self, wanted: int, replicas: int, bounds: tuple[int, int], now: float) -> int:
        """Pods, after the stabilization window and the scale-up policies."""
        self._recommended.append((now, wanted))
        while self._recommended[0][0] < now - _STABILIZATION:
            self._recommended.popleft()
        if wanted < replicas:
            return max(min(max(one for _, one in self._recommended), replicas), bounds[0])
        while self._added and self._added[0][0] <= now - _SYNC:
            self._added.popleft()
        before = replicas - sum(one for _, one in self._added)
        limit = max(before + _MORE_PODS, before * _MORE_TIMES)
        scaled = max(min(wanted, limit, bounds[1]), bounds[0])
        if scaled > replicas:
            self._added.append((now, scaled - replicas))
        return max(scaled, replicas)


class Keda(Pods):
    name = "keda"
    grace = 30.0

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._hpas: dict[str, Hpa] = {}
        self._active: dict[str, float] = {}
        """When each list was last seen with something in it."""
        self._polled = -_POLLING
        self._synced = -_SYNC

    def look(self, world: World) -> None:
        if world.now - self._polled >= _POLLING:
            self._polled = world.now
            for pool in world.pools.values():
                self._poll(world, pool)
        if world.now - self._synced >= _SYNC:
            self._synced = world.now
            for pool in world.pools.values():
                self._sync(world, pool)

    def _poll(self, world: World, pool: Pool) -> None:
        replicas = self.target(pool)
        if pool.waiting:
            self._active[pool.function] = world.now
            if not replicas:
                self.scale(world, pool, 1)
        elif replicas and not pool.profile.floor:
            if world.now - self._active.get(pool.function, 0.0) >= _COOLDOWN:
                self.scale(world, pool, 0)
        elif replicas < pool.profile.floor:
            self.scale(world, pool, pool.profile.floor)

    def _sync(self, world: World, pool: Pool) -> None:
        replicas = self.target(pool)
        if not replicas:
            return
        hpa = self._hpas.setdefault(pool.function, Hpa())
        bounds = (max(pool.profile.floor, 1), most(world, pool))
        wanted = max(bounds[0], min(bounds[1], desired(len(pool.waiting), replicas)))
        self.scale(world, pool, hpa.scale(wanted, replicas, bounds, world.now))
