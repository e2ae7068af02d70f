"""Where the time of a call went: what was a cold start, and how its stages add up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock.blobs import DirectoryBlobs
from penstock.instance import InstanceState
from penstock.invocation import Invocation
from penstock.store import Store
from tests.unit.workers.conftest import Hand
from tests.unit.workers.samples import function, invocation
from workers.channel import Channel
from workers.dispatcher import Dispatcher
from workers.engines.process import ProcessEngine
from workers.instances import Instance
from workers.placement import Board
from workers.pool import Pool
from workers.verdict import RunFacts

STARTED = 1_700_000_100_000


@pytest.fixture
async def dispatcher(store: Store, tmp_path: Path) -> AsyncIterator[Dispatcher]:
    async def sure() -> None: ...

    engine = ProcessEngine(data_dir=tmp_path, deployment="d")
    channel = Channel(DirectoryBlobs(tmp_path), max_answer=1)
    pool = Pool(engine, channel, epoch=1, board=Board(), guard=sure, on_ready=print, on_change=print)
    yield Dispatcher(store, pool, engine, channel, epoch=1)
    await channel.close()


def started(hand: Hand, *, pending: float, starting: float, initializing: float, concurrency: int = 1) -> Instance:
    """An instance that took so many seconds in each stage of its start."""
    instance = Instance(function(concurrency=concurrency))
    for state, seconds in ((InstanceState.STARTING, pending), (InstanceState.INITIALIZING, starting)):
        hand.now += seconds
        instance.move(state)
    hand.now += initializing
    instance.became_ready()
    return instance


def waited(seconds: float, **changes: object) -> Invocation:
    """A call that was enqueued so long before it was taken."""
    return invocation(created_at=STARTED - int(seconds * 1000), started_at=STARTED, **changes)


async def facts(dispatcher: Dispatcher, hand: Hand, instance: Instance, call: Invocation) -> RunFacts:
    """Of a call that ran for 2 s."""
    began = hand.now
    hand.now += 2.0
    return await dispatcher._facts(instance, call, began, log=False)


async def test_a_call_that_waited_for_the_start_is_a_cold_start(dispatcher: Dispatcher, hand: Hand) -> None:
    instance = started(hand, pending=0.5, starting=1.5, initializing=3.0)
    instance.taken = 1
    found = await facts(dispatcher, hand, instance, waited(5.25))
    assert found.cold_start
    assert found.timeline == {
        "queued": 250.0,  # what it waited beside the start
        "pending": 500.0,
        "starting": 1500.0,
        "initializing": 3000.0,
        "running": 2000.0,
    }


async def test_a_call_that_joined_a_start_late_did_not_wait_for_all_of_it(
    dispatcher: Dispatcher, hand: Hand
) -> None:
    instance = started(hand, pending=0.5, starting=1.5, initializing=3.0)
    instance.taken = 1
    found = await facts(dispatcher, hand, instance, waited(1.0))
    assert found.cold_start
    assert found.timeline["queued"] == 0.0


async def test_a_call_that_came_when_the_instance_was_ready_is_no_cold_start(
    dispatcher: Dispatcher, hand: Hand
) -> None:
    instance = started(hand, pending=0.5, starting=1.5, initializing=3.0)
    instance.taken = 1
    hand.now += 60.0
    found = await facts(dispatcher, hand, instance, waited(0.25))
    assert not found.cold_start
    assert found.timeline == {"queued": 250.0, "running": 2000.0}


async def test_a_later_call_that_waited_for_a_free_slot_is_no_cold_start(
    dispatcher: Dispatcher, hand: Hand
) -> None:
    # It was enqueued before the instance was ready, but what it waited for was the call before it.
    instance = started(hand, pending=0.5, starting=1.5, initializing=3.0)
    instance.taken = 2
    hand.now += 10.0
    found = await facts(dispatcher, hand, instance, waited(15.0))
    assert not found.cold_start
    assert found.timeline == {"queued": 15_000.0, "running": 2000.0}


@pytest.mark.parametrize(("taken", "cold"), [(1, True), (3, True), (4, False)])
async def test_the_first_calls_of_all_slots_are_cold_starts(
    dispatcher: Dispatcher, hand: Hand, taken: int, cold: bool
) -> None:
    instance = started(hand, pending=0.5, starting=1.5, initializing=3.0, concurrency=3)
    instance.taken = taken
    assert (await facts(dispatcher, hand, instance, waited(5.0))).cold_start is cold


async def test_a_second_attempt_is_no_cold_start(dispatcher: Dispatcher, hand: Hand) -> None:
    instance = started(hand, pending=0.5, starting=1.5, initializing=3.0)
    instance.taken = 1
    assert not (await facts(dispatcher, hand, instance, waited(60.0, token=2))).cold_start
    assert (await facts(dispatcher, hand, instance, waited(60.0, token=2, deferrals=1))).cold_start, (
        "a hand-back is no attempt"
    )


async def test_an_adopted_instance_makes_no_cold_start(dispatcher: Dispatcher, hand: Hand) -> None:
    instance = started(hand, pending=0.0, starting=0.0, initializing=3.0)
    instance.adopted, instance.taken = True, 1
    assert not (await facts(dispatcher, hand, instance, waited(60.0))).cold_start


async def test_without_a_reason_to_ask_there_is_no_log(dispatcher: Dispatcher, hand: Hand) -> None:
    instance = started(hand, pending=0.0, starting=0.0, initializing=0.0)
    assert (await facts(dispatcher, hand, instance, waited(0.0))).log_tail is None


def test_a_dispatcher_without_calls_has_no_tokens(dispatcher: Dispatcher) -> None:
    assert dispatcher.tokens() == {}
    dispatcher.abort("echo", "unknown")  # a cancel for a call of another process
    dispatcher.pump("unknown")  # a hint for a function that is not here
