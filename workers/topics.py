"""Topics: each message becomes one job of every function that has a trigger on its topic."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from penstock import clock
from penstock.errors import ConfigurationError, QueueFull
from penstock.fc import payloads
from penstock.store import Store
from penstock.store.topics import Message
from penstock.store.triggers import group
from penstock.triggers import TopicTrigger
from workers.journal import Journal
from workers.submitting import Submitting

_PERIOD = 1.0
"""Seconds between two looks, for want of a hint."""
_TRY_AGAIN = 2.0
_TRIM_EVERY = 20.0
_BATCH = 100


class TopicReader:
    def __init__(self, store: Store, journal: Journal, trigger: TopicTrigger, submitting: Submitting) -> None:
        self._store = store
        self._journal = journal
        self._trigger = trigger
        self._submitting = submitting
        self._group = group(journal.function.name, trigger.name)
        self._trimmed = clock.monotonic()
        self._wake = asyncio.Event()
        self.joined = asyncio.Event()
        """Set when its topic is there."""

    def look(self) -> None:
        """There may be a message."""
        self._wake.set()

    async def run(self) -> None:
        """Loop: what was begun first, then what comes."""
        past = await self._journal.open()
        await self._store.topics.join(self._trigger.topic, self._group, past.since)
        self.joined.set()
        unfinished = True
        while True:
            self._wake.clear()
            found = await self._store.topics.read(
                self._trigger.topic, self._group, unfinished=unfinished, limit=_BATCH
            )
            if not await self._make_jobs(found):
                unfinished = True
                await asyncio.sleep(_TRY_AGAIN)
            elif unfinished and not found:
                unfinished = False
            elif len(found) < _BATCH and not unfinished:
                await self._trim()
                await self._idle()

    async def _make_jobs(self, messages: Sequence[Message]) -> bool:
        """True if each has become a job; those that have are finished."""
        wanted = [one for one in messages if self._trigger.tag is None or one.tag == self._trigger.tag]
        ended = await asyncio.gather(*(self._submit(one) for one in wanted), return_exceptions=True)
        left = {one.id for one, end in zip(wanted, ended, strict=True) if isinstance(end, BaseException)}
        await self._store.topics.finish(
            self._trigger.topic, self._group, [one.id for one in messages if one.id not in left]
        )
        jobs = [end for end in ended if isinstance(end, str)]
        if jobs:
            await self._journal.fired(jobs[-1], count=len(jobs))
        for end in ended:
            if isinstance(end, (QueueFull, ConfigurationError)):
                await self._journal.failed(str(end))
                return False
            if isinstance(end, BaseException):
                raise end
        return True

    async def _submit(self, one: Message) -> str:
        """The id of its job."""
        name, topic = self._trigger.name, self._trigger.topic
        event, kind = one.body, one.content_type or "application/octet-stream"
        if self._trigger.format == "json":
            event = payloads.message(
                topic, name, message_id=one.id, published_ms=one.published_ms, body=one.body, tag=one.tag
            )
            kind = "application/json"
        return await self._submitting.submit(
            self._journal.function,
            event,
            of=("topic", name, topic, one.id),
            at_ms=one.published_ms,
            content_type=kind,
        )

    async def _trim(self) -> None:
        if clock.monotonic() - self._trimmed > _TRIM_EVERY:
            self._trimmed = clock.monotonic()
            await self._store.topics.trim(self._trigger.topic)

    async def _idle(self) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), _PERIOD)
        except TimeoutError:
            return
