"""Async jobs: acknowledged, polled, waited for, read; and what passes through to the function and back."""

from __future__ import annotations

import time
from datetime import datetime

import pytest

from tests.e2e.harness import Json, Stack, wait_until


def test_a_job_is_acknowledged_then_runs_and_its_result_stays(stack: Stack) -> None:
    stack.gone("jobs")
    reply = stack.call("jobs", {"n": 7, "seconds": 0.5}, headers={"Prefer": "respond-async"})
    assert reply.status_code == 202
    record = reply.json()
    location = f"/v1/functions/jobs/invocations/{record['id']}"
    assert reply.headers["Location"] == location == record["links"]["self"]
    assert reply.headers["Preference-Applied"] == "respond-async"
    assert record["state"] == "queued"
    assert record["waiting_reason"]
    assert "nothing queued" not in record["waiting_reason"], "this one is"
    assert record["started_at"] is record["finished_at"] is None

    states = ["queued"]
    polls = []

    def ended() -> bool:
        poll = stack.record("jobs", record["id"])
        polls.append(poll)
        if poll["state"] != states[-1]:
            states.append(poll["state"])
        return poll["finished_at"] is not None

    wait_until(ended, 15, "the job ends")
    assert states == ["queued", "running", "succeeded"]
    running = next(poll for poll in polls if poll["state"] == "running")
    assert running["instance"] in stack.instances("jobs")
    assert running["started_at"] is not None

    last = polls[-1]
    created, started, finished = times(last)
    assert created < started < finished
    assert 0.5 <= finished - started < 2
    assert last["cold_start"] is True
    assert {"queued", "starting", "initializing", "running"} <= set(last["timeline"])
    assert last["timeline"]["running"] >= 500
    assert last["attempt"] == 1

    for _ in range(2):
        result = stack.result("jobs", record["id"])
        assert result.status_code == 200
        assert result.headers["Content-Type"] == "application/json"
        answer = result.json()
        assert (answer["n"], answer["attempt"], answer["request_id"]) == (7, 1, record["id"])
        assert len(result.content) == last["response"]["size"]


def test_a_long_poll_returns_at_the_end_and_not_before(process_stack: Stack) -> None:
    stack = process_stack
    record = stack.submit("jobs", {"seconds": 2.2})
    asked = time.monotonic()
    early = stack.record("jobs", record["id"], wait=1)
    assert 0.9 <= time.monotonic() - asked < 1.8
    assert early["state"] in ("queued", "running")
    late = stack.record("jobs", record["id"], wait=20)
    told = time.time()
    assert late["state"] == "succeeded"
    assert told - times(late)[2] < 0.8, "the end reaches a long poll at once, not at its next look"
    # One that has ended does not wait at all.
    asked = time.monotonic()
    assert stack.record("jobs", record["id"], wait=20)["state"] == "succeeded"
    assert time.monotonic() - asked < 0.5


def test_the_result_of_an_unfinished_job_is_202(process_stack: Stack) -> None:
    stack = process_stack
    record = stack.submit("jobs", {"seconds": 0.5})
    early = stack.result("jobs", record["id"])
    assert early.status_code == 202
    assert early.json()["id"] == record["id"]
    stack.finished("jobs", record["id"])
    assert stack.result("jobs", record["id"]).status_code == 200


@pytest.mark.parametrize(
    "prefer", ["respond-async", "respond-async, wait=0", "wait=0", 'foo="a,b", Respond-Async']
)
def test_ways_to_ask_for_a_job(process_stack: Stack, prefer: str) -> None:
    reply = process_stack.call("echo", b"x", headers={"Prefer": prefer})
    assert reply.status_code == 202, prefer
    assert process_stack.finished("echo", reply.json()["id"])["state"] == "succeeded"


def test_an_acknowledged_job_is_found_at_once_and_listed(process_stack: Stack) -> None:
    stack = process_stack
    jobs = []
    for n in range(20):
        record = stack.submit("echo", b"%d" % n)
        assert stack.record("echo", record["id"])["id"] == record["id"]
        jobs.append(record["id"])
    listed: list[str] = []
    cursor: str | None = None
    while len(listed) < 20:
        query = {"limit": 7} | ({"cursor": cursor} if cursor else {})
        page = stack.http.get(stack.path("echo"), params=query, timeout=5).json()
        listed += [one["id"] for one in page["invocations"]]
        cursor = page["next_cursor"]
        assert cursor, "there are more"
    assert listed[:20] == jobs[::-1], "newest first"
    for n, job in enumerate(jobs):
        assert stack.finished("echo", job)["state"] == "succeeded"
        assert stack.result("echo", job).content == b"%d" % n


def test_content_type_goes_in_and_status_headers_and_body_come_out(stack: Stack) -> None:
    """As a server of the user's own sees a call, and as its client sees the answer."""
    reply = stack.call("server", b"\x00\xffraw", headers={"Content-Type": "application/x-thing; a=b"})
    assert reply.status_code == 200
    assert reply.headers["Content-Type"] == "application/vnd.seen+json"
    assert reply.headers["X-Answer"] == "as the function said it"
    assert reply.headers["Penstock-Invocation-Id"] != "forged", "our own headers are not the function's to set"
    seen = reply.json()
    assert seen["headers"]["content-type"] == "application/x-thing; a=b"
    assert seen["headers"]["x-fc-request-id"] == reply.headers["Penstock-Invocation-Id"]
    assert (seen["method"], seen["path"], seen["body"]) == ("POST", "/invoke", "\x00\xffraw")

    record = stack.submit("server", b"later", headers={"Content-Type": "text/x-other"})
    stack.finished("server", record["id"])
    result = stack.result("server", record["id"])
    assert result.headers["Content-Type"] == "application/vnd.seen+json"
    assert result.headers["X-Answer"] == "as the function said it"
    assert result.json()["headers"]["content-type"] == "text/x-other"
    assert result.json()["headers"]["x-fc-invocation-type"] == "Async"


def times(record: Json) -> tuple[float, float, float]:
    """Unix seconds: created, started, finished."""
    created, started, finished = (
        datetime.fromisoformat(record[name]).timestamp() for name in ("created_at", "started_at", "finished_at")
    )
    return created, started, finished
