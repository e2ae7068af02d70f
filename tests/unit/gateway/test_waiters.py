"""Whoever waits for an end learns of it: from the hint, or by looking again when the hint was lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.waiters import Waiters
from penstock.function import FunctionSpec
from penstock.ids import IdMint
from penstock.invocation import Ending, Outcome, Request, State, Submission
from penstock.store import Store
from penstock.store.scripts import HINT_LIMIT
from penstock.tasks import Tasks
from tests.conftest import RedisServer
from tests.unit.gateway.conftest import answer, failed, subscribed

MINT = IdMint("secret of the tests")
SOON = 5.0


class Queue:
    """The workers' side."""

    def __init__(self, store: Store, function: str, epoch: int) -> None:
        self.store = store
        self.function = function
        self.epoch = epoch

    async def submit(self, gateway: str | None) -> str:
        one = MINT.new(self.function)
        submission = Submission(
            function=self.function,
            id=one,
            kind="call",
            request=Request(),
            body=b"",
            max_age_ms=60_000,
            timeout_ms=60_000,
            gateway=gateway,
        )
        await self.store.queue.submit(submission, depth=100)
        return one

    async def finish(self, outcome: Outcome) -> None:
        """Runs the next one."""
        run = await self.store.queue.take(
            self.function, epoch=self.epoch, slot="s", nonce=MINT.new("n"), instance="i"
        )
        assert run is not None
        await self.store.queue.finish(self.function, run.invocation.id, run.invocation.token, outcome)


@pytest.fixture
async def queue(store: Store, unique: str) -> Queue:
    await store.catalog.deploy(unique, FunctionSpec(command=("server",)))
    epoch = await store.leadership.lead("leader")
    assert epoch is not None
    return Queue(store, unique, epoch)


@asynccontextmanager
async def looping(loop: Callable[[], Any]) -> AsyncIterator[None]:
    tasks = Tasks()
    tasks.loop("loop", loop)
    yield
    await tasks.stop()


@pytest.fixture
async def hears(store: Store, redis_server: RedisServer) -> AsyncIterator[Waiters]:
    """Waiters that get hints, and nothing else."""
    waiters = Waiters(store, "gw-1", lambda invocation_id: None)
    async with looping(waiters.listen):
        await subscribed(redis_server, "gw-1")
        yield waiters


@pytest.fixture
async def deaf(store: Store, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Waiters]:
    """Waiters that get no hint, and look again."""
    monkeypatch.setattr("gateway.waiters._LOOK_AGAIN", 0.05)
    waiters = Waiters(store, "gw-1", lambda invocation_id: None)
    async with looping(waiters.look_again):
        yield waiters


async def soon(ending: asyncio.Future[Ending | None]) -> Ending:
    found = await asyncio.wait_for(ending, SOON)
    assert found is not None, "the gateway stops"
    return found


async def test_a_hint_brings_the_end_with_its_answer(hears: Waiters, queue: Queue) -> None:
    one = await queue.submit("gw-1")
    with hears.expect(queue.function, one) as ending:
        await queue.finish(answer(b"line\nline\n\x00\xff"))
        found = await soon(ending)
    assert (found.state, found.body, found.cold_start) == (State.SUCCEEDED, b"line\nline\n\x00\xff", True)
    assert found.response is not None
    assert found.response.headers == (("Content-Type", "text/plain"), ("X-Model", "m1"))
    assert found == await queue.store.invocations.ending(queue.function, one), "a hint says what the record says"


async def test_a_hint_brings_a_failure(hears: Waiters, queue: Queue) -> None:
    one = await queue.submit("gw-1")
    with hears.expect(queue.function, one) as ending:
        await queue.finish(failed())
        found = await soon(ending)
    assert found.failure is not None
    assert (found.state, found.failure.message, found.response) == (State.FAILED, "KeyError: 'x'", None)


async def test_a_hint_without_the_answer_makes_it_look(hears: Waiters, queue: Queue) -> None:
    large = b"x" * (HINT_LIMIT + 1)
    one = await queue.submit("gw-1")
    with hears.expect(queue.function, one) as ending:
        await queue.finish(answer(large))
        assert (await soon(ending)).body == large


