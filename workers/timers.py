"""Timers: each due time becomes one job. arq carries them: each timer keeps its next due time there.

What is due has an id of its own, so it becomes one job whoever fires it, and however often. What was due while no
leader lived is not made up for, but for the latest; so it is with what was due while the queue was full.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable

from penstock import clock
from penstock.errors import ConfigurationError, FunctionNotFound, QueueFull, StoreUnavailable
from penstock.fc import payloads
from penstock.tasks import Tasks
from penstock.timers import around
from penstock.triggers import TimerTrigger
from workers.deferred import Deferred
from workers.journal import Journal
from workers.submitting import Submitting

_QUEUE = "ps:arq:timers"
_LONGEST_FIRE = 10.0
_AT_ONCE = 64
_TRY_AGAIN = 5.0
_LONGEST_SLEEP = 30.0
"""Seconds: the clock on the wall may be set meanwhile."""

Put = Callable[[int], Awaitable[None]]


class Timer:
    def __init__(self, journal: Journal, trigger: TimerTrigger, submitting: Submitting, put: Put) -> None:
        """`put` has `fire` called at a due time."""
        self._journal = journal
        self._trigger = trigger
        self._submitting = submitting
        self._put = put
        self._owed: set[int] = set()
        """Due times that were put and have not become jobs."""
        self._failed = asyncio.Event()

    async def run(self) -> None:
        """Loop: puts each due time when the one before it has come."""
        while True:
            self._failed.clear()
            self._owed.clear()
            await self._put_all()
            await asyncio.sleep(_TRY_AGAIN)

    async def _put_all(self) -> None:
        """From the latest that was missed on; returns when one could not become a job."""
        past = await self._journal.open()
        schedule, zone = self._trigger.schedule, self._trigger.timezone
        dues = around(schedule, zone, since_ms=past.since, now_ms=clock.now_ms())
        missed = dues.last if dues.last is not None and dues.last > (past.due or past.since) else None
        due = missed if missed is not None else dues.next
        while due is not None and not self._failed.is_set():
            self._owed.add(due)
            await self._put(due)
            await self._until(due)
            due = around(schedule, zone, since_ms=past.since, now_ms=due).next
        await self._failed.wait()

    async def _until(self, due_ms: int) -> None:
        while (left := (due_ms - clock.now_ms()) / 1000) > 0 and not self._failed.is_set():
            try:
                await asyncio.wait_for(self._failed.wait(), min(left, _LONGEST_SLEEP))
            except TimeoutError:
                continue

    async def fire(self, due_ms: int) -> None:
        """Makes the job of a due time."""
        if due_ms not in self._owed:
            return
        name = self._trigger.name
        event = payloads.timer(name, due_ms, self._trigger.payload)
        try:
            job = await self._submitting.submit(self._journal.function, event, of=("timer", name), at_ms=due_ms)
            await self._journal.fired(job, due_ms=due_ms)
        except StoreUnavailable:
            self._failed.set()
            raise
        except (QueueFull, FunctionNotFound, ConfigurationError) as error:
            self._failed.set()
            await self._journal.failed(str(error))
        self._owed.discard(due_ms)


class Timers:
    """All of them, and the arq worker that fires them: it runs while there is any."""

    def __init__(self, submitting: Submitting, *, url: str) -> None:
        """`url` of Redis, for arq."""
        self._submitting = submitting
        self._deferred = Deferred(url, _QUEUE, "fire", self._fire, timeout=_LONGEST_FIRE, at_once=_AT_ONCE)
        self._timers: dict[str, Timer] = {}
        self._worker: Tasks | None = None

    def add(self, journal: Journal, trigger: TimerTrigger, tasks: Tasks, loop: str) -> str:
        """Runs it among these tasks; the token to remove it by. What was put under another token, by an earlier
        leader or for an earlier spec, is not fired: whoever came after it has put it again."""
        token = secrets.token_hex(8)

        async def put(due_ms: int) -> None:
            await self._deferred.put(f"{token}:{due_ms}", token, due_ms, at_ms=due_ms)

        timer = self._timers[token] = Timer(journal, trigger, self._submitting, put)
        tasks.loop(loop, timer.run)
        if self._worker is None:
            self._worker = Tasks()
            self._worker.loop("timers", self._deferred.run)
        return token

    async def remove(self, token: str) -> None:
        self._timers.pop(token, None)
        if not self._timers:
            await self._rest()

    async def close(self) -> None:
        self._timers.clear()
        await self._rest()
        await self._deferred.close()

    async def _rest(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.stop()

    async def _fire(self, token: str, due_ms: int) -> None:
        timer = self._timers.get(token)
        if timer is not None:
            await timer.fire(due_ms)
