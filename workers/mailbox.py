"""The jobs of one instance that asks for them: what waits for it, what it runs, what it should stop.

A job that was handed out is the worker's until it says what became of it, or says that it no longer runs it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import replace

from penstock import clock
from penstock.invocation import Response
from workers.answer import Lost, Malformed, NotSent
from workers.live import LiveRun
from workers.protocols.runpod import Done, JsonObject
from workers.recording import Recording

_TELL_AGAIN = 1.0
"""Seconds after which a worker is told again to stop a job that it still runs: it may not have begun it then."""
_SEEN_LATE = 0.2
"""Seconds that what a ping says may be older than the ping."""
_NDJSON = Response(status=200, headers=(("Content-Type", "application/x-ndjson"),))


class Job:
    def __init__(self, body: JsonObject, live: LiveRun, *, longest: int) -> None:
        """`longest`: bytes of its output, at most."""
        self.body = body
        self.live = live
        self.taken = False
        """The worker has it."""
        self.done: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        self.recording: Recording | None = None
        """Of its output, if that comes bit by bit."""
        self.began = clock.monotonic()
        self.first_byte = 0.0
        """Seconds until its output began."""
        self._longest = longest

    @property
    def id(self) -> str:
        return str(self.body["id"])

    async def stream(self, line: bytes) -> None:
        """A piece of its output; waits while whoever reads it is too far behind."""
        if self.done.done():
            return
        if self.recording is None:
            self.first_byte = clock.monotonic() - self.began
            self.live.narrator.speaks("application/x-ndjson")
            self.recording = await self.live.answers(_NDJSON, None)
        await self.recording.write(line)
        self.live.narrator.output(line)
        if self.recording.size > self._longest:
            self.too_long()

    async def streamed(self) -> tuple[Response, bytes]:
        """All that was streamed, once it is whole."""
        assert self.recording is not None, "it was streamed"
        body, blob = await self.recording.finish()
        return replace(_NDJSON, size=self.recording.size, blob=blob), body

    def lost(self) -> None:
        self.done.set_exception((Lost if self.taken else NotSent)("the worker ended"))

    def too_long(self) -> None:
        if not self.done.done():
            self.done.set_exception(Malformed(f"the answer is longer than {self._longest} bytes, the limit"))

    async def abandon(self) -> None:
        """What was streamed of it is no answer."""
        if self.recording is not None:
            await self.recording.abandon()

    def end(self, done: Done) -> None:
        if not self.done.done():
            self.first_byte = self.first_byte or clock.monotonic() - self.began
            self.done.set_result(done)


class Mailbox:
    def __init__(self) -> None:
        self.asked = asyncio.Event()
        """Set once the worker has asked for a job."""
        self.asks = 0
        """How many of its questions are waiting for an answer."""
        self.last_asked = clock.monotonic()
        self._waiting: deque[Job] = deque()
        self._running: dict[str, Job] = {}
        self._stopping: dict[str, float | None] = {}
        """Jobs that it should stop -> when it was last told, monotonic; None: not yet."""
        self._closed = False
        self._changed = asyncio.Event()

    def put(self, job: Job) -> None:
        self._waiting.append(job)
        self._notify()

    async def take(self, count: int, timeout: float) -> list[Job]:
        """At most `count` jobs; none if none comes within `timeout` seconds."""
        self.asked.set()
        self.asks += 1
        try:
            await self._until(lambda: bool(self._waiting) or self._closed, timeout)
        finally:
            self.asks -= 1
            self.last_asked = clock.monotonic()
        jobs = [self._waiting.popleft() for _ in range(min(count, len(self._waiting)))]
        for job in jobs:
            job.taken = True
            self._running[job.id] = job
        return jobs

    def give_back(self, jobs: Collection[Job]) -> None:
        """Whoever asked for them did not get them."""
        for job in jobs:
            if self._running.pop(job.id, None) is not None and not job.done.done():
                job.taken = False
                self._waiting.appendleft(job)
        self._notify()

    def find(self, job_id: str) -> Job | None:
        """One that it runs, and whose outcome still counts."""
        job = self._running.get(job_id)
        return job if job is not None and not job.done.done() else None

    def silent(self, seconds: float) -> bool:
        """It runs nothing, and has not asked for a job for so long."""
        return not self._running and not self.asks and clock.monotonic() - self.last_asked > seconds

    def drop(self, job: Job) -> None:
        """Nobody waits for it any more: it is not handed out, or should be stopped."""
        job.done.cancel()
        if job in self._waiting:
            self._waiting.remove(job)
        elif job.id in self._running and job.id not in self._stopping:
            self._stopping[job.id] = None
            self._notify()

    def ended(self, job_id: str) -> None:
        """The worker has said what became of it."""
        self._running.pop(job_id, None)
        self._stopping.pop(job_id, None)
        self._notify()

    async def stops(self, timeout: float) -> list[str]:
        """Ids of jobs to stop; none if there is none to be told within `timeout` seconds."""
        deadline = clock.monotonic() + timeout
        while not self._closed and clock.monotonic() < deadline:
            now = clock.monotonic()
            due = [name for name, told in self._stopping.items() if told is None or now - told > _TELL_AGAIN]
            if due:
                self._stopping.update(dict.fromkeys(due, now))
                return due
            await self._until(lambda: None in self._stopping.values() or self._closed, _TELL_AGAIN)
        return []

    def pinged(self, runs: Collection[str]) -> None:
        """The worker says which jobs it runs: one that it was told to stop and does not name is no more."""
        now = clock.monotonic()
        for name, told in list(self._stopping.items()):
            if name not in runs and told is not None and now - told > _SEEN_LATE:
                self.ended(name)

    async def until_gone(self, job_id: str, timeout: float) -> bool:
        """True as soon as the worker no longer runs it."""
        await self._until(lambda: job_id not in self._running, timeout)
        return job_id not in self._running

    def close(self) -> None:
        """It gets no more jobs, and is not kept waiting for them."""
        self._closed = True
        self._notify()

    async def _until(self, condition: Callable[[], bool], timeout: float) -> None:
        """Waits until it holds, or for `timeout` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not condition():
                    await self._changed.wait()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