async def test_all_who_wait_for_one_are_told(hears: Waiters, queue: Queue) -> None:
    one = await queue.submit("gw-1")
    with hears.expect(queue.function, one) as first, hears.expect(queue.function, one) as second:
        with hears.expect(queue.function, one):
            pass  # one that left
        await queue.finish(answer())
        assert (await soon(first)) == (await soon(second))


async def test_each_is_told_of_its_own(hears: Waiters, queue: Queue) -> None:
    first, second = await queue.submit("gw-1"), await queue.submit("gw-1")
    with (
        hears.expect(queue.function, first) as of_first,
        hears.expect(queue.function, second) as of_second,
    ):
        await queue.finish(answer(b"first"))
        assert (await soon(of_first)).body == b"first"
        assert not of_second.done()


async def test_hints_for_nobody_are_dropped(hears: Waiters, queue: Queue) -> None:
    await queue.submit("gw-1")
    await queue.finish(answer())  # its client has left
    await queue.submit("gw-1")
    await queue.finish(answer(b"x" * (HINT_LIMIT + 1)))
    one = await queue.submit("gw-1")
    with hears.expect(queue.function, one) as ending:
        await queue.finish(answer(b"still listening"))
        assert (await soon(ending)).body == b"still listening"


async def test_a_change_of_a_function_is_no_end(hears: Waiters, queue: Queue) -> None:
    one = await queue.submit("gw-1")
    with hears.expect(queue.function, one) as ending:
        await queue.store.catalog.deploy(queue.function, FunctionSpec(command=("other",)))
        await queue.finish(answer())
        assert (await soon(ending)).body == b"answer"


async def test_a_hint_that_was_lost_is_made_up_for_by_looking_again(deaf: Waiters, queue: Queue) -> None:
    one = await queue.submit(None)  # nobody is told
    with deaf.expect(queue.function, one) as ending:
        await queue.finish(answer(b"found"))
        assert (await soon(ending)).body == b"found"


async def test_looking_again_finds_nothing_before_the_end(deaf: Waiters, queue: Queue) -> None:
    one = await queue.submit(None)
    with deaf.expect(queue.function, one) as ending:
        await asyncio.wait([ending], timeout=0.3)
        assert not ending.done()


async def test_an_outage_while_looking_again_is_survived(
    deaf: Waiters, queue: Queue, redis_server: RedisServer
) -> None:
    one = await queue.submit(None)
    with deaf.expect(queue.function, one) as ending:
        await asyncio.to_thread(redis_server.cli, "CLIENT", "KILL", "TYPE", "normal")
        await queue.finish(answer(b"found"))
        assert (await soon(ending)).body == b"found"


async def test_nothing_is_kept_of_those_who_left(hears: Waiters, queue: Queue) -> None:
    one = await queue.submit("gw-1")
    with hears.expect(queue.function, one):
        assert hears._waiting
    with pytest.raises(KeyError), hears.expect(queue.function, one):
        raise KeyError
    assert hears._waiting == {}


async def test_a_gateway_that_asks_later_is_told_too(
    store: Store, queue: Queue, redis_server: RedisServer
) -> None:
    late = Waiters(store, "gw-2", lambda invocation_id: None)
    async with looping(late.listen):
        await subscribed(redis_server, "gw-2")
        one = await queue.submit("gw-1")
        with late.expect(queue.function, one) as ending:
            assert await store.queue.watch(queue.function, one, "gw-2") is State.QUEUED
            await queue.finish(answer())
            assert (await soon(ending)).body == b"answer"


async def test_a_gateway_that_stops_lets_go_of_who_waits_and_of_who_comes(hears: Waiters, queue: Queue) -> None:
    one, other = await queue.submit("gw-1"), await queue.submit("gw-1")
    with hears.expect(queue.function, one) as ended, hears.expect(queue.function, other) as waits:
        await queue.finish(answer())
        told = await soon(ended)
        hears.close()
        assert await asyncio.wait_for(waits, SOON) is None
        assert ended.result() == told
    with hears.expect(queue.function, other) as late:
        assert late.result() is None
