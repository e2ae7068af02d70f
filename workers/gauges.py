"""What the leader's metrics say of how things are now: read from what it has in memory, and one pipeline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from penstock import clock
from penstock.store import Store
from penstock.telemetry import catalogue as the
from penstock.telemetry.metrics import Gauge
from workers.figures import Figures
from workers.placer import Placer
from workers.pool import Pool
from workers.rooms import Rooms
from workers.scaler import Scaler


class Gauges:
    def __init__(
        self,
        store: Store,
        pool: Pool,
        scaler: Scaler,
        placer: Placer,
        rooms: Rooms,
        figures: Figures,
        *,
        epoch: int,
    ) -> None:
        self._store = store
        self._pool = pool
        self._scaler = scaler
        self._placer = placer
        self._rooms = rooms
        self._figures = figures
        self._epoch = epoch

    async def leader(self) -> Iterable[Gauge]:
        """What it has in memory."""
        return [Gauge(the.EPOCH, (), self._epoch), *self._instances(), *self._scaling(), *self._cards()]

    async def queues(self) -> Iterable[Gauge]:
        """Redis is asked once about all functions that something is due for. Raises StoreUnavailable."""
        active = await self._store.queue.active()
        awake = [name for name, pool in self._pool.functions.items() if pool.instances]
        depths: Counter[tuple[str, str]] = Counter()
        oldest: dict[str, float] = {}
        own = [function for function in dict.fromkeys([*awake, *active]) if self._name(function) == function]
        for function, depth in zip(own, await self._store.queue.depths(own), strict=True):
            for state, count in zip(("ready", "delayed", "running"), depth, strict=True):
                depths[function, state] = count
            oldest[function] = self._scaler.oldest(function) if depth[0] else 0.0
        for function in set(active) - set(own):  # they share a name
            queue = self._scaler.queue(function)
            for state, count in (("ready", queue.queued), ("delayed", queue.delayed), ("running", queue.running)):
                depths[self._name(function), state] += count
            name = self._name(function)
            oldest[name] = max(oldest.get(name, 0.0), self._scaler.oldest(function))
        return [
            *(Gauge(the.DEPTH, labels, count) for labels, count in depths.items()),
            *(Gauge(the.OLDEST, (name,), seconds) for name, seconds in oldest.items()),
        ]

    async def callbacks(self) -> Iterable[Gauge]:
        """Raises StoreUnavailable."""
        owed, due_ms = await self._store.deliveries.backlog()
        late = max(clock.now_ms() - due_ms, 0) / 1000 if due_ms is not None else 0.0
        return [Gauge(the.CALLBACKS_PENDING, (), owed), Gauge(the.CALLBACKS_OVERDUE, (), late)]

    def _name(self, function: str) -> str:
        return self._figures.name(function)

    def _instances(self) -> Iterator[Gauge]:
        counts: Counter[tuple[str, str, str]] = Counter()
        for function, pool in self._pool.functions.items():
            for one in pool.instances.values():
                counts[self._name(function), one.view().state, str(one.provisioned).lower()] += 1
        yield from (Gauge(the.INSTANCES, labels, count) for labels, count in counts.items())

    def _scaling(self) -> Iterator[Gauge]:
        desired: Counter[str] = Counter()
        for function, decision in self._scaler.decisions.items():
            pool = self._pool.functions.get(function)
            if decision.desired or (pool and pool.instances):
                desired[self._name(function)] += decision.desired
        yield from (Gauge(the.DESIRED, (name,), count) for name, count in desired.items())
        blocked = Counter(map(self._name, self._placer.blocked))
        yield from (Gauge(the.BLOCKED, (name,), count) for name, count in blocked.items())

    def _cards(self) -> Iterator[Gauge]:
        for uuid, card in self._rooms.cards.items():
            yield Gauge(the.GPU_MEMORY, (uuid,), card.memory)
            yield Gauge(the.GPU_RESERVED, (uuid,), sum(self._rooms.reserved(card).values()))
            yield Gauge(the.GPU_USABLE, (uuid,), self._rooms.closed(card) is None)
            if card.free is not None:
                yield Gauge(the.GPU_USED, (uuid,), card.memory - card.free)
            for task, share in (("sm", card.sm), ("encoder", card.encoder), ("decoder", card.decoder)):
                if share is not None:
                    yield Gauge(the.GPU_BUSY, (uuid, task), share)
