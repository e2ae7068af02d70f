"""Objects that appear in a folder or a bucket: each becomes one job."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from penstock import clock
from penstock.errors import ConfigurationError, QueueFull
from penstock.fc import payloads
from penstock.store import Store
from penstock.triggers import ObjectsTrigger
from workers.appearing import Changes, Found, compare
from workers.buckets import CannotLook, look_at
from workers.journal import Journal
from workers.submitting import Submitting

_AT_ONCE = 100
"""Jobs that are submitted in one turn."""
_CLOCKS_APART_MS = 5_000
"""What a store says of the time is by its own clock, and in whole seconds."""
_REMOVED = "removed at "
"""How an object looks that is gone, until that has become a job."""


class ObjectWatcher:
    def __init__(self, store: Store, journal: Journal, trigger: ObjectsTrigger, submitting: Submitting) -> None:
        self._store = store
        self._journal = journal
        self._trigger = trigger
        self._submitting = submitting
        self._look = look_at(trigger)
        self._seen: dict[str, str] = {}

    async def run(self) -> None:
        """Loop: looks, and makes jobs of what is new."""
        past = await self._journal.open()
        self._seen = await self._store.triggers.seen(self._journal.function.name, self._trigger)
        before: Mapping[str, Found] | None = None if self._trigger.s3 else {}
        since = past.since - (_CLOCKS_APART_MS if self._trigger.s3 else 0)
        while True:
            try:
                now = await asyncio.to_thread(self._look)
                await self._tell(compare(now, before, self._seen, since_ms=since), now)
                if before is not None:
                    before = now
            except (CannotLook, QueueFull, ConfigurationError) as error:
                await self._journal.failed(str(error))
            else:
                await self._journal.well()
            await asyncio.sleep(self._trigger.period)

    async def _tell(self, changes: Changes, now: Mapping[str, Found]) -> None:
        """Raises QueueFull; what has not become a job is found again by the next look."""
        for keys in _pages(changes.known):
            await self._saw({key: now[key].look for key in keys})
        told = self._trigger.events
        for keys in _pages(changes.created):
            if "created" in told:
                await self._fire([("created", key, now[key], now[key].look) for key in keys])
            await self._saw({key: now[key].look for key in keys})
        for keys in _pages(changes.removed):
            if "removed" in told:
                # When it was seen to be gone is written down first: its job's id follows from that.
                await self._saw(
                    {
                        key: f"{_REMOVED}{clock.now_ms()}"
                        for key in keys
                        if not self._seen[key].startswith(_REMOVED)
                    }
                )
                await self._fire([("removed", key, _gone(self._seen[key]), self._seen[key]) for key in keys])
            await self._store.triggers.gone(self._journal.function.name, self._trigger, keys)
            for key in keys:
                del self._seen[key]

    async def _fire(self, happened: Sequence[tuple[str, str, Found, str]]) -> None:
        jobs = await asyncio.gather(*(self._submit(*one) for one in happened))
        await self._journal.fired(jobs[-1], count=len(jobs))

    async def _submit(self, happened: str, key: str, found: Found, look: str) -> str:
        name = self._trigger.name
        event = payloads.stored_object(
            name,
            happened,
            bucket=self._trigger.s3 or self._trigger.bucket,
            region=self._trigger.region or "",
            key=key,
            size=found.size,
            etag=found.etag,
            at_ms=found.changed_ms,
        )
        of = ("objects", name, self._trigger.identity, happened, key, look)
        return await self._submitting.submit(self._journal.function, event, of=of, at_ms=found.changed_ms)

    async def _saw(self, looks: Mapping[str, str]) -> None:
        await self._store.triggers.saw(self._journal.function.name, self._trigger, looks)
        self._seen.update(looks)


def _pages(keys: Sequence[str]) -> list[Sequence[str]]:
    return [keys[n : n + _AT_ONCE] for n in range(0, len(keys), _AT_ONCE)]


def _gone(look: str) -> Found:
    return Found(look=look, size=0, etag="", changed_ms=int(look.removeprefix(_REMOVED)))
