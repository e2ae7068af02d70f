"""The deployed functions as this gateway knows them: a copy, renewed when the store says that it is old."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from penstock.errors import FunctionNotFound
from penstock.function import NAME, Function
from penstock.store import Store

_PERIOD = 1.0


class Directory:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._copy: dict[str, Function] = {}
        self._changes = -1
        self.paused: Collection[str] = ()
        """Names of functions that an operator paused."""

    async def get(self, name: str) -> Function:
        """Raises FunctionNotFound."""
        found = self._copy.get(name)
        if found is None and NAME.fullmatch(name):
            found = await self._store.catalog.get(name)
            if found is not None:
                self._copy[name] = found
        if found is None:
            raise FunctionNotFound(name)
        return found

    def forget(self, name: str) -> None:
        """Its spec has changed."""
        self._copy.pop(name, None)

    async def watch(self) -> None:
        """Loop: drops the copy when anything was deployed, for when the hint was lost."""
        while True:
            changes = await self._store.catalog.changes()
            if changes != self._changes:
                self._copy.clear()
                self.paused = (await self._store.controls.paused()).functions
                self._changes = changes
            await asyncio.sleep(_PERIOD)
