"""What becomes of an invocation: every branch, and who may be run a second time."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from penstock.function import Retry
from penstock.invocation import Event, Failure, FailureCode, Outcome, Request, Response
from tests.unit.workers.samples import answer, invocation
from workers.answer import Answer, Busy, ChannelError, Lost, Malformed, NotSent
from workers.verdict import Finish, HandBack, RunFacts, TryAgain, of_answer, of_error, of_timeout

NOON_MS = 1_445_428_800_000
"""Wed, 21 Oct 2015 12:00:00 GMT."""
FACTS = RunFacts(timeline={"queued": 1.0, "running": 2.0}, cold_start=True, now_ms=NOON_MS, log_tail="last words")
RETRY = Retry()
HTTP_CALL = Request(path="/predict")


def failed(code: FailureCode, message: str, **more: Any) -> Outcome:
    failure = Failure(code=code, message=message, log_tail=more.pop("log_tail", None))
    return Outcome(event=Event.FAIL, failure=failure, timeline=FACTS.timeline, cold_start=True, **more)


@pytest.mark.parametrize("kind", ["job", "call"])
@pytest.mark.parametrize("status", [200, 201, 204, 301, 399])
def test_an_answer_below_400_is_success(kind: str, status: int) -> None:
    said = answer(status)
    assert of_answer(invocation(kind=kind), said, RETRY, FACTS) == Finish(
        Outcome(
            event=Event.SUCCEED,
            response=said.response,
            body=b"said",
            timeline=FACTS.timeline,
            cold_start=True,
        )
    )


@pytest.mark.parametrize("status", [404, 429, 500, 503])
def test_any_complete_answer_of_an_http_call_is_success(status: int) -> None:
    decision = of_answer(invocation(request=HTTP_CALL), answer(status), RETRY, FACTS)
    assert isinstance(decision, Finish)
    assert decision.outcome.event is Event.SUCCEED
    assert decision.outcome.response == Response(status=status, size=4)


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422, 500, 501])
def test_an_event_call_that_answers_an_error_has_failed_and_keeps_its_answer(status: int) -> None:
    said = answer(status)
    assert of_answer(invocation(), said, RETRY, FACTS) == Finish(
        failed(FailureCode.FUNCTION_ERROR, f"the function answered {status}", response=said.response, body=b"said")
    )


@pytest.mark.parametrize("request_", [Request(), HTTP_CALL])
@pytest.mark.parametrize("status", [200, 500, 503])
def test_a_handler_that_raised_is_final_without_an_answer(request_: Request, status: int) -> None:
    decision = of_answer(invocation(request=request_), answer(status, error="KeyError: 'x'"), RETRY, FACTS)
    assert decision == Finish(failed(FailureCode.FUNCTION_ERROR, "KeyError: 'x'", log_tail="last words"))


def test_a_handler_that_raised_is_run_again_if_the_spec_lists_it() -> None:
    # "A handler that raises is function_error, final unless the spec lists it." The runtime answers 500 then.
    decision = of_answer(invocation(), answer(500, error="KeyError: 'x'"), Retry(on=(500,)), FACTS)
    assert isinstance(decision, TryAgain)


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_a_job_is_tried_again_after_a_status_that_says_later(status: int) -> None:
    said = answer(status)
    decision = of_answer(invocation(), said, RETRY, FACTS)
    assert isinstance(decision, TryAgain)
    assert decision.outcome == failed(
        FailureCode.FUNCTION_ERROR, f"the function answered {status}", response=said.response, body=b"said"
    )


def test_the_spec_says_which_statuses_are_worth_another_try() -> None:
    assert isinstance(of_answer(invocation(), answer(500), Retry(on=(500,)), FACTS), TryAgain)
    assert isinstance(of_answer(invocation(), answer(503), Retry(on=(500,)), FACTS), Finish)


@pytest.mark.parametrize(
    ("facts", "retry", "again"),
    [
        pytest.param({"token": 1}, RETRY, True, id="first of three"),
        pytest.param({"token": 2}, RETRY, True, id="second of three"),
        pytest.param({"token": 3}, RETRY, False, id="third of three"),
        pytest.param({"token": 3, "deferrals": 1}, RETRY, True, id="a hand-back is no attempt"),
        pytest.param({"token": 1, "attempts": 1}, RETRY, False, id="one attempt only"),
        pytest.param({"kind": "call"}, RETRY, False, id="held"),
        pytest.param({"kind": "call"}, Retry(held=True), True, id="held, and the spec allows it"),
        pytest.param({"kind": "call", "token": 3}, Retry(held=True), False, id="held, and its tries are spent"),
    ],
)
def test_who_may_be_run_again(facts: dict[str, Any], retry: Retry, again: bool) -> None:
    expected = TryAgain if again else Finish
    assert isinstance(of_answer(invocation(**facts), answer(503), retry, FACTS), expected)
    assert isinstance(of_error(invocation(**facts), Lost("gone"), retry, FACTS), expected)


def test_a_held_http_call_is_not_run_again_when_its_instance_is_lost() -> None:
    assert isinstance(of_error(invocation(kind="call", request=HTTP_CALL), Lost(""), RETRY, FACTS), Finish)


@pytest.mark.parametrize("kind", ["job", "call"])
def test_what_was_never_sent_is_handed_back(kind: str) -> None:
    assert of_error(invocation(kind=kind, token=99), NotSent("refused"), RETRY, FACTS) == HandBack()


@pytest.mark.parametrize("kind", ["job", "call"])
def test_what_its_instance_had_no_room_for_is_handed_back_for_a_while(kind: str) -> None:
    decision = of_error(invocation(kind=kind), Busy("all slots are busy"), RETRY, FACTS)
    assert decision == HandBack(room=False)
    assert decision != HandBack()


def test_a_lost_instance_says_so() -> None:
    decision = of_error(invocation(token=3), Lost("it hung up"), RETRY, FACTS)
    assert decision == Finish(failed(FailureCode.INSTANCE_LOST, "it hung up", log_tail="last words"))


@pytest.mark.parametrize("error", [Malformed("not HTTP"), ChannelError("something else")])
def test_an_answer_that_is_none_is_the_functions_error_and_final(error: ChannelError) -> None:
    decision = of_error(invocation(), error, RETRY, FACTS)
    assert decision == Finish(failed(FailureCode.FUNCTION_ERROR, str(error), log_tail="last words"))


@pytest.mark.parametrize("kind", ["job", "call"])
def test_a_run_that_takes_too_long_is_final(kind: str) -> None:
    decision = of_timeout(invocation(kind=kind, timeout_ms=1500), FACTS)
    assert isinstance(decision, Finish)
    assert decision.outcome == Outcome(
        event=Event.TIME_OUT,
        failure=Failure(
            code=FailureCode.RUN_TIMEOUT,
            message="the run took longer than 1.5 s, the function's timeout",
            log_tail="last words",
        ),
        timeline=FACTS.timeline,
        cold_start=True,
    )


def delays(attempt: int, retry: Retry, said: Answer | None = None, count: int = 300) -> list[int]:
    random.seed(7)
    job = invocation(token=attempt, attempts=100)
    found = []
    for _ in range(count):
        decision = of_answer(job, said or answer(503), retry, FACTS)
        assert isinstance(decision, TryAgain)
        found.append(decision.delay_ms)
    return found


@pytest.mark.parametrize(
    ("attempt", "ceiling_ms"),
    [(1, 1_000), (2, 2_000), (3, 4_000), (8, 128_000), (9, 256_000), (10, 300_000), (99, 300_000)],
)
def test_the_pause_is_drawn_from_zero_to_a_ceiling_that_doubles_up_to_5_min(attempt: int, ceiling_ms: int) -> None:
    drawn = delays(attempt, RETRY)
    assert 0 <= min(drawn) < 0.1 * ceiling_ms
    assert 0.9 * ceiling_ms < max(drawn) <= ceiling_ms


def test_the_spec_sets_the_pauses() -> None:
    drawn = delays(3, Retry(backoff="10s", max_backoff="15s"))
    assert 13_500 < max(drawn) <= 15_000


def test_a_lost_instance_is_tried_again_after_the_same_pauses() -> None:
    random.seed(7)
    decisions = [of_error(invocation(token=2), Lost(""), RETRY, FACTS) for _ in range(300)]
    drawn = [decision.delay_ms for decision in decisions if isinstance(decision, TryAgain)]
    assert 1_800 < max(drawn) <= 2_000
    assert 0 <= min(drawn) < 200


@pytest.mark.parametrize("name", ["Retry-After", "retry-after", "RETRY-AFTER"])
def test_retry_after_is_the_least_pause(name: str) -> None:
    drawn = delays(1, RETRY, answer(503, headers=((name, "7"),)))
    assert set(drawn) == {7_000}


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("Wed, 21 Oct 2015 12:00:20 GMT", 20),
        ("Wednesday, 21-Oct-15 12:00:20 GMT", 20),
        ("Wed Oct 21 12:00:20 2015", 20),
        ("Wed, 21 Oct 2015 11:00:00 GMT", 0),
    ],
)
def test_retry_after_may_be_a_date(date: str, seconds: int) -> None:
    drawn = delays(1, RETRY, answer(503, headers=(("Retry-After", date),)))
    assert min(drawn) >= seconds * 1000
    assert max(drawn) <= seconds * 1000 + 1_000


def test_a_retry_after_below_the_drawn_pause_changes_nothing() -> None:
    drawn = delays(4, RETRY, answer(503, headers=(("Retry-After", "1"),)))
    assert min(drawn) == 1_000
    assert max(drawn) > 7_000


@pytest.mark.parametrize(
    "value",
    [
        "",
        "-5",
        "1.5",
        "soon",
        "Wed, 99 Oct 2015 07:28:00 GMT",
        "Wed, 21 Oct 0000 07:28:00 GMT",
        "²",
        "٣",
        "9" * 400,
    ],
)
def test_a_retry_after_that_is_no_number_of_seconds_does_no_harm(value: str) -> None:
    # The function writes it: whatever it holds, the run must end with a verdict.
    drawn = delays(1, RETRY, answer(503, headers=(("Retry-After", value),)))
    assert all(delay >= 0 for delay in drawn)


def test_an_answer_that_the_function_marked_as_failed_has_failed_whatever_its_status() -> None:
    marked = replace(answer(200), marked_failed=True)
    decision = of_answer(invocation(), marked, RETRY, FACTS)
    assert isinstance(decision, Finish)
    assert (decision.outcome.event, decision.outcome.response) == (Event.FAIL, marked.response)
    assert decision.outcome.failure is not None
    assert "x-fc-status: 404" in decision.outcome.failure.message
