"""Clients that follow invocations: each is woken when anything has happened to its own.

Hints wake at once; they may be lost, so one script looks each second whether anything happened to any of them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from penstock import views
from penstock.store import PoolView, Store
from penstock.store.events import Glance

_PERIOD = 1.0
_BATCH = 200


class Observer:
    """One client that follows one invocation."""

    def __init__(self, function: str, invocation_id: str) -> None:
        self.function = function
        self.invocation_id = invocation_id
        self.position: int | None = None
        """In the queue, as of the last look; None: it does not wait there."""
        self.pool: PoolView | None = None
        """Of its function, as of the last look; None while it does not wait."""
        self.gist: str | None = None
        """Why calls wait there; stays the same while only figures change."""
        self.woken = asyncio.Event()
        """Something happened, or it waits elsewhere or for another reason; cleared by whoever looks."""


class Observers:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._observers: dict[str, set[Observer]] = {}
        self._marks: dict[str, bytes | None] = {}
        self.closed = False
        """This gateway stops: nobody can go on following here."""

    @contextmanager
    def observe(self, function: str, invocation_id: str) -> Iterator[Observer]:
        """Enter before the store is asked to tell us, or something may be missed for a second."""
        observer = Observer(function, invocation_id)
        following = self._observers.setdefault(invocation_id, set())
        following.add(observer)
        try:
            yield observer
        finally:
            following.discard(observer)
            if not following:
                self._observers.pop(invocation_id, None)
                self._marks.pop(invocation_id, None)

    def hint(self, invocation_id: str) -> None:
        """Something may have happened to it."""
        for observer in self._observers.get(invocation_id, ()):
            observer.woken.set()

    def close(self) -> None:
        """Lets go of everybody."""
        self.closed = True
        for invocation_id in self._observers:
            self.hint(invocation_id)

    async def look(self) -> None:
        """Loop: the truth, for those whose hint was lost; and positions, of which nobody tells."""
        while True:
            await asyncio.sleep(_PERIOD)
            followed = [(next(iter(one)).function, name) for name, one in self._observers.items()]
            pools: dict[str, PoolView] = {}
            for start in range(0, len(followed), _BATCH):
                batch = followed[start : start + _BATCH]
                glances = await self._store.events.glance(batch)
                for (function, invocation_id), glance in zip(batch, glances, strict=True):
                    if glance.position is not None and function not in pools:
                        pools[function] = await self._store.pools.get(function)
                    pool = pools[function] if glance.position is not None else None
                    self._seen(invocation_id, glance, pool)

    def _seen(self, invocation_id: str, glance: Glance, pool: PoolView | None) -> None:
        observers = self._observers.get(invocation_id)
        if observers is None:
            return
        happened = self._marks.get(invocation_id) != glance.mark
        gist = _gist(views.why_waiting(pool)) if pool is not None else None
        self._marks[invocation_id] = glance.mark
        for observer in observers:
            if happened or observer.position != glance.position or observer.gist != gist:
                observer.position, observer.pool, observer.gist = glance.position, pool, gist
                observer.woken.set()


@lru_cache(maxsize=256)
def _gist(reason: str | None) -> str | None:
    """Figures change each second, and hundreds may wait for the same: what counts is what they are figures of."""
    return re.sub(r"\d+(\.\d+)?", "#", reason) if reason is not None else None
