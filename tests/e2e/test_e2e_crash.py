"""kill -9 of the workers process, and a stop that is asked for: nothing acknowledged is lost, nothing runs on."""

from __future__ import annotations

import signal
import time

import pytest

from tests.e2e import specs
from tests.e2e.harness import Json, Stack, wait_until

_WORK = specs.folder("slow", event="json", scaling={"max": 2, "max_queue_wait": "1s", "idle_timeout": "2s"})
_RECOVERY = 15
"""Seconds after which work goes on when a worker died: what Penstock promises."""


@pytest.mark.waits
def test_all_jobs_end_though_the_workers_are_killed(engine: str) -> None:
    with Stack(engine) as stack:
        stack.start().deploy({"work": _WORK})
        kill_the_workers(stack, engine)


@pytest.mark.waits
def test_a_stop_finishes_what_runs_and_leaves_the_rest_queued(engine: str) -> None:
    with Stack(engine) as stack:
        stack.start().deploy({"work": _WORK | {"scaling": {"max": 1, "idle_timeout": "2s"}}})
        stop_the_workers(stack, engine)


def kill_the_workers(stack: Stack, engine: str) -> None:
    jobs = [stack.submit("work", {"n": n, "seconds": 0.5})["id"] for n in range(20)]
    wait_until(lambda: len(ended(stack, jobs)) >= 4 and len(running(stack)) == 2, 20, "four ended, two run")
    before = set(containers(stack))
    assert stack.workers is not None
    stack.workers.stop(signal.SIGKILL)
    killed = time.time()
    done_before, interrupted = ended(stack, jobs), running(stack)
    assert len(interrupted) == 2
    if engine == "process":
        wait_until(lambda: not stack.instances("work"), 5, "processes die with the workers")
    stack.start_workers()
    if engine == "docker":
        assert set(containers(stack)) == before, "containers outlive the workers"

    records = [stack.finished("work", job, timeout=40) for job in jobs]
    assert {record["state"] for record in records} == {"succeeded"}
    answers = [stack.result("work", job).json() for job in jobs]
    assert [answer["n"] for answer in answers] == list(range(20)), "each job has its own result"
    for record, answer in zip(records, answers, strict=True):
        assert record["attempt"] == answer["attempt"], "the result is that of the last attempt"
        assert record["attempt"] <= 2
        if record["id"] in done_before:
            assert done_before[record["id"]] == record, "what had ended stays as it was"
    again = {record["id"] for record in records if record["attempt"] == 2}
    assert again == interrupted, "exactly those that ran were run again"
    if engine == "docker":
        served = {answer["instance"].rpartition("-")[0] for answer in answers if answer["started"] > killed}
        assert served <= {container[:12] for container in before}, "the containers that ran serve again"
        assert served

    resumed = min(answer["started"] for answer in answers if answer["started"] > killed)
    recovered = max(answer["started"] for answer in answers if answer["attempt"] == 2)
    stack.gone("work", timeout=20)
    assert stack.workers.stop() == 0
    if engine == "docker":
        assert containers(stack) == {}, "none is orphaned"
    wait_until(lambda: len(stack.processes()) == 1, 5, "the gateway alone is left")
    assert resumed - killed <= _RECOVERY, f"work went on after {resumed - killed:.1f} s"
    assert recovered - killed <= _RECOVERY, f"what was interrupted ran again after {recovered - killed:.1f} s"


def stop_the_workers(stack: Stack, engine: str) -> None:
    jobs = [stack.submit("work", {"n": n, "seconds": 0.5})["id"] for n in range(3)]
    wait_until(lambda: stack.record("work", jobs[0])["state"] == "running", 15, "the first one runs")
    assert stack.workers is not None
    assert stack.workers.stop() == 0
    assert [stack.record("work", job)["state"] for job in jobs] == ["succeeded", "queued", "queued"]
    if engine == "process":
        wait_until(lambda: len(stack.processes()) == 1, 5, "the gateway alone is left")
    kept = containers(stack)
    assert len(kept) == (1 if engine == "docker" else 0), "containers stay for the next workers"

    restarted = time.time()
    stack.start_workers()
    records = [stack.finished("work", job) for job in jobs]
    assert [(record["state"], record["attempt"]) for record in records] == [("succeeded", 1)] * 3
    answers = [stack.result("work", job).json() for job in jobs]
    assert answers[1]["started"] - restarted < 8, "leadership was handed back, not left to run out (10 s)"
    if engine == "docker":
        assert {answer["instance"].rpartition("-")[0] for answer in answers} == {one[:12] for one in kept}


def ended(stack: Stack, jobs: list[str]) -> dict[str, Json]:
    records = (stack.record("work", job) for job in jobs)
    return {record["id"]: record for record in records if record["finished_at"] is not None}


def running(stack: Stack) -> set[str]:
    found = stack.http.get(stack.path("work"), params={"state": "running", "limit": "100"}, timeout=5).json()
    return {record["id"] for record in found["invocations"]}


def containers(stack: Stack) -> dict[str, str]:
    """Container ids and their instances."""
    if stack.engine != "docker":
        return {}
    return {str(container.id): container.labels["penstock.instance"] for container in stack.containers("work")}
