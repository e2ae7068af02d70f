"""What every process does first: opens the store, and makes sure that Redis is there and loses nothing."""

from __future__ import annotations

import asyncio
import itertools
import logging

from penstock.errors import ConfigurationError, StoreUnavailable
from penstock.settings import Settings
from penstock.store import Retention, Store

log = logging.getLogger(__name__)

_PAUSE = 0.5
_TELL_AGAIN = 60


def make_store(settings: Settings) -> Store:
    """The store that the settings name."""
    retention = Retention(job_ms=int(settings.retention.job * 1000), call_ms=int(settings.retention.call * 1000))
    return Store(settings.redis.url, retention=retention, timeout=settings.redis.timeout)


async def wait_for_store(store: Store, stop: asyncio.Event, *, production: bool) -> None:
    """Returns once Redis answers, or `stop` is set. Raises ConfigurationError in production if it loses jobs."""
    problems: list[str] = []
    for asked in itertools.count():
        try:
            problems = await store.durability()
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
