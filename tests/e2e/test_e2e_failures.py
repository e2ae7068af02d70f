"""Functions that fail: their caller learns why, the record says the same, and the next call is served."""

from __future__ import annotations

import time

import pytest

from tests.e2e.harness import Stack
from tests.e2e.test_e2e_bad_input import problem


def test_a_handler_that_raises(stack: Stack) -> None:
    held = stack.call("raises", b"four")
    assert held.status_code == 502
    said = problem(held)
    assert said["code"] == "function_error"
    assert said["detail"] == "TooSad: 4 bytes are too sad to say anything about"
    assert said["retryable"] is False
    assert said["invocation"] == held.headers["Penstock-Invocation-Id"]
    before = stack.instances("raises")

    job = stack.submit("raises", b"seven..")["id"]
    record = stack.finished("raises", job)
    assert (record["state"], record["attempt"]) == ("failed", 1), "a handler that raises is not asked again"
    assert record["error"]["code"] == "function_error"
    assert record["error"]["message"].startswith("TooSad: 7 bytes")
    assert "about to raise" in record["error"]["log_tail"]
    assert "app.py" in record["error"]["log_tail"], "the traceback is the user's"
    result = stack.result("raises", job)
    assert result.status_code == 502
    assert problem(result)["detail"].startswith("TooSad: 7 bytes")
    assert stack.instances("raises") == before, "raising does not cost the instance"


@pytest.mark.waits
def test_a_function_that_exits_in_a_call(stack: Stack) -> None:
    held = stack.call("exits", b"x")
    assert held.status_code == 502
    said = problem(held)
    assert (said["code"], said["retryable"]) == ("instance_lost", True)

    job = stack.submit("exits", b"x")["id"]
    record = stack.finished("exits", job)
    assert (record["state"], record["attempt"]) == ("failed", 2), "a lost instance is worth its two attempts"
    assert record["error"]["code"] == "instance_lost"
    assert "about to exit" in record["error"]["log_tail"]
    stack.gone("exits")


@pytest.mark.parametrize(
    ("function", "reason", "tail"),
    [
        ("broken", "FileNotFoundError: model.bin is not there", "looking for the model"),
        ("unreadable", "SyntaxError: expected ':'", "app.py"),
    ],
)
def test_a_function_that_cannot_start(stack: Stack, function: str, reason: str, tail: str) -> None:
    job = stack.submit(function, b"waits")["id"]
    asked = time.monotonic()
    held = stack.call(function, b"x")
    assert time.monotonic() - asked < 10, "nobody waits for what does not come"
    assert held.status_code == 503
    said = problem(held)
    assert (said["code"], said["retryable"]) == ("start_failed", True)
    assert reason in said["detail"]
    assert tail in said["log_tail"]
    assert int(held.headers["Retry-After"]) >= 1

    asked = time.monotonic()
    again = stack.call(function, b"x")
    assert (again.status_code, problem(again)["code"]) == (503, "start_failed")
    assert time.monotonic() - asked < 2, "once it is known, the answer is there at once"

    waiting = stack.record(function, job)
    assert waiting["state"] == "queued", "a job waits for a better revision"
    assert (waiting["attempt"], waiting["error"]) == (0, None)
    assert "starts failed in a row" in waiting["waiting_reason"]
    assert reason in waiting["waiting_reason"]
    shown = stack.http.get(f"{stack.url}/v1/functions/{function}/instances", timeout=5).json()
    assert reason in shown["decision"]["reason"]
    assert stack.http.delete(stack.path(function, job), timeout=5).status_code == 200
    stack.gone(function)


@pytest.mark.waits
def test_a_run_that_takes_too_long(stack: Stack) -> None:
    first = stack.call("brief", {"n": 0}).json()["instance"]
    asked = time.monotonic()
    held = stack.call("brief", {"seconds": 60})
    took = time.monotonic() - asked
    assert (held.status_code, problem(held)["code"]) == (504, "run_timeout")
    assert 1 <= took < 2
    stuck = stack.instances("brief")

    asked = time.monotonic()
    job = stack.submit("brief", {"seconds": 60})["id"]
    record = stack.finished("brief", job)
    assert (record["state"], record["attempt"]) == ("timed_out", 1)
    assert record["error"]["code"] == "run_timeout"
    assert "1 s" in record["error"]["message"]

    after = stack.call("brief", {"n": 1})
    assert after.status_code == 200
    assert time.monotonic() - asked < 12, "a stuck instance keeps nobody waiting"
    assert after.json()["instance"] != first, "it was replaced"
    stack.doomed |= stuck
