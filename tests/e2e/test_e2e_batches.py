"""Batches of real processes: thousands of jobs in one request, ended, cancelled while they run."""

from __future__ import annotations

import pytest

from tests.e2e import specs
from tests.e2e.harness import Json, Stack, wait_until
from tests.e2e.test_e2e_up import start, stop

_JOBS = 10_000


@pytest.mark.waits
def test_ten_thousand_jobs_in_one_request_all_end() -> None:
    with Stack("process") as stack:
        run_many(stack)


@pytest.mark.waits
def test_a_batch_is_cancelled_while_it_runs() -> None:
    with Stack("process") as stack:
        cancel_midway(stack)


def run_many(stack: Stack) -> None:
    many = specs.folder("echo", concurrency=32, scaling={"max": 2, "idle_timeout": "60s"})
    up = start(stack, {"many": many})
    said = submit(stack, "many", b"".join(b'{"n": %d}\n' % n for n in range(_JOBS)))
    assert (said["accepted"], said["refused"]) == (_JOBS, 0)

    wait_until(lambda: batch(stack, "many", said)["finished_at"], 100, "all have ended", every=0.5)
    counts = batch(stack, "many", said)["counts"]
    assert {state: count for state, count in counts.items() if count} == {"succeeded": _JOBS}
    for index in (0, 4_999, _JOBS - 1):
        assert stack.result("many", said["items"][index]["id"]).content == b'{"n": %d}' % index
        assert stack.record("many", said["items"][index]["id"])["batch"] == said["batch"]
    stop(stack, up)


def cancel_midway(stack: Stack) -> None:
    up = start(stack, {"slow": specs.folder("slow", event="json", scaling={"max": 2, "idle_timeout": "60s"})})
    lines = b'{"seconds": 0.02}\n' * 50 + b'{"seconds": 60}\n' * 200
    said = submit(stack, "slow", lines)
    wait_until(lambda: running(stack, said) == 2, 30, "the first ones have ended, and long ones run")

    reply = stack.http.delete(url(stack, "slow", said), timeout=20)
    cancelled = reply.json()["cancelled"]

    shown = batch(stack, "slow", said)
    assert shown["finished_at"] is not None
    assert {state: count for state, count in shown["counts"].items() if count} == {
        "succeeded": 250 - cancelled,
        "cancelled": cancelled,
    }
    assert cancelled == 200
    # The calls that ran were aborted: the slots are free for others.
    assert stack.call("slow", {"seconds": 0, "n": 1}).json()["n"] == 1
    stop(stack, up)


def running(stack: Stack, said: Json) -> int:
    counts = batch(stack, "slow", said)["counts"]
    assert counts["succeeded"] <= 50
    return counts["running"] if counts["succeeded"] == 50 else 0


def submit(stack: Stack, function: str, lines: bytes) -> Json:
    reply = stack.http.post(f"{stack.path(function)}:batch", data=lines, timeout=60)
    assert reply.status_code == 202, reply.text
    said: Json = reply.json()
    return said


def url(stack: Stack, function: str, said: Json) -> str:
    return f"{stack.url}/v1/functions/{function}/batches/{said['batch']}"


def batch(stack: Stack, function: str, said: Json) -> Json:
    reply = stack.http.get(url(stack, function, said), timeout=10)
    assert reply.status_code == 200, reply.text
    shown: Json = reply.json()
    return shown
