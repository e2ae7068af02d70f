"""Follows what operators ask for beside specs: pauses, warm-ups, provision configs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from penstock.provision import ProvisionConfig
from penstock.store import Store
from workers.floors import Floors
from workers.pool import Pool
from workers.qualified import ruling
from workers.rooms import Rooms

_PERIOD = 1.0


class Controls:
    def __init__(
        self, store: Store, pool: Pool, rooms: Rooms, floors: Floors, on_change: Callable[[str], None]
    ) -> None:
        self._store = store
        self._pool = pool
        self._rooms = rooms
        self._floors = floors
        self._on_change = on_change
        self._wake = asyncio.Event()
        self._missing: set[str] = set()
        """Functions of which something was asked, and that are not prepared yet."""
        self._warm: dict[str, int] = {}
        """Asked for, and not told to the pool yet: its function is still being prepared."""

    def look(self) -> None:
        """Something may have been asked for."""
        self._wake.set()

    async def run(self) -> None:
        """Loop: does what was asked for, at once when told, each second in case that got lost."""
        seen: tuple[int, frozenset[str]] | None = None
        while True:
            # A function whose pool is new may have been paused before.
            now = await self._store.catalog.changes(), frozenset(self._pool.functions)
            if now != seen or self._missing:
                await self.apply()
                seen = now
            try:
                await asyncio.wait_for(self._wake.wait(), _PERIOD)
            except TimeoutError:
                continue
            self._wake.clear()

    async def apply(self) -> None:
        controls = self._store.controls
        paused, warm, stored, versions = await asyncio.gather(
            controls.paused(), controls.take_warm_ups(), controls.provisions(), self._store.versions.all()
        )
        configs = {
            name: ProvisionConfig.model_validate_json(config, extra="ignore") for name, config in stored.items()
        }
        put = ruling(configs, versions)
        self._floors.put(put)
        self._warm |= warm
        asked = {*put, *paused.functions, *self._warm}
        self._missing = {name for name in asked if self._pool.find(name) is None}
        self._rooms.pause(paused.gpus)
        self._pool.paused = paused.functions
        for name, pool in self._pool.functions.items():
            before = pool.paused, pool.warm
            pool.paused = paused.functions.get(name)
            pool.warm = max(self._warm.pop(name, 0), pool.warm)
            if before != (pool.paused, pool.warm):
                self._on_change(name)
        for instance in self._pool.on_cards(paused.gpus):
            self._pool.drain(instance, "its GPU was paused by an operator")
