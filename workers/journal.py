"""What one trigger has done, beyond the life of a leader."""

from __future__ import annotations

import logging
from dataclasses import replace

from penstock import clock
from penstock.function import Function
from penstock.store import Store
from penstock.triggers import Past, TopicTrigger, Trigger

log = logging.getLogger(__name__)

_TELL_AGAIN_MS = 60_000


class Journal:
    def __init__(self, store: Store, function: Function, trigger: Trigger) -> None:
        self._store = store
        self.function = function
        self._trigger = trigger
        self._past = self._nothing()

    async def open(self) -> Past:
        """What it has done so far; nothing, since the function was deployed, if it is new or looks elsewhere."""
        name = self._trigger.name
        past = (await self._store.triggers.pasts(self.function.name)).get(name)
        if past is not None and past.identity != self._trigger.identity:
            await self._store.triggers.forget(self.function.name, {name})
            past = None
        if past is None:
            await self._write(self._nothing())
        else:
            self._past = past
        return self._past

    async def fired(self, invocation: str, *, count: int = 1, due_ms: int | None = None) -> None:
        """It made jobs, the last of them this one."""
        due = self._past.due if due_ms is None else max(due_ms, self._past.due or 0)
        fired = self._past.fired + count
        now = clock.now_ms()
        await self._write(
            replace(
                self._past, due=due, fired=fired, fired_at=now, invocation=invocation, error=None, error_at=None
            )
        )

    async def failed(self, error: str) -> None:
        """It cannot fire now; the same reason is said once a minute."""
        now = clock.now_ms()
        if error == self._past.error and now - (self._past.error_at or 0) < _TELL_AGAIN_MS:
            return
        log.warning("%s: trigger %s: %s", self.function.name, self._trigger.name, error)
        await self._write(replace(self._past, error=error, error_at=now))

    async def well(self) -> None:
        """What kept it from firing is over."""
        if self._past.error is not None:
            await self._write(replace(self._past, error=None, error_at=None))

    async def _write(self, past: Past) -> None:
        self._past = past
        await self._store.triggers.write(self.function.name, self._trigger.name, past)

    def _nothing(self) -> Past:
        topic = self._trigger.topic if isinstance(self._trigger, TopicTrigger) else None
        return Past(identity=self._trigger.identity, since=self.function.created_at, topic=topic)
