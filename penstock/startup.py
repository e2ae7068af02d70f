"""What every process does first: opens the store, and makes sure that Redis is there and loses nothing."""

from __future__ import annotations

import asyncio
import itertools
import logging

from penstock.errors import ConfigurationError, StoreUnavailable
from penstock.settings import Settings
from penstock.store import Retention, Store
from penstock.store.schema import NOTICE

log = logging.getLogger(__name__)

_PAUSE = 0.5
_TELL_AGAIN = 60


def make_store(settings: Settings) -> Store:
    """The store that the settings name."""
    retention = Retention(job_ms=int(settings.retention.job * 1000), call_ms=int(settings.retention.call * 1000))
    return Store(settings.redis.url, retention=retention, timeout=settings.redis.timeout)


async def wait_for_store(store: Store, stop: asyncio.Event, *, production: bool) -> None:
    """Returns once Redis answers and this process and the data fit together, or `stop` is set. Raises
    ConfigurationError if they never will, and in production if Redis loses jobs."""
    problems: list[str] = []
    for asked in itertools.count():
        try:
            problems = await store.durability()
            if await store.schema.settle():
                break
        except StoreUnavailable as error:
            if asked % _TELL_AGAIN == 0:
                log.warning("waiting for Redis: %s", error)
        if stop.is_set():
            return
        await asyncio.sleep(_PAUSE)
    if problems and production:
        raise ConfigurationError("; ".join(problems) + " (refused in production mode)")
    for problem in problems:
        log.warning("degraded: %s", problem)


async def settle(store: Store) -> None:
    """Waits until this process and the data fit together. Raises ConfigurationError if they never will, and
    StoreUnavailable."""
    while not await store.schema.settle():  # noqa: ASYNC110 (the event is in another process)
        await asyncio.sleep(_PAUSE)


class Guard:
    """Stops a process that an upgrade of the data leaves behind: nobody may work on what he cannot read."""

    def __init__(self, store: Store, stop: asyncio.Event) -> None:
        self._store = store
        self._stop = stop
        self.refusal: ConfigurationError | None = None
        """Why this process had to stop; None: it did not have to."""

    async def look(self) -> bool:
        """True: process and data fit together. False: nobody knows yet, or this process has to stop."""
        try:
            return await self._store.schema.settle()
        except StoreUnavailable:
            return False
        except ConfigurationError as error:
            self.refusal = error
            self._stop.set()
            return False

    async def watch(self) -> None:
        """Looks as long as the process runs, more often while nobody knows. Never returns."""
        while True:
            fits = await self.look()
            await asyncio.sleep(NOTICE if fits else _PAUSE)

    def check(self) -> None:
        """Raises the reason for which the process was stopped."""
        if self.refusal is not None:
            raise self.refusal
