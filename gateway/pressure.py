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
        self.used: int | None = None
        """Bytes that Redis uses; None: not asked yet."""
        self.limit: int | None = None
        """Bytes that it may use; None: any, or not asked yet."""

    def check(self) -> None:
        """Raises StoreUnavailable when there is no room for new work."""
        if self.used is not None and self.limit is not None and self.used >= _LIMIT * self.limit:
            used = f"{self.used / self.limit:.0%} of the memory that Redis may use"
            raise StoreUnavailable(f"{used} is used; what is queued must end first", retry_after=10)

    async def watch(self) -> None:
        """Loop: looks each second."""
        while True:
            self.used, self.limit = await self._store.memory()
            await asyncio.sleep(_PERIOD)
