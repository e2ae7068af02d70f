"""Starts that fail: longer and longer pauses, then a circuit that opens, and a start that mends it."""

from __future__ import annotations

import pytest

from penstock.invocation import Failure, FailureCode
from workers.crashloop import CrashLoop

NOW = 1000.0


def failure(message: str = "exit code 1") -> Failure:
    return Failure(code=FailureCode.START_FAILED, message=message)


def after(*messages: str, crash: CrashLoop | None = None) -> CrashLoop:
    crash = CrashLoop() if crash is None else crash
    for message in messages:
        crash = crash.failed(failure(message), NOW)
    return crash


def different(count: int) -> list[str]:
    return ["failure " + "x" * number for number in range(count)]


def test_the_first_start_is_free() -> None:
    assert CrashLoop().may_start(0.0)
    assert not CrashLoop().open
    assert CrashLoop().failure is None


@pytest.mark.parametrize(
    ("failures", "pause"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 32), (7, 60), (8, 60)]
)
def test_the_pause_doubles_from_1_s_to_60_s(failures: int, pause: int) -> None:
    crash = after(*different(failures))
    assert not crash.may_start(NOW + pause - 0.001)
    assert crash.may_start(NOW + pause)


def test_a_function_that_has_failed_for_days_still_waits_60_s() -> None:
    # One start a minute: 1,100 failures are 18 hours.
    crash = after(*["exit code 1"] * 1_100)
    assert crash.next_start == NOW + 60


def test_the_pause_counts_from_the_failure() -> None:
    crash = CrashLoop().failed(failure(), 50.0).failed(failure(), 70.0)
    assert crash.next_start == 72.0


@pytest.mark.parametrize(("failures", "is_open"), [(1, False), (4, False), (5, True), (6, True)])
def test_the_circuit_opens_at_the_fifth_failure_in_a_row(failures: int, is_open: bool) -> None:
    assert after(*different(failures)).open is is_open
    assert after(*["the same"] * failures, crash=CrashLoop(ever_ready=True)).open is is_open


@pytest.mark.parametrize(
    ("messages", "is_open"),
    [
        (["a"], False),
        (["a", "a"], True),
        (["a", "b"], False),
        (["a", "b", "a"], False),
        (["a", "b", "b"], True),
        (["a", "a", "b"], False),
    ],
)
def test_a_revision_that_was_never_ready_is_open_at_the_second_equal_failure(
    messages: list[str], is_open: bool
) -> None:
    assert after(*messages).open is is_open


def test_failures_that_differ_by_numbers_alone_are_equal() -> None:
    # A port, a time, a process id: each start has others.
    assert after("nothing listens on port 40001 after 120 s", "nothing listens on port 38214 after 120 s").open
    assert not after("no file v1/a", "no file v1/b").open


def test_a_revision_that_was_ready_gets_five_tries() -> None:
    assert not after("a", "a", crash=CrashLoop().ready()).open
    assert after("a", "a", "a", "a", "a", crash=CrashLoop().ready()).open


def test_a_start_that_succeeds_closes_the_circuit_and_ends_the_pause() -> None:
    mended = after(*["a"] * 9).ready()
    assert not mended.open
    assert mended.may_start(NOW)
    assert mended.failure is None
    assert after("a", crash=mended).next_start == NOW + 1, "the next pause is the first again"


def test_the_last_failure_is_the_one_that_is_told() -> None:
    assert after("first", "second").failure == failure("second")


def test_an_open_circuit_still_lets_a_start_through_now_and_then() -> None:
    crash = after(*["a"] * 5)
    assert crash.open
    assert crash.may_start(NOW + 16)
