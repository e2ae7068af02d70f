"""Writes what each active function did to its series, a point a second, under the leader's epoch.

A function that nothing happens to costs nothing: its point is left out, but for one a minute while it has
instances or work, and a last one that closes its last minute.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from penstock import clock
from penstock.errors import Stale
from penstock.series import SECOND_KEPT_MS, Point
from penstock.store import Store
from workers.cards import Card
from workers.dispatcher import Dispatcher
from workers.figures import Figures
from workers.pool import Pool
from workers.rooms import Rooms
from workers.scaler import Scaler

_AGAIN = 60.0
"""Seconds after which a state is told again."""
_NOTHING = {"od": 0, "pr": 0, "b": 0}


@dataclass
class _Told:
    """The last point of a function."""

    at: float
    state: Mapping[str, int]


class Chronicle:
    def __init__(
        self,
        store: Store,
        pool: Pool,
        dispatcher: Dispatcher,
        scaler: Scaler,
        rooms: Rooms,
        figures: Figures,
        *,
        epoch: int,
    ) -> None:
        self._store = store
        self._pool = pool
        self._dispatcher = dispatcher
        self._scaler = scaler
        self._rooms = rooms
        self._figures = figures
        self._epoch = epoch
        self._told: dict[str, _Told] = {}
        self._taken: dict[str, int] = {}
        """Calls that each instance had been given at the last look."""

    async def run(self) -> None:
        """Loop: until this process leads no more."""
        await self.resume()
        while True:
            await asyncio.sleep(1 - clock.now_ms() % 1000 / 1000)
            points = self.tick()
            try:
                # One that Redis does not answer for may have been written, so it is not sent again.
                await asyncio.gather(*(self._add(function, point) for function, point in points.items()))
            except Stale:
                return

    async def resume(self) -> None:
        """What the last leader told last is told again, or closed."""
        for function in await self._store.series.active(clock.now_ms() - SECOND_KEPT_MS):
            self._told.setdefault(function, _Told(float("-inf"), _NOTHING))

    async def _add(self, function: str, point: Point) -> None:
        await self._store.series.add(function, point, epoch=self._epoch)

    def tick(self) -> dict[str, Point]:
        """The points of this second, by function."""
        now = clock.monotonic()
        points = {}
        pools = self._pool.functions
        active = [name for name, one in pools.items() if one.instances or self._scaler.queue(name).queued]
        for function in {*active, *self._told, *self._figures.functions}:
            point = self._point(function, now)
            if point is not None:
                points[function] = point
        instances = (one for name in active for one in pools[name].instances.values())
        self._taken = {one.id: one.taken for one in instances}
        deleted = [function for function in self._figures.functions if not self._pool.knows(function)]
        self._figures.tidy(active, deleted)
        return points

    def _point(self, function: str, now: float) -> Point | None:
        """None: there is nothing to tell."""
        happened, state = self._happened(function), self._state(function)
        at_once = max(happened.pop("c", 0), self._dispatcher.runs(function).calls)
        if at_once:
            happened["c"] = at_once
        told = self._told.get(function)
        due = told is not None and now - told.at >= _AGAIN
        if not happened and not due and state == (told.state if told else _NOTHING):
            return None
        if happened or state != _NOTHING or (told is not None and told.state != _NOTHING):
            self._told[function] = _Told(now, state)
        else:
            del self._told[function]
        states = {name: value for name, value in state.items() if value}
        return {"s": 1, **happened, **states, **self._used(function)}

    def _happened(self, function: str) -> Point:
        figures = self._figures.functions.get(function)
        if figures is None:
            return {}
        happened, figures.point = figures.point, {}
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in happened.items()}

    def _state(self, function: str) -> Mapping[str, int]:
        pool = self._pool.functions.get(function)
        if pool is None:
            return _NOTHING
        worked = provisioned = 0
        for one in pool.instances.values():
            if one.provisioned:
                provisioned += one.serves
            else:
                worked += bool(one.runs) or one.taken != self._taken.get(one.id, 0)
        queue = self._scaler.queue(function)
        return {"od": worked, "pr": provisioned, "b": queue.queued - queue.held}

    def _used(self, function: str) -> Point:
        """What the cards do that it has instances on."""
        used: Point = {}
        for card in self._cards(function):
            memory = 1 - card.free / card.memory if card.free is not None and card.memory else None
            shares = {"gm": memory, "gs": card.sm, "ge": card.encoder, "gd": card.decoder}
            for name, share in shares.items():
                if share is not None:
                    used[name] = round(used.get(name, 0) + share, 4)
                    used[f"{name}n"] = used.get(f"{name}n", 0) + 1
        return used

    def _cards(self, function: str) -> Iterator[Card]:
        pool = self._pool.functions.get(function)
        for uuid in {one.card for one in pool.instances.values()} if pool else ():
            card = self._rooms.cards.get(uuid or "")
            if card is not None:
                yield card
