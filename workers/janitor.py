"""Removes blobs that no record refers to (those of records past their retention, and of submits that failed), and
copies of code that no version is of."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Collection

from penstock.blobs import Blobs
from penstock.store import Store
from workers.frozen import Frozen

log = logging.getLogger(__name__)

_PERIOD = 600.0
_OLD = 3600.0
"""Seconds; a younger blob may belong to a record that is about to be written."""
_NAME = re.compile(r"(?P<function>[^/]+)/(?P<id>[0-9a-f-]{36})\..+")


class Janitor:
    def __init__(self, store: Store, blobs: Blobs, frozen: Frozen, running: Callable[[], Collection[str]]) -> None:
        """`running`: digests of the code that instances run."""
        self._store = store
        self._blobs = blobs
        self._frozen = frozen
        self._running = running

    async def run(self) -> None:
        """Loop: sweeps every ten minutes."""
        while True:
            await self.sweep(older_than=_OLD)
            await self.sweep_code(older_than=_OLD)
            await asyncio.sleep(_PERIOD)

    async def sweep_code(self, *, older_than: float) -> int:
        """Removes copies of code that no published version is of any more; returns how many."""
        deployed = await self._store.catalog.list(versions=True)
        return await self._frozen.sweep(
            {one.code for one in deployed if one.version} | set(self._running()), older_than=older_than
        )

    async def sweep(self, *, older_than: float) -> int:
        """Removes what is old and belongs to nobody; returns how many blobs."""
        removed = 0
        for name in await self._blobs.names(older_than=older_than):
            owner = _NAME.fullmatch(name)
            if owner is None or await self._store.invocations.exists(owner["function"], owner["id"]):
                continue
            await self._blobs.delete(name)
            removed += 1
        if removed:
            log.info("removed %d blobs that no record refers to", removed)
        return removed
