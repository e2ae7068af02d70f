"""What an orchestrator does with a number of replicas: it starts what is missing, and chooses who goes without
knowing who is busy. A replica that finds no card is pending until one is free."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2
from random import Random

from workers.history import Totals
from workers.simulate.world import Controller, Instance, Pool, World


class Ongoing:
    """Requests of one function, queued and running, on average over a window that ends now."""

    def __init__(self, window: float) -> None:
        self.last = 0
        """As of the last look."""
        self._totals = Totals(window)
        self._area = 0.0
        self._seen = 0.0

    def observe(self, now: float, demand: int) -> None:
        self._area += self.last * (now - self._seen)
        self._seen, self.last = now, demand
        self._totals.sample(now, self._area)

    def mean(self, seconds: float, now: float) -> float:
        return self._totals.over(seconds, now, 0) / seconds if seconds > 0 else float(self.last)


class Replicas(Controller):
    """The part that the models of other products share."""

    grace = 30.0
    """Seconds that a replica has to end its calls once it was told to go."""

    def __init__(self, seed: int = 0) -> None:
        self.random = Random(f"{self.name} {seed}")
        self.targets: dict[str, int] = {}

    def target(self, pool: Pool) -> int:
        """Replicas that were asked for last."""
        return self.targets.get(pool.function, 0)

    def scale(self, world: World, pool: Pool, replicas: int) -> None:
        self.targets[pool.function] = min(replicas, most(world, pool))
        self.reconcile(world)

    def gone(self, world: World, instance: Instance) -> None:
        self.reconcile(world)

    def reconcile(self, world: World) -> None:
        for pool in world.pools.values():
            current = pool.current()
            lacking = self.target(pool) - len(current)
            for _ in range(lacking):
                card = world.board.place(pool.profile.need)
                if card is None:
                    break
                world.start(pool, card)
            if lacking < 0:
                for victim in self.victims(world, current)[:-lacking]:
                    world.drain(victim, self.grace)

    def victims(self, world: World, current: Sequence[Instance]) -> list[Instance]:
        """Who goes first."""
        raise NotImplementedError


class Pods(Replicas):
    def victims(self, world: World, current: Sequence[Instance]) -> list[Instance]:
        """As the ReplicaSet controller sorts pods to be deleted: not ready before ready, then those that are ready
        for less time, where times of about the same length (to the power of two) count as equal."""

        def order(one: Instance) -> tuple[bool, float, float]:
            age = world.now - (one.born if one.ready is None else one.ready)
            return not one.starting, int(log2(max(age, 1.0))), self.random.random()

        return sorted(current, key=order)


def most(world: World, pool: Pool) -> int:
    """As many as there is room for, as for a Penstock function without `max`."""
    return world.board.capacity(pool.profile.need)
