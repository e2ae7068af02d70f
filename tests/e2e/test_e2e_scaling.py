"""A burst: as many instances as are worth it, never more than allowed, and none afterwards."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.e2e.harness import Json, Stack, wait_until
from tests.e2e.load import watched


@pytest.mark.waits
def test_a_burst_gets_all_instances_that_are_allowed_and_then_none(stack: Stack) -> None:
    stack.gone("burst")
    with watched(stack, "burst") as counts, requests.Session() as http:
        with ThreadPoolExecutor(4) as clients:
            bodies = ({"n": n, "seconds": 0.2} for n in range(200))
            records = list(clients.map(lambda body: submit(http, stack, "burst", body), bodies))
        answers = [answer(stack, "burst", record["id"]) for record in records]
        stack.gone("burst", timeout=15)

    assert max(counts) == 3, "three instances at the peak, never more"
    assert [one["n"] for one in answers] == list(range(200)), "each job has its own result"
    assert {one["attempt"] for one in answers} == {1}
    assert max(one["overlapping"] for one in answers) == 2, "two calls at a time in one instance"
    by_instance: dict[str, list[Json]] = {}
    for one in answers:
        by_instance.setdefault(one["instance"], []).append(one)
    assert len(by_instance) == 3
    for name, calls in by_instance.items():
        assert most_at_once(calls) <= 2, name
    assert most_at_once(answers) <= 6
    span = max(one["ended"] for one in answers) - min(one["started"] for one in answers)
    assert span < 2.5 * 200 * 0.2 / 6, "the slots are kept busy"


@pytest.mark.waits
def test_the_floor_stays_warm(stack: Stack) -> None:
    wait_until(lambda: len(stack.instances("floor")) == 1, 10, "one without any call")
    floor = stack.instances("floor")
    records = [stack.submit("floor", {"n": n, "seconds": 0.4}) for n in range(10)]
    wait_until(lambda: len(stack.instances("floor")) == 2, 10, "a second one for the burst")
    for record in records:
        assert answer(stack, "floor", record["id"])["attempt"] == 1
    wait_until(lambda: len(stack.instances("floor")) == 1, 10, "the second one goes after its idle timeout")
    with watched(stack, "floor") as counts:
        time.sleep(2.5)  # longer than its idle timeout of 1 s and the second between two decisions
    assert set(counts) == {1}
    assert stack.call("floor", {}).headers["Penstock-Cold-Start"] == "false"
    assert floor, "there was one before"


def submit(http: requests.Session, stack: Stack, function: str, body: Json) -> Json:
    reply = http.post(stack.path(function), json=body, headers={"Prefer": "respond-async"}, timeout=10)
    assert reply.status_code == 202, reply.text
    record: Json = reply.json()
    return record


def answer(stack: Stack, function: str, invocation: str) -> Json:
    record = stack.finished(function, invocation, timeout=40)
    assert record["state"] == "succeeded", record
    answered: Json = stack.result(function, invocation).json()
    return answered


def most_at_once(calls: list[Json]) -> int:
    """How many of these overlapped at most, by their own clocks."""
    edges = sorted([(one["started"], 1) for one in calls] + [(one["ended"], -1) for one in calls])
    running = most = 0
    for _, change in edges:
        running += change
        most = max(most, running)
    return most
