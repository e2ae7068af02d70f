"""Where the next call goes, and what a function's pool says of itself."""

from __future__ import annotations

import re

import pytest

from penstock.instance import InstanceState
from penstock.invocation import Failure, FailureCode
from tests.unit.workers.conftest import Hand
from tests.unit.workers.samples import function
from workers.autoscaler import Decision
from workers.crashloop import CrashLoop
from workers.function_pool import FunctionPool
from workers.instances import Instance
from workers.scaler import default_slots
from workers.shows import reason

FAILURE = Failure(code=FailureCode.START_FAILED, message="exit code 1", log_tail="loading\nno such model\n")


def add(pool: FunctionPool, name: str, *, calls: int = 0, ready: bool = True) -> Instance:
    instance = Instance(pool.function, identity=name)
    pool.instances[name] = instance
    if ready:
        instance.move(InstanceState.STARTING)
        instance.move(InstanceState.INITIALIZING)
        instance.became_ready()
    for _ in range(calls):
        instance.occupy()
    return instance


def test_without_instances_there_is_nowhere_to_go() -> None:
    assert FunctionPool(function()).pick() is None


def test_only_what_serves_and_has_a_slot_is_picked() -> None:
    pool = FunctionPool(function())
    add(pool, "starting", ready=False)
    add(pool, "full", calls=1)
    assert pool.pick() is None
    free = add(pool, "free")
    assert pool.pick() is free


def test_the_fullest_with_a_free_slot_comes_first_so_that_others_become_idle() -> None:
    pool = FunctionPool(function(concurrency=3))
    add(pool, "empty")
    add(pool, "one", calls=1)
    two = add(pool, "two", calls=2)
    add(pool, "full", calls=3)
    assert pool.pick() is two


def test_of_equally_full_ones_the_last_used_comes_first(hand: Hand) -> None:
    pool = FunctionPool(function())
    for name in ("a", "b", "c"):
        hand.now += 1
        add(pool, name)
    hand.now += 1
    pool.instances["b"].vacate(pool.instances["b"].occupy())
    assert pool.pick() is pool.instances["b"]


def test_an_instance_that_shall_leave_gets_no_calls() -> None:
    pool = FunctionPool(function())
    instance = add(pool, "leaving")
    instance.leave.set()
    assert pool.pick() is None
    assert pool.current() == []


def test_an_instance_of_an_older_revision_gets_calls_until_the_new_one_can_take_them() -> None:
    pool = FunctionPool(function(revision=1))
    old = add(pool, "old")
    pool.function = function(revision=2)
    new = add(pool, "new", ready=False)
    assert (pool.pick(), pool.outdated()) == (old, [old])
    new.move(InstanceState.STARTING)
    new.move(InstanceState.INITIALIZING)
    new.became_ready()
    assert pool.pick() is new
    assert pool.current() == [new]


def test_one_that_starts_is_current_and_one_that_drains_is_not() -> None:
    pool = FunctionPool(function())
    starting = add(pool, "starting", ready=False)
    add(pool, "draining").move(InstanceState.DRAINING)
    assert pool.current() == [starting]


def test_calls_wait_for_a_function_that_failed_once() -> None:
    pool = FunctionPool(function())
    assert pool.blocked() is None
    pool.crash = CrashLoop().failed(FAILURE, 0.0)
    assert pool.blocked() is None


def test_calls_do_not_wait_for_a_function_that_does_not_start() -> None:
    pool = FunctionPool(function())
    pool.crash = CrashLoop().failed(FAILURE, 0.0).failed(FAILURE, 0.0)
    assert pool.blocked() == FAILURE


def test_calls_do_not_wait_for_a_revision_that_cannot_be_prepared() -> None:
    pool = FunctionPool(function())
    pool.problem = Failure(code=FailureCode.START_FAILED, message="no such folder")
    assert pool.blocked() == pool.problem


def test_a_revision_that_cannot_be_prepared_does_not_block_the_one_that_runs() -> None:
    pool = FunctionPool(function(revision=1))
    pool.prepared, pool.problem = True, FAILURE
    assert pool.blocked() is None
    assert reason(pool, None, None) == "its latest revision cannot be prepared: exit code 1; revision 1 goes on"


DECISION = Decision(desired=1, wanted=1, reason="1 queued and 0 running need 1")


def test_the_reason_shown_is_the_autoscalers() -> None:
    pool = FunctionPool(function())
    pool.prepared = True
    assert reason(pool, DECISION, None) == DECISION.reason
    assert reason(pool, None, None) == "not decided yet"


def test_the_reason_shown_is_what_keeps_it_from_starting() -> None:
    pool = FunctionPool(function(revision=4))
    assert reason(pool, DECISION, None) == "revision 4 is being prepared"
    pool.problem = FAILURE
    assert reason(pool, DECISION, None) == "revision 4 cannot be prepared: exit code 1"


@pytest.mark.parametrize(("passed", "again"), [(0.0, "next start in 2 s"), (5.0, "starting again")])
def test_the_reason_shown_tells_of_failed_starts_and_the_next(hand: Hand, passed: float, again: str) -> None:
    pool = FunctionPool(function())
    pool.prepared = True
    pool.crash = CrashLoop().failed(FAILURE, hand.now).failed(FAILURE, hand.now)
    hand.now += passed
    since = r"2 starts failed in a row since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z: "
    assert re.fullmatch(
        rf"{since}exit code 1, its last words: no such model; {again}", reason(pool, DECISION, None)
    )


@pytest.mark.parametrize(("cores", "slots"), [(1, 16), (2, 16), (3, 24), (64, 512), (None, 16)])
def test_a_machine_without_gpus_has_8_slots_a_core_and_16_at_least(
    monkeypatch: pytest.MonkeyPatch, cores: int | None, slots: int
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert default_slots() == slots
