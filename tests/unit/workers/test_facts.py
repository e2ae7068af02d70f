"""Where the time of a call went: what was a cold start, and how its stages add up."""

from __future__ import annotations

import pytest

from penstock.instance import InstanceState
from penstock.invocation import Invocation
from tests.unit.workers.conftest import Hand
from tests.unit.workers.samples import function, invocation
from workers import facts
from workers.instances import Instance
from workers.verdict import RunFacts

STARTED = 1_700_000_100_000


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


def of(hand: Hand, instance: Instance, call: Invocation) -> RunFacts:
    """Of a call that ran for 2 s."""
    began = hand.now
    hand.now += 2.0
    return facts.of_run(instance, call, began)


def test_a_call_that_waited_for_the_start_is_a_cold_start(hand: Hand) -> None:
    instance = started(hand, pending=0.5, starting=1.5, initializing=3.0)
    instance.taken = 1
    found = of(hand, instance, waited(5.25))
    assert found.cold_start
    assert found.timeline == {
        "queued": 250.0,  # what it waited beside the start
        "pending": 500.0,
        "starting": 1500.0,
        "initializing": 3000.0,
        "running": 2000.0,
    }


def test_a_call_that_joined_a_start_late_did_not_wait_for_all_of_it(hand: Hand) -> None:
    instance = started(hand, pending=0.5, starting=1.5, initializing=3.0)
    instance.taken = 1
    found = of(hand, instance, waited(1.0))
    assert found.cold_start
    assert found.timeline["queued"] == 0.0


def test_a_call_that_came_when_the_instance_was_ready_is_no_cold_start(hand: Hand) -> None:
    instance = started(hand, pending=0.5, starting=1.5, initializing=3.0)
    instance.taken = 1
    hand.now += 60.0
    found = of(hand, instance, waited(0.25))
    assert not found.cold_start
    assert found.timeline == {"queued": 250.0, "running": 2000.0}


def test_a_later_call_that_waited_for_a_free_slot_is_no_cold_start(hand: Hand) -> None:
    # It was enqueued before the instance was ready, but what it waited for was the call before it.
    instance = started(hand, pending=0.5, starting=1.5, initializing=3.0)
    instance.taken = 2
    hand.now += 10.0
    found = of(hand, instance, waited(15.0))
    assert not found.cold_start
    assert found.timeline == {"queued": 15_000.0, "running": 2000.0}


@pytest.mark.parametrize(("taken", "cold"), [(1, True), (3, True), (4, False)])
def test_the_first_calls_of_all_slots_are_cold_starts(hand: Hand, taken: int, cold: bool) -> None:
    instance = started(hand, pending=0.5, starting=1.5, initializing=3.0, concurrency=3)
    instance.taken = taken
    assert of(hand, instance, waited(5.0)).cold_start is cold


def test_a_second_attempt_is_no_cold_start(hand: Hand) -> None:
    instance = started(hand, pending=0.5, starting=1.5, initializing=3.0)
    instance.taken = 1
    assert not (of(hand, instance, waited(60.0, token=2))).cold_start
    assert (of(hand, instance, waited(60.0, token=2, deferrals=1))).cold_start, "a hand-back is no attempt"


def test_an_adopted_instance_makes_no_cold_start(hand: Hand) -> None:
    instance = started(hand, pending=0.0, starting=0.0, initializing=3.0)
    instance.adopted, instance.taken = True, 1
    assert not (of(hand, instance, waited(60.0))).cold_start
