"""Refuses new work before Redis runs out of memory; what was accepted still has room to finish."""

from __future__ import annotations

import asyncio

from penstock.errors import StoreUnavailable
from penstock.store import Store

_PERIOD = 1.0
_LIMIT = 0.9
"""Share of Redis's memory from which on nothing new is accepted."""


class Pressure:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._share: float | None = None

    def check(self) -> None:
        """Raises StoreUnavailable when there is no room for new work."""
        if self._share is not None and self._share >= _LIMIT:
            used = f"{self._share:.0%} of the memory that Redis may use"
            raise StoreUnavailable(f"{used} is used; what is queued must end first", retry_after=10)

    async def watch(self) -> None:
        """Loop: looks each second."""
        while True:
            self._share = await self._store.memory_share()
            await asyncio.sleep(_PERIOD)
