"""What a leader does about triggers: a loop for each that makes jobs, and none where there is none."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

from penstock.errors import StoreUnavailable
from penstock.function import Function
from penstock.store import Store
from penstock.tasks import Tasks, cancel
from penstock.triggers import ObjectsTrigger, TimerTrigger, TopicTrigger
from workers.journal import Journal
from workers.objects import ObjectWatcher
from workers.submitting import Submitting
from workers.timers import Timers
from workers.topics import TopicReader

log = logging.getLogger(__name__)

_JOINED_WITHIN = 2.0
"""Seconds; what takes longer goes on by itself."""
_QUALIFIED = "@"
"""In the name of a version: triggers call the function itself."""


@dataclass
class _Followed:
    """The triggers of one function."""

    tasks: Tasks = field(default_factory=Tasks)
    timers: list[str] = field(default_factory=list)
    topics: list[TopicReader] = field(default_factory=list)


class Triggers:
    def __init__(self, store: Store, submitting: Submitting, *, url: str) -> None:
        """`url` of Redis, for arq."""
        self._store = store
        self._submitting = submitting
        self._timers = Timers(submitting, url=url)
        self._followed: dict[str, _Followed] = {}
        self._changes: asyncio.Queue[tuple[str, Function | None, asyncio.Event]] = asyncio.Queue()

    async def follow(self, function: Function) -> None:
        """It was deployed: returns when its triggers are these."""
        if _QUALIFIED not in function.name and (function.spec.triggers or function.name in self._followed):
            await self._change(function.name, function)

    def unfollow(self, name: str) -> None:
        """It was deleted."""
        if name in self._followed:
            self._changes.put_nowait((name, None, asyncio.Event()))

    def look(self) -> None:
        """A topic may have a message."""
        for followed in self._followed.values():
            for reader in followed.topics:
                reader.look()

    async def run(self) -> None:
        """Loop: applies one change after the other."""
        for name in await self._store.triggers.functions():
            await self._tidy(name, await self._store.catalog.get(name))
        while True:
            name, function, done = await self._changes.get()
            try:
                await self._end(name)
                await self._tidy(name, function)
                if function is not None:
                    await self._begin(function)
            finally:
                done.set()

    async def close(self) -> None:
        """Once nothing is applied any more."""
        for name in list(self._followed):
            await self._end(name)
        await self._timers.close()

    async def _change(self, name: str, function: Function) -> None:
        done = asyncio.Event()
        self._changes.put_nowait((name, function, done))
        await done.wait()

    async def _tidy(self, name: str, function: Function | None) -> None:
        """What it had once and has no longer, or not now, is forgotten."""
        has = {one.name for one in function.spec.triggers if one.enabled} if function is not None else set()
        try:
            gone = (await self._store.triggers.pasts(name)).keys() - has
            await self._store.triggers.forget(name, gone)
        except StoreUnavailable as error:
            log.warning("%s: what its former triggers did is still kept: %s", name, error)

    async def _begin(self, function: Function) -> None:
        enabled = [one for one in function.spec.triggers if one.enabled]
        if not any(isinstance(one, (TimerTrigger, ObjectsTrigger, TopicTrigger)) for one in enabled):
            return
        followed = self._followed[function.name] = _Followed()
        for trigger in enabled:
            loop = f"trigger {function.name}/{trigger.name}"
            journal = Journal(self._store, function, trigger)
            if isinstance(trigger, TimerTrigger):
                followed.timers.append(self._timers.add(journal, trigger, followed.tasks, loop))
            elif isinstance(trigger, ObjectsTrigger):
                watcher = ObjectWatcher(self._store, journal, trigger, self._submitting)
                followed.tasks.loop(loop, watcher.run)
            elif isinstance(trigger, TopicTrigger):
                reader = TopicReader(self._store, journal, trigger, self._submitting)
                followed.topics.append(reader)
                followed.tasks.loop(loop, reader.run)
        # Before the function is said to be ready, so that whoever then publishes finds the topic.
        joining = [asyncio.create_task(reader.joined.wait()) for reader in followed.topics]
        if joining:
            await asyncio.wait(joining, timeout=_JOINED_WITHIN)
            await cancel(joining)

    async def _end(self, name: str) -> None:
        followed = self._followed.pop(name, None)
        if followed is None:
            return
        await followed.tasks.stop()
        for token in followed.timers:
            await self._timers.remove(token)
