"""A deployed function and its leader on a real Redis, with short words for what the tests of the store do."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from redis.asyncio import Redis

from penstock import keys
from penstock.function import FunctionSpec
from penstock.ids import IdMint
from penstock.invocation import (
    Event,
    Failure,
    FailureCode,
    Invocation,
    Outcome,
    Request,
    Response,
    Run,
    State,
    Submission,
)
from penstock.store import Retention, Store, Sweep

SPEC = FunctionSpec(command=("server",))
MINT = IdMint("secret of the tests")
DAY_MS = 24 * 3600 * 1000

ANSWER = Outcome(event=Event.SUCCEED, response=Response(status=200, size=6), body=b"answer")
ERROR = Outcome(event=Event.FAIL, failure=Failure(code=FailureCode.FUNCTION_ERROR, message="it raised"))
NO_START = Failure(code=FailureCode.START_FAILED, message="exec: no such file")

SETS: dict[str, Callable[[str], str]] = {
    "queued": keys.queued,
    "delayed": keys.delayed,
    "deadlines": keys.deadlines,
    "running": keys.running,
    "calls": keys.calls,
    "jobs": keys.jobs,
}
"""The sets that an id can be in."""


@dataclass(frozen=True, kw_only=True)
class World:
    store: Store
    redis: Any
    """A plain client: to look at what a script wrote, and to put what a script must bear."""
    function: str
    epoch: int
    open_store: Callable[..., Store]

    def later(self, milliseconds: int) -> World:
        """The same world, this many milliseconds from now."""
        return replace(self, store=self.open_store(clock_offset=milliseconds))

    def keeping(self, retention: Retention) -> World:
        """The same world with another retention."""
        return replace(self, store=self.open_store(retention=retention))

    def submission(self, **changes: Any) -> Submission:
        plain: dict[str, Any] = {
            "function": self.function,
            "id": MINT.new(self.function),
            "kind": "job",
            "request": Request(size=4),
            "body": b"body",
            "max_age_ms": DAY_MS,
            "timeout_ms": 600_000,
        }
        return Submission(**plain | changes)

    async def submit(self, *, depth: int = 1_000, **changes: Any) -> str:
        submission = self.submission(**changes)
        await self.store.queue.submit(submission, depth=depth)
        return submission.id

    async def take(self, slot: str = "slot-1", nonce: str | None = None) -> Run | None:
        return await self.store.queue.take(
            self.function, epoch=self.epoch, slot=slot, nonce=nonce or uuid.uuid4().hex, instance="instance-1"
        )

    async def run(self, **changes: Any) -> Invocation:
        """A new invocation that runs."""
        invocation_id = await self.submit(**changes)
        run = await self.take()
        assert run is not None
        assert run.invocation.id == invocation_id, "run() wants an empty queue"
        return run.invocation

    async def finish(self, run: Invocation, outcome: Outcome = ANSWER) -> State | None:
        return await self.store.queue.finish(self.function, run.id, run.token, outcome)

    async def retry(self, run: Invocation, *, delay_ms: int = 0) -> bool:
        return await self.store.queue.retry(self.function, run.id, run.token, delay_ms=delay_ms, outcome=ERROR)

    async def release(self, run: Invocation) -> bool:
        return await self.store.queue.release(self.function, run.id, run.token, epoch=self.epoch)

    async def renew(self, *runs: Invocation) -> list[str]:
        return await self.store.queue.renew(self.function, {run.id: run.token for run in runs})

    async def cancel(self, invocation_id: str, **options: bool) -> tuple[bool, State | None]:
        return await self.store.queue.cancel(self.function, invocation_id, **options)

    async def reject_held(self) -> int:
        return await self.store.queue.reject_held(self.function, epoch=self.epoch, failure=NO_START)

    async def sweep(self, *, requeue: bool = True) -> Sweep:
        return await self.store.queue.sweep(self.function, epoch=self.epoch, requeue=requeue)

    async def get(self, invocation_id: str) -> Invocation:
        invocation = await self.store.invocations.get(self.function, invocation_id)
        assert invocation is not None
        return invocation

    async def state(self, invocation_id: str) -> State:
        return (await self.get(invocation_id)).state

    async def is_due(self) -> bool:
        _, functions = await self.store.queue.due()
        return self.function in functions

    async def record(self, invocation_id: str) -> dict[str, str]:
        return dict(await self.redis.hgetall(keys.record(self.function, invocation_id)))

    async def places(self, invocation_id: str) -> set[str]:
        """Names of the sets that hold this id."""
        scores = {name: await self.score(name, invocation_id) for name in SETS}
        return {name for name, score in scores.items() if score is not None}

    async def score(self, name: str, invocation_id: str) -> float | None:
        score: float | None = await self.redis.zscore(SETS[name](self.function), invocation_id)
        return score

    async def put(self, name: str, invocation_id: str, score: float) -> None:
        """Puts an id into a set behind the scripts' back."""
        await self.redis.zadd(SETS[name](self.function), {invocation_id: score})

    async def snapshot(self) -> dict[str, Any]:
        """All that Redis holds."""
        return {key: await self._content(key) async for key in self.redis.scan_iter()}

    async def _content(self, key: str) -> Any:
        match await self.redis.type(key):
            case "hash":
                return await self.redis.hgetall(key)
            case "zset":
                return await self.redis.zrange(key, 0, -1, withscores=True)
            case "set":
                return await self.redis.smembers(key)
            case _:
                return await self.redis.get(key)


@asynccontextmanager
async def open_world(url: str, function: str) -> AsyncIterator[World]:
    """A world of its own on the Redis at this address."""
    async with AsyncExitStack() as stack:

        def open_store(**options: Any) -> Store:
            store = Store(url, **options)
            stack.push_async_callback(store.close)
            return store

        # A bitmap is no text.
        redis = Redis.from_url(url, decode_responses=True, encoding_errors="backslashreplace")
        stack.push_async_callback(redis.aclose)
        store = open_store()
        await store.catalog.deploy(function, SPEC)
        epoch = await store.leadership.lead("leader-1")
        assert epoch is not None
        yield World(store=store, redis=redis, function=function, epoch=epoch, open_store=open_store)


class Ear:
    """Hears what is published, in order."""

    def __init__(self, messages: AsyncGenerator[tuple[str, bytes], None]) -> None:
        self._messages = messages

    async def next(self) -> tuple[str, bytes]:
        """The next message, its channel first."""
        while True:
            channel, data = await asyncio.wait_for(anext(self._messages), 5)
            if channel:
                return channel, data


@asynccontextmanager
async def listening(messages: Any) -> AsyncIterator[Ear]:
    """Listens from here on to one of the store's subscriptions."""
    async with aclosing(messages):
        assert await anext(messages) == ("", b""), "a subscription first says that it stands"
        yield Ear(messages)
