"""Keeps what was learnt about functions beyond a leader's life, so that the next one does not begin as a fool."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from penstock.store import Store
from workers.function_pool import FunctionPool
from workers.pool import Pool

_PERIOD = 1.0
_WRITTEN_EVERY = 10
"""Periods."""


class Learnt:
    def __init__(self, store: Store, pool: Pool) -> None:
        self._store = store
        self._pool = pool
        self._kept: dict[str, Mapping[str, Any]] = {}
        """By function, as the store has it."""

    async def run(self) -> None:
        """Loop: takes up what is known of a function that is new here, and writes what has changed."""
        period = 0
        while True:
            for name, pool in list(self._pool.functions.items()):
                if name not in self._kept:
                    await self._recall(name, pool)
                elif period % _WRITTEN_EVERY == 0:
                    await self._write(name, pool)
            for name in self._kept.keys() - self._pool.functions.keys():
                del self._kept[name]
            period += 1
            await asyncio.sleep(_PERIOD)

    async def write(self) -> None:
        """Once, before the end of a reign."""
        for name, pool in self._pool.functions.items():
            if name in self._kept:
                await self._write(name, pool)

    async def _recall(self, name: str, pool: FunctionPool) -> None:
        kept = await self._store.pools.recall(name)
        self._kept[name] = kept or {}
        if kept and not pool.coldstarts.calls and pool.memory.service is None:
            pool.memory.load(kept["memory"])
            pool.coldstarts.load(kept["coldstarts"])

    async def _write(self, name: str, pool: FunctionPool) -> None:
        learnt = {"memory": pool.memory.dump(), "coldstarts": pool.coldstarts.dump()}
        if learnt != self._kept[name] and pool.coldstarts.starts:
            await self._store.pools.remember(name, learnt)
            self._kept[name] = learnt
