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
from workers.frozen import Frozen
from workers.pool import Pool
from workers.triggers import Triggers

log = logging.getLogger(__name__)

_PERIOD = 1.0
_TRY_AGAIN = 30.0
_AT_A_TIME = 64
"""Functions that are prepared at a start."""


class Deployer:
    def __init__(
        self,
        store: Store,
        pool: Pool,
        tasks: Tasks,
        triggers: Triggers,
        frozen: Frozen,
        on_change: Callable[[str], None],
    ) -> None:
        self._store = store
        self._pool = pool
        self._frozen = frozen
        self._tasks = tasks
        self._triggers = triggers
        self._on_change = on_change
        self._seen: dict[str, int] = {}
        """Hash by name of the text of what was handed to the pool."""
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
                await self.synchronise(asleep=changes < 0)
                changes = now
            try:
                await asyncio.wait_for(self._wake.wait(), _PERIOD)
            except TimeoutError:
                continue
            self._wake.clear()

    async def synchronise(self, *, asleep: bool = False) -> None:
        """Starts preparing what is new, removes what is gone. `asleep`: all of it was there before us, and whoever
        waits for it shows in the queues."""
        stored = await self._store.catalog.stored()
        changed = {name: text for name, text in stored.items() if self._seen.get(name) != hash(text)}
        for name, text in changed.items():
            self._seen[name] = hash(text)
            # What prepares an older revision must not finish after a newer one.
            self._abandon(name)
            if not asleep:
                self._begin(name, text, asleep=False)
        if asleep and changed:
            self._tasks.spawn("first deploys", self._all(changed))
        for name in set(self._seen) - set(stored):
            del self._seen[name]
            self._abandon(name)
            self._pool.remove(name)
            self._triggers.unfollow(name)

    def _abandon(self, name: str) -> None:
        task = self._deploying.pop(name, None)
        if task is not None:
            task.cancel()

    def _begin(self, name: str, text: bytes, *, asleep: bool) -> asyncio.Task[None]:
        task = self._deploying[name] = self._tasks.spawn(f"deploy {name}", self._deploy(text, asleep))
        return task

    async def _all(self, texts: dict[str, bytes]) -> None:
        """Thousands of them, some at a time, so that they do not all stand in memory at once."""

        async def next_ones() -> None:
            while texts:
                name, text = texts.popitem()
                if self._seen.get(name) == hash(text):
                    await asyncio.wait([self._begin(name, text, asleep=True)])

        await asyncio.gather(*(next_ones() for _ in range(_AT_A_TIME)))

    async def _deploy(self, text: bytes, asleep: bool) -> None:
        function = Function.load(text)
        await self._triggers.follow(function)
        await self._prepare(function, asleep and not _stands(function))
        self._deploying.pop(function.name, None)

    async def _prepare(self, function: Function, asleep: bool) -> None:
        while True:
            try:
                function = await self._frozen.of(function)
                if asleep:
                    await self._pin(function, await self._pool.prepare(function))
                    await self._store.catalog.set_ready(function.name, None)
                    return
                await self._pin(function, await self._pool.deploy(function))
            except EngineError as error:
                if asleep:
                    asleep = False  # its pool is there to say why
                    continue
                log.warning("%s revision %d: %s", function.name, function.revision, error)
                await self._store.catalog.set_ready(function.name, f"cannot be prepared: {error}")
                self._on_change(function.name)
                await asyncio.sleep(_TRY_AGAIN)
                continue
            await self._store.catalog.set_ready(function.name, None)
            self._on_change(function.name)
            log.info("%s revision %d is ready to be invoked", function.name, function.revision)
            return

    async def _pin(self, function: Function, image: str | None) -> None:
        if image is not None and image != function.pinned:
            # As it will be stored: this is no change that anything must follow.
            self._seen[function.name] = hash(function.model_copy(update={"pinned": image}).dump().encode())
            await self._store.catalog.pin(function, image)


def _stands(function: Function) -> bool:
    """It wants instances although nobody calls."""
    scaling = function.spec.scaling
    return bool(scaling.min or function.spec.provision or scaling.idle_timeout == "adaptive")
