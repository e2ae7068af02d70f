"""One instance as the pool sees it: its states, its slots, and where the time of its start went."""

from __future__ import annotations

import re

import pytest

from penstock.instance import InstanceState, check_move
from tests.unit.workers.conftest import Hand
from tests.unit.workers.samples import function
from workers.instances import Instance

ALLOWED = {
    "pending": {"starting", "draining", "gone"},
    "starting": {"initializing", "draining", "gone"},
    "initializing": {"idle", "draining", "gone"},
    "idle": {"busy", "draining", "gone"},
    "busy": {"idle", "draining", "gone"},
    "draining": {"gone"},
    "gone": set(),
}
"""As DESIGN.md says it, written down a second time."""


def ready(concurrency: int = 1) -> Instance:
    instance = Instance(function(concurrency=concurrency))
    instance.move(InstanceState.STARTING)
    instance.move(InstanceState.INITIALIZING)
    instance.became_ready()
    return instance


@pytest.mark.parametrize("old", InstanceState)
@pytest.mark.parametrize("new", InstanceState)
def test_it_moves_as_the_design_says(old: InstanceState, new: InstanceState) -> None:
    if new in ALLOWED[old]:
        check_move(old, new)
    else:
        with pytest.raises(ValueError, match=f"that is {old} cannot become {new}"):
            check_move(old, new)


def test_a_move_that_is_not_allowed_changes_nothing(hand: Hand) -> None:
    instance = Instance(function())
    hand.now += 1
    with pytest.raises(ValueError, match="pending"):
        instance.move(InstanceState.IDLE)
    assert instance.state is InstanceState.PENDING
    assert instance.timeline == {}


def test_its_name_tells_its_function_and_is_its_own() -> None:
    names = {Instance(function("echo")).id for _ in range(50)}
    assert len(names) == 50
    assert all(re.fullmatch(r"echo-[0-9a-f]{8}", name) for name in names)


def test_an_adopted_one_keeps_its_name_and_age() -> None:
    instance = Instance(function(), identity="echo-old", started_at=123)
    assert (instance.id, instance.started_at) == ("echo-old", 123)


def test_the_timeline_holds_what_each_stage_of_the_start_took(hand: Hand) -> None:
    instance = Instance(function())
    for stage, seconds in ((InstanceState.STARTING, 0.5), (InstanceState.INITIALIZING, 2.0)):
        hand.now += seconds
        instance.move(stage)
    hand.now += 4.0
    instance.became_ready()
    hand.now += 60.0
    instance.occupy()
    assert instance.timeline == {"pending": 500.0, "starting": 2000.0, "initializing": 4000.0}
    assert instance.ready_since == 1006.5


def test_a_view_counts_the_stage_that_still_lasts(hand: Hand) -> None:
    instance = Instance(function(revision=7))
    hand.now += 1.0
    instance.move(InstanceState.STARTING)
    hand.now += 0.25
    view = instance.view()
    assert dict(view.timeline) == {"pending": 1000.0, "starting": 250.0}
    assert (view.id, view.state, view.revision, view.in_flight) == (instance.id, "starting", 7, 0)
    assert instance.timeline == {"pending": 1000.0}, "looking changes nothing"


def test_a_view_counts_calls_and_not_who_looks_for_one() -> None:
    instance = ready(concurrency=2)
    looking, running = instance.occupy(), instance.occupy()
    assert (instance.view().state, instance.view().in_flight) == ("idle", 0)
    instance.begin(running)
    assert (instance.view().state, instance.view().in_flight) == ("busy", 1)
    instance.vacate(looking)
    instance.vacate(running)
    assert (instance.view().state, instance.view().in_flight) == ("idle", 0)


def test_it_has_a_slot_only_while_it_serves() -> None:
    instance = Instance(function())
    assert instance.starting
    assert not instance.has_slot
    instance = ready()
    assert instance.serves
    assert not instance.starting
    assert instance.has_slot
    instance.move(InstanceState.DRAINING)
    assert not instance.has_slot


def test_one_whose_connection_broke_has_no_slot_until_it_has_answered() -> None:
    instance = ready()
    instance.suspect = True
    assert instance.serves
    assert not instance.has_slot
    instance.suspect = False
    assert instance.has_slot


def test_slots_bound_its_calls() -> None:
    instance = ready(concurrency=3)
    slots = {instance.occupy() for _ in range(3)}
    assert slots == {0, 1, 2}
    assert (instance.in_flight, instance.has_slot, instance.state) == (3, False, InstanceState.BUSY)
    instance.vacate(1)
    assert (instance.in_flight, instance.has_slot, instance.state) == (2, True, InstanceState.BUSY)
    assert instance.occupy() == 1, "a slot is told apart by its number, so it must be the free one"


def test_it_is_idle_and_quiet_when_its_last_call_has_ended(hand: Hand) -> None:
    instance = ready(concurrency=2)
    assert instance.quiet.is_set()
    first, second = instance.occupy(), instance.occupy()
    assert not instance.quiet.is_set()
    instance.vacate(first)
    assert not instance.quiet.is_set()
    hand.now += 10
    instance.vacate(second)
    assert instance.quiet.is_set()
    assert instance.state is InstanceState.IDLE
    hand.now += 3
    assert instance.idle_for() == 3.0


def test_one_that_drains_becomes_quiet_and_stays_draining() -> None:
    instance = ready()
    slot = instance.occupy()
    instance.move(InstanceState.DRAINING)
    assert not instance.quiet.is_set()
    instance.vacate(slot)
    assert instance.quiet.is_set()
    assert instance.state is InstanceState.DRAINING
