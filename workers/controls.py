"""Follows what operators ask for beside specs: pauses, warm-ups, provision configs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from penstock.store import Store
from workers.pool import Pool
from workers.rooms import Rooms

_PERIOD = 1.0


class Controls:
    def __init__(self, store: Store, pool: Pool, rooms: Rooms, on_change: Callable[[str], None]) -> None:
        self._store = store
        self._pool = pool
        self._rooms = rooms
        self._on_change = on_change
        self._wake = asyncio.Event()

    def look(self) -> None:
        """Something may have been asked for."""
        self._wake.set()

    async def run(self) -> None:
        """Loop: does what was asked for, at once when told, each second in case that got lost."""
        changes = -1
        while True:
            now = await self._store.catalog.changes()
            if now != changes:
                await self.apply()
                changes = now
            try:
                await asyncio.wait_for(self._wake.wait(), _PERIOD)
            except TimeoutError:
                continue
            self._wake.clear()

    async def apply(self) -> None:
        controls = self._store.controls
        paused, warm = await asyncio.gather(controls.paused(), controls.take_warm_ups())
        self._rooms.pause(paused.gpus)
        for name, pool in self._pool.functions.items():
            before = pool.paused, pool.warm
            pool.paused = paused.functions.get(name)
            pool.warm = max(warm.get(name, 0), pool.warm)
            if before != (pool.paused, pool.warm):
                self._on_change(name)
        for instance in self._pool.on_cards(paused.gpus):
            self._pool.drain(instance, "its GPU was paused by an operator")
