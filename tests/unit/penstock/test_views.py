"""The JSON that clients rely on."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from penstock import clock, views
from penstock.function import Function, FunctionSpec
from penstock.instance import InstanceState, InstanceView
from penstock.invocation import Failure, FailureCode, Invocation, Request, Response, State
from penstock.store import PoolView

RECORD = Invocation(
    function="echo",
    id="id-1",
    state=State.QUEUED,
    kind="job",
    token=0,
    deferrals=0,
    priority="normal",
    request=Request(headers=(("Content-Type", "text/plain"),), size=5),
    created_at=1_700_000_000_001,
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
POOL = PoolView(instances=(), desired=1, reason="1 queued and 0 running need 1", drain_rate=None)
NOON = 1_800_000_000_000


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now_ms", lambda: NOON)


def instance(state: InstanceState, **timeline: float) -> InstanceView:
    return InstanceView(
        id=f"echo-{state}", state=state, revision=1, in_flight=0, started_at=0, timeline=timeline, reason="demand"
    )


def test_a_record_has_all_fields_of_the_design_whatever_its_state() -> None:
    assert views.invocation(RECORD) == {
        "id": "id-1",
        "function": "echo",
        "state": "queued",
        "attempt": 0,
        "deferrals": 0,
        "priority": "normal",
        "created_at": "2023-11-14T22:13:20.001Z",
        "started_at": None,
        "finished_at": None,
        "queue_position": None,
        "estimated_start": None,
        "waiting_reason": None,
        "instance": None,
        "cold_start": None,
        "timeline": {},
        "request": {
            "method": "POST",
            "path": None,
            "query": "",
            "headers": {"Content-Type": "text/plain"},
            "size": 5,
        },
        "response": None,
        "error": None,
        "progress": None,
        "callback": None,
        "retry_of": None,
        "batch": None,
        "links": {
            "self": "/v1/functions/echo/invocations/id-1",
            "result": "/v1/functions/echo/invocations/id-1/result",
            "events": "/v1/functions/echo/invocations/id-1/events",
            "cancel": "/v1/functions/echo/invocations/id-1",
        },
    }


def test_a_record_is_json_in_every_part() -> None:
    full = replace(
        RECORD,
        state=State.FAILED,
        token=3,
        deferrals=1,
        started_at=1,
        finished_at=2,
        instance="echo-1",
        callback="http://x/",
        response=Response(status=500, headers=(("A", "b"),), size=3),
        failure=Failure(code=FailureCode.FUNCTION_ERROR, message="m", log_tail="l"),
        timeline={"queued": 1.5},
        cold_start=True,
    )
    said = json.loads(json.dumps(views.invocation(full, position=None, pool=POOL)))
    assert said["attempt"] == 2, "a hand-back is no attempt"
    assert said["error"] == {
        "code": "function_error",
        "message": "m",
        "retryable": False,
        "exit_code": None,
        "log_tail": "l",
    }
    assert said["response"] == {"status": 500, "headers": {"A": "b"}, "size": 3}
    assert said["waiting_reason"] is None


@pytest.mark.parametrize(
    ("position", "rate", "expected"),
    [
        (None, 2.0, None),
        (1, None, None),
        (1, 0.0, None),
        (1, 2.0, "2027-01-15T08:00:00.500Z"),
        (10, 2.0, "2027-01-15T08:00:05.000Z"),
        (1, 0.01, "2027-01-15T08:01:40.000Z"),
    ],
)
def test_a_start_is_estimated_from_the_rate_if_that_is_known(
    position: int | None, rate: float | None, expected: str | None
) -> None:
    said = views.invocation(RECORD, position=position, pool=replace(POOL, drain_rate=rate))
    assert said["estimated_start"] == expected
    assert said["queue_position"] == position


@pytest.mark.parametrize(
    ("instances", "reason"),
    [
        ([], "1 queued and 0 running need 1"),
        ([instance(InstanceState.IDLE)], "an idle instance is about to take it"),
        ([instance(InstanceState.BUSY), instance(InstanceState.IDLE)], "an idle instance is about to take it"),
        (
            [instance(InstanceState.STARTING, pending=500.0, starting=1740.0)],
            "instance echo-starting is starting, 2.2 s into its start",
        ),
        ([instance(InstanceState.PENDING, pending=0.0)], "instance echo-pending is pending, 0.0 s into its start"),
        (
            [instance(InstanceState.BUSY), instance(InstanceState.INITIALIZING, pending=9000.0)],
            "instance echo-initializing is initializing, 9.0 s into its start",
        ),
        (
            [instance(InstanceState.BUSY), instance(InstanceState.BUSY)],
            "2 of 2 instances are busy; 1 queued and 0 running need 1",
        ),
        ([instance(InstanceState.DRAINING)], "1 queued and 0 running need 1"),
    ],
)
def test_a_queued_one_tells_why_it_waits(instances: list[InstanceView], reason: str) -> None:
    said = views.invocation(RECORD, position=1, pool=replace(POOL, instances=instances))
    assert said["waiting_reason"] == reason


def test_a_fresh_one_of_a_function_at_zero_waits_for_the_workers_to_look() -> None:
    idle = replace(POOL, desired=0, reason="nothing queued, nothing running")
    said = views.invocation(RECORD, position=1, pool=idle)
    assert said["waiting_reason"] == "the workers are about to look at it"
    hindered = replace(idle, reason="revision 2 cannot be prepared: no such image", settled=False)
    said = views.invocation(RECORD, position=1, pool=hindered)
    assert said["waiting_reason"] == "revision 2 cannot be prepared: no such image"


def test_one_that_waits_for_another_attempt_tells_why_the_last_failed() -> None:
    lost = replace(RECORD, failure=Failure(code=FailureCode.INSTANCE_LOST, message="it hung up"))
    said = views.invocation(lost, pool=POOL)
    assert said["waiting_reason"] == "another attempt follows: it hung up"


@pytest.mark.parametrize("state", [state for state in State if state is not State.QUEUED])
def test_one_that_does_not_wait_has_no_reason_to(state: State) -> None:
    assert views.invocation(replace(RECORD, state=state), pool=POOL)["waiting_reason"] is None


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("application/json", b'{"a": [1]}', {"a": [1]}),
        ("application/json; charset=utf-8", b"null", None),
        ("application/json", b"not json", {"content_type": "application/json", "base64": "bm90IGpzb24="}),
        ("text/plain", b"text", "text"),
        ("text/plain", "grün".encode(), "grün"),
        ("", b"text", "text"),
        ("application/octet-stream", b"\xff\x00", {"content_type": "application/octet-stream", "base64": "/wA="}),
        ("image/png", b"\x89PNG", {"content_type": "image/png", "base64": "iVBORw=="}),
        ("text/plain", b"", ""),
    ],
)
def test_a_result_is_json_text_or_base64(kind: str, body: bytes, expected: Any) -> None:
    headers = (("content-type", kind),) if kind else ()
    said = views.result(Response(status=200, headers=headers), body)
    assert said == expected
    if isinstance(said, dict) and "base64" in said:
        assert base64.b64decode(said["base64"]) == body


@pytest.mark.parametrize("body", [b"NaN", b'{"score": Infinity}', b'"\\ud800"'])
def test_a_result_stays_readable_json_in_a_callback(body: bytes) -> None:
    said = views.result(Response(status=200, headers=(("Content-Type", "application/json"),)), body)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    json.loads(json.dumps(said), parse_constant=refuse)


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.TIMED_OUT, State.CANCELLED, State.EXPIRED])
def test_a_callback_tells_state_record_and_result(state: State) -> None:
    response = Response(status=200, headers=(("Content-Type", "text/plain"),), size=2)
    record = replace(RECORD, state=state, response=response)
    said = views.callback(record, "completed", "ok")
    assert said["type"] == f"invocation.{state}"
    assert said["timestamp"] == "2027-01-15T08:00:00.000Z"
    assert said["data"] == views.invocation(record) | {"result": "ok"}


def test_a_thin_callback_tells_which_it_is_and_where_to_look() -> None:
    said = views.callback(RECORD, "started", None, payload="thin")
    assert said["type"] == "invocation.started"
    assert set(said["data"]) == {"id", "function", "state", "attempt", "links"}
    path = f"/v1/functions/{RECORD.function}/invocations/{RECORD.id}"
    assert said["data"]["links"]["result"] == f"{path}/result"


def test_a_function_shows_its_whole_spec_and_how_many_instances_it_has() -> None:
    deployed = Function(name="echo", spec=FunctionSpec(image="x"), revision=3, digest="d", created_at=NOON)
    instances = (instance(InstanceState.BUSY), instance(InstanceState.BUSY), instance(InstanceState.IDLE))
    said = views.function(deployed, replace(POOL, instances=instances))
    assert (said["name"], said["revision"], said["created_at"]) == ("echo", 3, "2027-01-15T08:00:00.000Z")
    assert said["instances"] == {"busy": 2, "idle": 1}
    assert said["decision"] == {"desired": 1, "reason": "1 queued and 0 running need 1"}
    assert FunctionSpec.model_validate(said["spec"]) == deployed.spec


def test_instances_show_their_timeline() -> None:
    said = views.instances(replace(POOL, instances=(instance(InstanceState.STARTING, pending=1.5),)))
    assert said["instances"] == [
        {
            "id": "echo-starting",
            "state": "starting",
            "revision": 1,
            "provisioned": False,
            "in_flight": 0,
            "started_at": "1970-01-01T00:00:00.000Z",
            "timeline": {"pending": 1.5},
            "gpu": None,
            "reason": "demand",
        }
    ]
