"""Cancelling: what waits at once, what runs within moments, what has ended never."""

from __future__ import annotations

import time

import pytest

from tests.e2e.harness import Stack, wait_until
from tests.e2e.test_e2e_bad_input import problem


@pytest.mark.waits
def test_cancel_in_every_state(stack: Stack) -> None:
    running = stack.submit("cancelled", {"n": 1, "seconds": 60})["id"]
    wait_until(lambda: stack.record("cancelled", running)["state"] == "running", 15, "the first one runs")
    victims = stack.instances("cancelled")
    queued = [stack.submit("cancelled", {"n": n})["id"] for n in (2, 3, 4)]

    # One that waits: at once, and its neighbours move up.
    assert stack.record("cancelled", queued[2])["queue_position"] == 3
    reply = stack.http.delete(stack.path("cancelled", queued[1]), timeout=5)
    assert reply.status_code == 200
    assert (reply.json()["state"], reply.json()["attempt"]) == ("cancelled", 0)
    assert stack.record("cancelled", queued[2])["queue_position"] == 2
    result = stack.result("cancelled", queued[1])
    assert (result.status_code, problem(result)["code"]) == (499, "cancelled")

    # One that runs, and does not listen: the record is cancelled at once, the instance is replaced.
    asked = time.monotonic()
    reply = stack.http.delete(stack.path("cancelled", running), timeout=5)
    assert time.monotonic() - asked < 0.5
    assert reply.status_code == 202
    assert reply.json()["state"] == "cancelled"
    assert stack.record("cancelled", running)["state"] == "cancelled"
    assert stack.finished("cancelled", queued[0])["state"] == "succeeded"
    took = time.monotonic() - asked
    assert took < 5, f"the slot was free again after {took:.1f} s"
    assert stack.finished("cancelled", queued[2])["state"] == "succeeded"
    assert stack.result("cancelled", queued[0]).json()["n"] == 2

    # One that has ended: never.
    for job, state in ((running, "cancelled"), (queued[1], "cancelled"), (queued[0], "succeeded")):
        reply = stack.http.delete(stack.path("cancelled", job), timeout=5)
        assert (reply.status_code, problem(reply)["code"]) == (409, "already_finished")
        assert stack.record("cancelled", job)["state"] == state
    assert stack.record("cancelled", queued[0])["instance"] not in victims
    stack.doomed |= victims


def test_a_cancelled_call_that_ends_soon_keeps_its_instance(process_stack: Stack) -> None:
    stack = process_stack
    running = stack.submit("cancelled", {"seconds": 1})["id"]
    wait_until(lambda: stack.record("cancelled", running)["state"] == "running", 15, "it runs")
    before = stack.instances("cancelled") - stack.doomed
    assert stack.http.delete(stack.path("cancelled", running), timeout=5).status_code == 202
    job = stack.submit("cancelled", {"n": 5})["id"]
    record = stack.finished("cancelled", job)
    assert record["state"] == "succeeded"
    assert {record["instance"]} == before, "an instance that lets go within 2 s is not replaced"
    assert stack.record("cancelled", running)["state"] == "cancelled", "a late answer changes nothing"


def test_deleting_a_function_cancels_what_waits(process_stack: Stack) -> None:
    stack = process_stack
    running = stack.submit("doomed", {"n": 1, "seconds": 1})["id"]
    wait_until(lambda: stack.record("doomed", running)["state"] == "running", 10, "it runs")
    waiting = [stack.submit("doomed", {})["id"] for _ in range(3)]
    reply = stack.http.delete(f"{stack.url}/v1/functions/doomed", timeout=5)
    assert (reply.status_code, reply.json()["cancelled"]) == (200, 3)
    assert stack.call("doomed", {}).status_code == 404
    assert [stack.record("doomed", job)["state"] for job in waiting] == ["cancelled"] * 3
    wait_until(lambda: stack.record("doomed", running)["state"] == "succeeded", 10, "what ran is finished")
    assert stack.result("doomed", running).json()["n"] == 1, "and stays readable"
    stack.gone("doomed")
