"""The sweeper's patience: a lease that ran out is taken back only after a while of contact of its own.

The sweeper of these tests is 20 s ahead by Redis's clock, so that to it every lease has run out; its own clock
stands in the test's hand. Whether it takes a run back is then a matter of its patience alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from penstock import keys
from penstock.errors import StoreUnavailable
from penstock.function import FunctionSpec
from penstock.invocation import State
from penstock.store import Store, Sweep
from tests.conftest import RedisServer
from tests.unit.workers.conftest import Deployed, Hand
from tests.unit.workers.waiting import until
from workers.contact import Contact
from workers.sweeper import Sweeper

AHEAD_MS = 20_000


@asynccontextmanager
async def running(loop: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(loop())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, StoreUnavailable):
            await task


class Watched:
    """A sweeper, and what it has heard."""

    def __init__(self, store: Store, redis: RedisServer, hand: Hand, function: str, epoch: int) -> None:
        self.heard: list[Sweep] = []
        self.sweeper = Sweeper(store, self._hear, Contact(), epoch=epoch)
        self._redis = redis
        self._hand = hand
        self._function = function

    async def _hear(self, function: str, sweep: Sweep) -> None:
        if function == self._function:
            self.heard.append(sweep)

    async def sweeps(self, count: int = 1) -> None:
        """Waits for this many more sweeps."""
        for _ in range(count):
            before = len(self.heard)
            self._redis.cli("ZADD", keys.ACTIVE, "0", self._function)  # due now

            async def more(before: int = before) -> bool:
                return len(self.heard) > before

            await until(more, "another sweep")

    async def contact(self, seconds: float, *, step: float = 2.5) -> None:
        """Runs for this long by its own clock, in contact with Redis all the time."""
        async with running(self.sweeper.run):
            await self.sweeps(2)
            while seconds > 0:
                self._hand.now += min(step, seconds)
                seconds -= step
                await self.sweeps(2)  # the end of the first is the contact, and that is before the second

    async def sweep_by(self, loop: str) -> None:
        """One sweep, by the loop that looks each second or by the one that looks when asked."""
        if loop == "run":
            async with running(self.sweeper.run):
                await self.sweeps(1)
        else:
            async with running(self.sweeper.looks):
                before = len(self.heard)
                self._hand.now += 0.1  # or it would be too soon for another look
                self.sweeper.look_soon(self._function)

                async def more() -> bool:
                    return len(self.heard) > before

                await until(more, "a look")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its loops turn fast; what they make of the time they take from the test's clock."""
    monkeypatch.setattr("workers.sweeper._PERIOD", 0.01)
    monkeypatch.setattr("workers.sweeper._LOOKS_APART", 0.01)


@pytest.fixture
def watched(deployed: Deployed, redis_server: RedisServer, hand: Hand, quick: None) -> Watched:
    return Watched(deployed.open_store(AHEAD_MS), redis_server, hand, deployed.function, deployed.epoch)


LOOPS = pytest.mark.parametrize("loop", ["run", "looks"])


@LOOPS
async def test_a_new_sweeper_takes_nothing_back(deployed: Deployed, watched: Watched, loop: str) -> None:
    lost = await deployed.run()
    await watched.sweep_by(loop)
    assert await deployed.state(lost.id) is State.RUNNING
    assert watched.heard[-1].running == 1


@LOOPS
async def test_it_is_patient_until_whoever_lives_has_renewed(
    deployed: Deployed, watched: Watched, loop: str
) -> None:
    lost = await deployed.run()
    await watched.contact(7.8)
    await watched.sweep_by(loop)
    assert await deployed.state(lost.id) is State.RUNNING


@LOOPS
async def test_after_that_it_takes_back_what_is_lost(
    deployed: Deployed, watched: Watched, loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    await watched.contact(8.0)
    lost = await deployed.run()
    await watched.sweep_by(loop)
    assert await deployed.state(lost.id) is State.QUEUED
    assert watched.heard[-1].requeued == 1
    assert f"{deployed.function}: 1 lost runs requeued, 0 ended" in caplog.messages


async def test_a_gap_of_three_seconds_is_no_interruption(deployed: Deployed, watched: Watched) -> None:
    await watched.contact(12.0, step=3.0)
    lost = await deployed.run()
    await watched.sweep_by("run")
    assert await deployed.state(lost.id) is State.QUEUED


async def test_a_longer_gap_is_an_interruption(deployed: Deployed, watched: Watched) -> None:
    await watched.contact(16.0, step=4.0)
    lost = await deployed.run()
    await watched.sweep_by("run")
    assert await deployed.state(lost.id) is State.RUNNING


@LOOPS
async def test_a_process_that_was_paused_begins_its_patience_anew(
    deployed: Deployed, watched: Watched, hand: Hand, loop: str
) -> None:
    await watched.contact(8.0)
    mine = await deployed.run()  # it runs here and was not renewed while this process stood still
    hand.now += 60.0
    await watched.sweep_by(loop)
    assert await deployed.state(mine.id) is State.RUNNING
    await watched.contact(8.0)
    await watched.sweep_by(loop)
    assert await deployed.state(mine.id) is State.QUEUED


async def test_an_outage_of_redis_begins_its_patience_anew(
    own_server: RedisServer, hand: Hand, quick: None, unique: str
) -> None:
    now, ahead = Store(own_server.url), Store(own_server.url, clock_offset=AHEAD_MS)
    try:
        await now.catalog.deploy(unique, FunctionSpec(command=("server",)))
        epoch = await now.leadership.lead("leader")
        assert epoch is not None
        world = Deployed(store=now, function=unique, epoch=epoch, open_store=lambda offset: ahead)
        watched = Watched(ahead, own_server, hand, unique, epoch)
        await watched.contact(30.0)
        mine = await world.run()

        own_server.kill()
        with pytest.raises(StoreUnavailable):
            await watched.sweeper.run()
        own_server.start()

        await watched.contact(7.8)
        assert await world.state(mine.id) is State.RUNNING
        await watched.contact(0.2)
        await watched.sweep_by("run")
        assert await world.state(mine.id) is State.QUEUED
    finally:
        await now.close()
        await ahead.close()


async def test_it_tells_what_a_sweep_found(deployed: Deployed, watched: Watched) -> None:
    await deployed.run()
    await deployed.submit()
    await deployed.submit()
    await watched.sweep_by("looks")
    found = watched.heard[-1]
    assert (found.queued, found.held, found.running, found.delayed) == (2, 0, 1, 0)
    assert found.oldest_ms is not None
    assert found.oldest_ms >= AHEAD_MS


async def test_it_looks_at_a_function_twenty_times_a_second_at_most_and_after_the_last_hint(
    deployed: Deployed,
) -> None:
    heard: list[tuple[float, Sweep]] = []

    async def hear(function: str, sweep: Sweep) -> None:
        heard.append((time.monotonic(), sweep))

    sweeper = Sweeper(deployed.store, hear, Contact(), epoch=deployed.epoch)
    began = time.monotonic()
    async with running(sweeper.looks):
        for _ in range(40):
            sweeper.look_soon(deployed.function)
            await asyncio.sleep(0.005)
        await deployed.submit()
        sweeper.look_soon(deployed.function)

        async def seen() -> bool:
            return bool(heard) and heard[-1][1].queued == 1

        await until(seen, "a look after the last hint")
    assert len(heard) <= (time.monotonic() - began) / 0.05 + 2, "two in a row are let through"
    assert len(heard) >= 3
