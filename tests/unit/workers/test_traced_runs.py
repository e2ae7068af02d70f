"""What is told of a run, of its wait, and of starts that end well or not."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.trace import StatusCode

from penstock import clock
from penstock.delivery import Delivery
from penstock.instance import InstanceState
from penstock.invocation import Event, Failure, FailureCode, Outcome
from tests.unit.spans import CALLER, SPAN, TRACE, Recorded, context, id_of, links_of, parent_of, trace_of
from tests.unit.workers.samples import function, run
from workers import tracing
from workers.engines import Endpoint
from workers.instances import Instance
from workers.retries import Answer
from workers.verdict import Finish, HandBack, TryAgain

HERE = Endpoint("127.0.0.1", 9000)
UNSAMPLED = CALLER[:-2] + "00"


def ready(**timeline: float) -> Instance:
    """An instance that just became ready, after stages of so many milliseconds."""
    instance = Instance(function("echo"))
    instance.state, instance.timeline = InstanceState.IDLE, dict(timeline)
    instance.ready_since = clock.monotonic()
    instance.taken = 1
    return instance


def traced(recorded: Recorded, instance: Instance, **changes: Any) -> tracing.RunTrace:
    now = clock.now_ms()
    times = {"created_at": now - 100, "started_at": now}
    return tracing.of_run(recorded.traces, run(**{**times, "trace": context(), **changes}), instance)


def failed(code: FailureCode, message: str) -> Outcome:
    return Outcome(event=Event.FAIL, failure=Failure(code=code, message=message, log_tail="SECRET"))


def test_without_a_context_nothing_is_made() -> None:
    recorded = Recorded()
    assert tracing.of_run(recorded.traces, run(), ready()) is tracing.UNTRACED
    assert tracing.UNTRACED.asks("POST", HERE, "/invoke", None) == ()
    assert recorded.spans == []


def test_a_context_that_is_not_recorded_passes_through() -> None:
    recorded = Recorded()
    trace = traced(recorded, ready(), trace=context(UNSAMPLED))
    assert trace.asks("POST", HERE, "/invoke", None) == (("traceparent", UNSAMPLED),)
    trace.answered(200)
    trace.ended(Finish(Outcome(event=Event.SUCCEED)))
    assert recorded.spans == []


def test_a_cold_start_is_told_as_far_as_the_call_waited_for_it() -> None:
    recorded = Recorded()
    instance = ready(pending=5.0, starting=300.0, listening=30.0, initializing=20.0)
    tracing.of_start(recorded.traces, instance)
    (start,) = recorded.named("start echo")
    assert start.end_time - start.start_time == pytest.approx(355e6, rel=0.001)
    recorded_before = len(recorded.spans)
    trace = traced(recorded, instance)  # it waited for 100 ms
    trace.ended(Finish(Outcome(event=Event.SUCCEED)))
    told = recorded.spans[recorded_before:]
    assert [span.name for span in told] == [
        "starting",
        "listening",
        "initializing",
        "cold start echo",
        "wait echo",
        "process echo",
    ]
    starting, _, initializing, cold, wait, process = told
    assert (links_of(cold), parent_of(cold), parent_of(starting)) == ([id_of(start)], id_of(wait), id_of(cold))
    assert (parent_of(wait), parent_of(process), trace_of(process)) == (SPAN, SPAN, TRACE)
    assert starting.start_time == cold.start_time == wait.start_time
    assert initializing.end_time == cold.end_time <= wait.end_time <= process.start_time
    assert process.attributes is not None
    assert process.attributes["faas.coldstart"] is True


def test_a_wait_begins_where_the_last_run_was_sent_back() -> None:
    recorded = Recorded()
    now = clock.now_ms()
    trace = traced(recorded, ready(), started_at=now, sent_back_at=now - 40, token=2)
    trace.ended(Finish(Outcome(event=Event.SUCCEED)))
    (wait,) = recorded.named("wait echo")
    assert (wait.start_time, wait.end_time) == ((now - 40) * 10**6, now * 10**6)
    assert recorded.named("cold start echo") == [], "only the first run waits for a start"


@pytest.mark.parametrize(
    ("decision", "outcome", "error"),
    [
        (Finish(Outcome(event=Event.SUCCEED)), "succeeded", None),
        (Finish(failed(FailureCode.FUNCTION_ERROR, "KeyError: 'x'\nmore")), "failed", "KeyError: 'x'"),
        (Finish(failed(FailureCode.RUN_TIMEOUT, "too long")), "failed", "too long"),
        (TryAgain(failed(FailureCode.INSTANCE_LOST, "gone"), 1500), "retry", "gone"),
        (HandBack(), "handed_back", None),
        (None, "aborted", None),
    ],
)
def test_how_a_run_ended(decision: Any, outcome: str, error: str | None) -> None:
    recorded = Recorded()
    trace = traced(recorded, ready())
    headers = dict(trace.asks("POST", HERE, "/invoke", "/invoke"))
    trace.ended(decision)
    request, process = recorded.spans[-2:]
    assert (request.name, parent_of(request)) == ("POST /invoke", id_of(process))
    assert headers == {"traceparent": f"00-{TRACE}-{id_of(request)}-{int(request.context.trace_flags):02x}"}
    assert process.attributes is not None
    assert process.attributes["penstock.outcome"] == outcome
    assert process.start_time <= request.start_time <= request.end_time <= process.end_time
    for span in (request, process):
        assert (span.status.status_code is StatusCode.ERROR) == (error is not None)
    if error is not None:
        assert [event.attributes["exception.message"] for event in process.events if event.attributes] == [error]
    assert "SECRET" not in str([span.to_json() for span in recorded.spans])


def test_an_error_of_our_own_ends_the_run() -> None:
    recorded = Recorded()
    traced(recorded, ready()).broke(ValueError("SECRET"))
    (process,) = recorded.named("process echo")
    assert (process.status.description, process.events) == ("ValueError", ())


def test_a_start_that_failed_says_why_and_not_what_its_container_said() -> None:
    recorded = Recorded()
    instance = Instance(function("echo"))
    tracing.of_start(recorded.traces, instance, "initialize (/initialize) answered 500: SECRET")
    (start,) = recorded.named("start echo")
    assert start.status.description == "initialize (/initialize) answered 500"
    assert [span.name for span in recorded.spans] == ["pending", "start echo"]


def test_a_callback_is_told_without_its_url() -> None:
    recorded = Recorded()
    delivery = Delivery(
        function="echo",
        name="n",
        of="id",
        what="completed",
        url="http://hooks.example/SECRET",
        payload="full",
        created_at=0,
        turn=1,
        state="pending",
        due_at=None,
        ended_at=None,
        made=0,
        spent=2,
        manual=False,
        claimed=True,
        attempts=(),
    )
    span = tracing.of_delivery(recorded.traces, delivery, context(), {"server.address": "hooks.example"})
    assert span is not None
    tracing.delivered(span, Answer(status=503, error="http://hooks.example/SECRET answered 503: SECRET"))
    (told,) = recorded.named("callback completed")
    assert parent_of(told) == SPAN
    assert told.attributes is not None
    assert told.attributes["penstock.callback.attempt"] == 3
    assert told.status.description == "503"
    assert "SECRET" not in told.to_json()
    assert tracing.of_delivery(recorded.traces, delivery, None, {}) is None
    assert tracing.of_delivery(recorded.traces, delivery, context(UNSAMPLED), {}) is None
