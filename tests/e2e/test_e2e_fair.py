"""One place for two functions: each gets its turn, and nobody's run is interrupted or counted for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
import requests

from tests.e2e import specs
from tests.e2e.harness import Stack, wait_until

_STAYS = {"idle_timeout": "60s"}
_RESIDENCY = 8
"""Cold starts that the heavy one keeps the place; then a call ends and the light one starts."""


@pytest.mark.waits
def test_the_light_one_is_served_while_the_heavy_one_has_a_backlog() -> None:
    with Stack("process", WORKERS__SLOTS="1") as stack:
        names = ("heavy", "light")
        stack.start().deploy({name: specs.folder("slow", event="json", scaling=_STAYS) for name in names})
        with overloaded(stack, "heavy") as jobs:
            wait_until(lambda: size(stack, "heavy", "queued") >= 10, 10, "a backlog")
            cold_start = start_of(stack, "heavy")
            asked = time.monotonic()
            record = stack.finished("light", stack.submit("light", {})["id"], timeout=60)
            waited = time.monotonic() - asked
            assert (record["state"], record["attempt"]) == ("succeeded", 1), record
            assert size(stack, "heavy", "queued"), "all the time something waited for the other"
            assert waited < _RESIDENCY * cold_start + 5, f"{waited:.1f} s for a light one"
            assert stack.workers is not None
            assert stack.workers.output().count("makes room for light") == 1, (
                "who makes room does not take it back"
            )
            wait_until(lambda: size(stack, "heavy", "running"), 15, "the heavy one has its turn again")

        stack.http.delete(f"{stack.url}/v1/functions/heavy/queue", timeout=10)
        records = [stack.finished("heavy", job) for job in jobs]
        runs = {(one["state"], one["attempt"]) for one in records}
        assert runs == {("succeeded", 1), ("cancelled", 0)}, "no run was interrupted, no attempt spent on waiting"


@pytest.mark.waits
def test_scarcity_spends_no_attempt_and_interrupts_nobody() -> None:
    with Stack("process", WORKERS__SLOTS="1") as stack:
        names = ("red", "green", "blue")
        stack.start().deploy({name: specs.folder("slow", event="json", scaling=_STAYS) for name in names})
        jobs = [(name, stack.submit(name, {"n": n, "seconds": 0.4})["id"]) for n in range(2) for name in names]
        first = wait_until(lambda: running(stack, jobs), 10, "one runs")
        waiting = [stack.record(name, job) for name, job in jobs if name != first]
        assert all(one["attempt"] == 0 for one in waiting)
        records = [stack.finished(name, job, timeout=40) for name, job in jobs]
        assert {(one["state"], one["attempt"], one["deferrals"]) for one in records} == {("succeeded", 1, 0)}
        answers = [stack.result(name, job).json() for name, job in jobs]
        spans = sorted((one["started"], one["ended"]) for one in answers)
        assert all(before[1] <= after[0] for before, after in pairwise(spans)), "one at a time"
        began = [one["started"] for one in answers]
        order = [name for _, (name, _) in sorted(zip(began, jobs, strict=True))]
        swaps = sum(before != after for before, after in pairwise(order))
        assert swaps <= 3, f"a start per function is enough: {order}"


@contextmanager
def overloaded(stack: Stack, function: str) -> Iterator[list[str]]:
    """Eight jobs a second of 0.25 s each, twice what one place can do: ids of those so far."""
    jobs: list[str] = []
    stop = threading.Event()

    def submit() -> None:
        with requests.Session() as http:
            while not stop.is_set():
                headers = {"Prefer": "respond-async"}
                reply = http.post(stack.path(function), json={"seconds": 0.25}, headers=headers, timeout=10)
                jobs.append(reply.json()["id"])
                stop.wait(0.12)

    thread = threading.Thread(target=submit)
    thread.start()
    try:
        yield jobs
    finally:
        stop.set()
        thread.join()


def start_of(stack: Stack, function: str) -> float:
    """Seconds that its only instance took to start."""
    reply = stack.http.get(f"{stack.url}/v1/functions/{function}/instances", timeout=5)
    (only,) = reply.json()["instances"]
    return float(sum(only["timeline"].values()) / 1000)


def size(stack: Stack, function: str, key: str) -> int:
    """Of one of the sets of a function (penstock/keys.py)."""
    return int(stack.redis.cli("ZCARD", f"ps:{{{function}}}:{key}"))


def running(stack: Stack, jobs: list[tuple[str, str]]) -> str | None:
    return next((name for name, job in jobs if stack.record(name, job)["state"] == "running"), None)
