"""The table of transitions, and what the values of an invocation say of themselves."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.invocation import (
    MOVES,
    Event,
    FailureCode,
    IllegalMove,
    Invocation,
    Request,
    State,
    move,
)

ENDED = {State.SUCCEEDED, State.FAILED, State.TIMED_OUT, State.CANCELLED, State.EXPIRED}

ALLOWED = {
    (State.QUEUED, Event.TAKE): State.RUNNING,
    (State.QUEUED, Event.FAIL): State.FAILED,
    (State.QUEUED, Event.CANCEL): State.CANCELLED,
    (State.QUEUED, Event.EXPIRE): State.EXPIRED,
    (State.RUNNING, Event.SUCCEED): State.SUCCEEDED,
    (State.RUNNING, Event.FAIL): State.FAILED,
    (State.RUNNING, Event.TIME_OUT): State.TIMED_OUT,
    (State.RUNNING, Event.CANCEL): State.CANCELLED,
    (State.RUNNING, Event.RETRY): State.QUEUED,
    (State.RUNNING, Event.RELEASE): State.QUEUED,
    (State.RUNNING, Event.LOSE): State.QUEUED,
}
"""As DESIGN.md says it, written down a second time: a change of the table must be meant."""


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_move_allows_what_the_design_says_and_nothing_else(state: State, event: Event) -> None:
    if (state, event) in ALLOWED:
        assert move(state, event) is ALLOWED[state, event]
    else:
        with pytest.raises(IllegalMove, match=f"^an invocation that is {state} cannot {event}$"):
            move(state, event)


@pytest.mark.parametrize("state", State)
def test_a_state_is_terminal_if_nothing_leads_out_of_it(state: State) -> None:
    assert state.terminal == (state in ENDED)
    assert state.terminal == (state not in MOVES)


@given(st.lists(st.sampled_from(Event)))
def test_whatever_happens_it_ends_at_most_once(events: list[Event]) -> None:
    state, endings = State.QUEUED, 0
    for event in events:
        try:
            state = move(state, event)
        except IllegalMove:
            continue
        endings += state.terminal
    assert endings == state.terminal


def test_every_state_can_be_reached_and_left_for_an_end() -> None:
    reached = {State.QUEUED}
    for _ in State:
        reached |= {move(state, event) for (state, event) in ALLOWED if state in reached}
    assert reached == set(State)
    assert all(Event.CANCEL in row for row in MOVES.values())


@pytest.mark.parametrize(
    ("code", "status", "retryable"),
    [
        (FailureCode.FUNCTION_ERROR, 502, False),
        (FailureCode.INSTANCE_LOST, 502, True),
        (FailureCode.RUN_TIMEOUT, 504, True),
        (FailureCode.EXPIRED, 504, True),
        (FailureCode.CANCELLED, 499, False),
        (FailureCode.START_FAILED, 503, True),
        (FailureCode.PAUSED, 503, True),
    ],
)
def test_a_failure_has_the_status_of_the_api(code: FailureCode, status: int, retryable: bool) -> None:
    assert (code.status, code.retryable) == (status, retryable)


def test_every_failure_has_a_status() -> None:
    assert all(code.status >= 400 for code in FailureCode)


@pytest.mark.parametrize(("token", "deferrals", "attempt"), [(0, 0, 0), (1, 0, 1), (1, 1, 0), (5, 2, 3)])
def test_an_attempt_is_a_run_that_was_not_handed_back(token: int, deferrals: int, attempt: int) -> None:
    invocation = Invocation(
        function="one",
        id="1",
        state=State.QUEUED,
        kind="job",
        token=token,
        deferrals=deferrals,
        priority="normal",
        request=Request(),
        created_at=0,
        started_at=None,
        finished_at=None,
        max_age_ms=1,
        timeout_ms=1,
        attempts=3,
        instance=None,
        callback=None,
        response=None,
        failure=None,
        timeline={},
        cold_start=None,
    )

    assert invocation.attempt == attempt
