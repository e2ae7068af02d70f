"""What befalls containers: no memory left in one, and their engine killed over all of them."""

from __future__ import annotations

import time

import pytest
import requests
from docker.models.containers import Container

from tests.conftest import missing
from tests.e2e.harness import BASE_IMAGE, docker_answers, wait_until
from tests.faults.deployment import FUNCTIONS, RECOVERY, Deployment, measured
from tests.faults.dockerd import Dockerd, OnDockerd
from tests.faults.ledger import Ledger


@pytest.mark.timeout(180)
def test_a_job_that_takes_more_memory_than_its_container_has_ends_alone() -> None:
    if not docker_answers():
        missing("a Docker Engine with the image penstock/base:bookworm")
    with Deployment("docker") as stack:
        # Its folder is copied into the image, and what it would write stays in the container.
        stack.start().deploy({"work": stack.work(env={}, resources={"memory": "128MiB"})})
        ledger = Ledger(stack)
        ledger.submits(1)
        ledger.check(60)
        (poison,) = ledger.submits(1, hoard=512, headers={"Penstock-Max-Attempts": "2"})
        neighbours = ledger.submits(8, 0.3)
        record = stack.finished("work", poison, timeout=30)
        assert (record["state"], record["attempt"]) == ("failed", 2)
        error = record["error"]
        assert (error["code"], error["exit_code"]) == ("instance_lost", 137), error
        assert f"hoarding for {ledger.acknowledged[poison]}" in error["log_tail"]
        url = f"{stack.url}/v1/functions/work/dead-letters"
        (letter,) = requests.get(url, timeout=10).json()["dead_letters"]
        assert (letter["id"], letter["error"]) == (poison, error)
        for one in neighbours:
            assert stack.finished("work", one, timeout=40)["state"] == "succeeded"
        ledger.submits(2)
        ledger.check(30, states=("succeeded", "failed"))
        wait_until(lambda: len(stack.containers()) == 1, 20, "those that died are removed")


@pytest.mark.timeout(180)
def test_workers_killed_while_a_container_starts_and_the_next_ones_get_it_ready() -> None:
    if not docker_answers():
        missing("a Docker Engine with the image penstock/base:bookworm")
    with Deployment("docker") as stack:
        late = {
            "image": BASE_IMAGE,
            "command": ["python3", "-u", "-c", (FUNCTIONS / "late.py").read_text()],
            "lifecycle": {"initialize": {"path": "/initialize", "timeout": "20s"}},
            "resources": {"memory": "128MiB"},
            "scaling": {"max": 1, "idle_timeout": "60s"},
        }
        stack.start().deploy({"work": late})
        ledger = Ledger(stack)
        ledger.submits(4)
        (container,) = wait_until(lambda: running(stack), 10, "its container runs")
        stack.kill(stack.workers)
        assert "initialize" not in container.logs().decode(), "killed before its hook was called"
        fresh = stack.start_workers()
        fresh.says("leading", timeout=RECOVERY)
        ledger.check(30)
        assert len(running(stack)) == len(stack.containers()) == 1, "it was adopted, or replaced"


def running(stack: Deployment) -> list[Container]:
    return [container for container in stack.containers() if container.status == "running"]


@pytest.mark.timeout(180)
def test_dockerd_killed_over_running_jobs_and_started_again() -> None:
    with Dockerd() as engine, OnDockerd(engine) as stack:
        scaling = {"max": 2, "max_queue_wait": "100ms", "idle_timeout": "60s"}
        stack.start().deploy({"work": stack.work(env={}, concurrency=2, scaling=scaling)})
        ledger = Ledger(stack)
        ledger.submits(1)
        ledger.check(60)
        long, short = ledger.submits(2, 40.0, again=0.2), ledger.submits(2, 2.0)
        wait_until(lambda: states(stack, short + long) == {"running"}, 20, "four run, in two containers")
        waiting = ledger.submits(4, 0.2)
        before = {container.id for container in stack.containers()}
        assert len(before) == 2
        died = engine.kill()
        # Containers outlive it: what they compute counts, and what is queued is run in them.
        wait_until(lambda: states(stack, short + waiting) == {"succeeded"}, 20, "those that end meanwhile do")
        assert states(stack, long) == {"running"}
        assert attempts(stack, short + waiting) == {1}
        # When it is back it ends the containers that it finds, those that do not want to after 10 s.
        engine.start()
        back = time.time()
        fresh = ledger.submits(2)
        wait_until(lambda: states(stack, fresh) == {"succeeded"}, 30, "the pool heals")
        measured("dockerd away, and back until new work has been run", back - died, time.time() - back)
        assert stack.workers is not None and stack.workers.process.poll() is None
        ledger.check(30)
        assert attempts(stack, long) == {2}, "what it interrupted was run once more"
        # A stop that failed while it was away is made up for within a minute.
        wait_until(lambda: only_the_pool(stack, engine), 75, "no stray remains")
        assert before.isdisjoint(container.id for container in stack.containers())


def states(stack: Deployment, jobs: list[str]) -> set[str]:
    return {stack.record("work", one)["state"] for one in jobs}


def attempts(stack: Deployment, jobs: list[str]) -> set[int]:
    return {stack.record("work", one)["attempt"] for one in jobs}


def only_the_pool(stack: Deployment, engine: Dockerd) -> bool:
    """Every container of the engine, dead or alive, is an instance that the workers show."""
    shown = stack.http.get(f"{stack.url}/v1/functions/work/instances", timeout=10).json()["instances"]
    there = {container.labels["penstock.instance"]: container.status for container in engine.containers()}
    return there == {one["id"]: "running" for one in shown}
