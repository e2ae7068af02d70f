"""Follows the deployed functions: prepares each new revision and hands it to the pool.

Preparing (an environment, an image) may take minutes and may fail; it never holds up another function, and a
failure is tried again, since its cause may be a network that was away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from penstock.function import Function
from penstock.store import Store
from penstock.tasks import Tasks
from workers.engines import EngineError
from workers.pool import Pool

log = logging.getLogger(__name__)

_PERIOD = 1.0
_TRY_AGAIN = 30.0


class Deployer:
    def __init__(self, store: Store, pool: Pool, tasks: Tasks, on_change: Callable[[str], None]) -> None:
        self._store = store
        self._pool = pool
        self._tasks = tasks
        self._on_change = on_change
        self._seen: dict[str, str] = {}
        """Digest by name of what was handed to the pool."""
        self._deploying: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()

    def look(self) -> None:
        """A function may have changed."""
        self._wake.set()

    async def run(self) -> None:
        """Loop: compares what is deployed with what the pool has."""
        changes = -1
        while True:
            now = await self._store.catalog.changes()
            if now != changes:
                await self.synchronise()
                changes = now
            try:
                await asyncio.wait_for(self._wake.wait(), _PERIOD)
            except TimeoutError:
                continue
            self._wake.clear()

    async def synchronise(self) -> None:
        """Starts preparing what is new, removes what is gone."""
        functions = {function.name: function for function in await self._store.catalog.list()}
        for name, function in functions.items():
            if self._seen.get(name) != function.digest:
                self._seen[name] = function.digest
                # What prepares an older revision must not finish after a newer one.
                self._abandon(name)
                self._deploying[name] = self._tasks.spawn(f"deploy {name}", self._deploy(function))
        for name in set(self._seen) - set(functions):
            del self._seen[name]
            self._abandon(name)
            self._pool.remove(name)

    def _abandon(self, name: str) -> None:
        task = self._deploying.pop(name, None)
        if task is not None:
            task.cancel()

    async def _deploy(self, function: Function) -> None:
        while True:
            try:
                await self._pool.deploy(function)
            except EngineError as error:
                log.warning("%s revision %d: %s", function.name, function.revision, error)
                await self._store.catalog.set_ready(function.name, f"cannot be prepared: {error}")
                self._on_change(function.name)
                await asyncio.sleep(_TRY_AGAIN)
                continue
            await self._store.catalog.set_ready(function.name, None)
            self._on_change(function.name)
            log.info("%s revision %d is ready to be invoked", function.name, function.revision)
            return
