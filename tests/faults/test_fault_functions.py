"""What containers and clients do: crash, babble, never answer; cancel, wait too long, ask twice."""

from __future__ import annotations

import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.conftest import missing
from tests.e2e.harness import docker_answers, environments, wait_until
from tests.faults.deployment import FUNCTIONS, Deployment, measured
from tests.faults.ledger import Ledger


def test_functions_that_never_start_babble_or_die_harm_nobody_else() -> None:
    with Deployment(WORKERS__MAX_ANSWER="1MiB") as stack:
        never = {"initialize": {"path": "/initialize", "timeout": "1s"}}
        specs = {
            "work": stack.work(),
            "wild": stack.wild(retry={"attempts": 2, "backoff": "100ms"}, timeout="3s"),
            "exits": stack.wild(command=[sys.executable, "-c", "print('no model here'); raise SystemExit(4)"]),
            "mute": stack.wild(command=[sys.executable, str(FUNCTIONS / "mute.py")], lifecycle=never),
        }
        stack.start().deploy(specs)
        ledger = Ledger(stack)
        ledger.submits(4, 1.0)
        stories = (never_starts, never_is_ready, babbles, poisons)
        with ThreadPoolExecutor(4) as threads:
            for story in [threads.submit(story, stack, ledger) for story in stories]:
                story.result()
        ledger.submits(4)
        ledger.check(30, states=("succeeded", "failed"))


def never_starts(stack: Deployment, ledger: Ledger) -> None:
    """Exits at its start: held calls hear why; jobs wait for a better revision."""
    job = requests.post(stack.path("exits"), data=b"", headers={"Prefer": "respond-async"}, timeout=10).json()
    reply = requests.post(stack.path("exits"), data=b"", timeout=30)
    assert (reply.status_code, reply.json()["code"]) == (503, "start_failed"), reply.text
    assert "no model here" in reply.text and "4" in reply.json()["detail"]
    assert stack.record("exits", job["id"])["state"] == "queued"


def never_is_ready(stack: Deployment, ledger: Ledger) -> None:
    """Listens, and never says that it is ready."""
    reply = requests.post(stack.path("mute"), data=b"", timeout=40)
    assert (reply.status_code, reply.json()["code"]) == (503, "start_failed"), reply.text


def babbles(stack: Deployment, ledger: Ledger) -> None:
    """Answers that are no HTTP, without end, broken off, or not there: each has an end with a name."""
    expected = {
        "malformed": (502, "function_error"),
        "broken off": (502, "instance_lost"),
        "hangs": (504, "run_timeout"),
    }
    for body, wanted in expected.items():
        reply = requests.post(stack.path("wild"), data=body, timeout=30)
        assert (reply.status_code, reply.json()["code"]) == wanted, f"{body}: {reply.text}"
        assert requests.post(stack.path("wild"), data=b"well", timeout=30).text == "well", f"after {body}"
    # A long answer reaches its client as it comes: one that never ends breaks off, and its record says why.
    reply = requests.post(stack.path("wild"), data="endless", timeout=30, stream=True)
    with pytest.raises(requests.RequestException):
        _ = reply.content
    record = stack.finished("wild", reply.headers["Penstock-Invocation-Id"], timeout=20)
    assert (record["state"], record["error"]["code"]) == ("failed", "function_error")
    assert requests.post(stack.path("wild"), data=b"well", timeout=30).text == "well", "after endless"
    for body, attempts in (("malformed", 1), ("broken off", 2)):
        url, headers = stack.path("wild"), {"Prefer": "respond-async"}
        job = requests.post(url, data=body, headers=headers, timeout=10).json()["id"]
        record = stack.finished("wild", job, timeout=20)
        assert (record["state"], record["attempt"]) == ("failed", attempts), body


def poisons(stack: Deployment, ledger: Ledger) -> None:
    """A job that kills each instance that it meets ends with its forensics; its neighbours are run."""
    poison = ledger.submit(die=9, headers={"Penstock-Max-Attempts": "2"})
    assert poison is not None
    neighbours = [ledger.submit(0.2) for _ in range(12)]
    record = stack.finished("work", poison, timeout=30)
    assert (record["state"], record["attempt"]) == ("failed", 2)
    assert record["error"]["code"] == "instance_lost"
    assert record["error"]["exit_code"] == 9, record["error"]
    assert f"poisoned by {ledger.acknowledged[poison]}" in record["error"]["log_tail"]
    for one in neighbours:
        assert one is not None and stack.finished("work", one, timeout=40)["state"] == "succeeded"
    letters = requests.get(f"{stack.url}/v1/functions/work/dead-letters", timeout=10).json()["dead_letters"]
    assert [letter["id"] for letter in letters] == [poison]
    assert ledger.executions()[ledger.acknowledged[poison]] == 2


def test_cancel_in_every_state_and_expiry_in_the_queue() -> None:
    with Deployment() as stack:
        stack.start().deploy({"work": stack.work(concurrency=1)})
        ledger = Ledger(stack)
        (done,) = ledger.submits(1)
        ledger.check(20)
        running = ledger.submits(1, 20.0)[0]
        wait_until(lambda: ledger.started() == 2, 10, "it runs")
        queued, waits = ledger.submits(2)
        (delayed,) = ledger.submits(1, headers={"Penstock-Delay": "60s"})
        (old,) = ledger.submits(1, headers={"Penstock-Max-Queue": "1s"})
        submitted = time.monotonic()

        assert delete(stack, done) == 409
        assert delete(stack, queued) == 200
        assert delete(stack, delayed) == 200
        expired = stack.finished("work", old, timeout=5)
        assert (expired["state"], expired["attempt"]) == ("expired", 0)
        assert 0.9 <= time.monotonic() - submitted < 4
        assert stack.result("work", old).status_code == 504
        asked = time.monotonic()
        assert delete(stack, running) == 202
        assert stack.record("work", running)["state"] == "cancelled", "at once"
        assert stack.finished("work", waits, timeout=10)["state"] == "succeeded", "its slot is free again"
        measured("cancel of a deaf run until its slot has served the next", time.monotonic() - asked)
        for one in (queued, delayed, running, old):
            assert delete(stack, one) == 409, "what has ended stays ended"
        ledger.check(10, once=True, states=("succeeded", "cancelled", "expired"))
        assert len(ledger.executions()) == 3, "what was cancelled or expired in the queue was never run"


def delete(stack: Deployment, invocation: str) -> int:
    return requests.delete(stack.path("work", invocation), timeout=10).status_code


def test_an_instance_killed_under_its_calls() -> None:
    with Deployment() as stack:
        stack.start().deploy({"work": stack.work()})
        ledger = Ledger(stack)
        ledger.submits(1)
        ledger.check(20)
        jobs = ledger.submits(2, 2.0)
        with ThreadPoolExecutor(1) as threads:
            call = threads.submit(
                requests.post, stack.path("work"), json={"n": ledger.number(), "seconds": 2.0}, timeout=30
            )
            wait_until(lambda: ledger.started() == 4, 10, "three run in one instance")
            kill_instances(stack)
            killed = time.time()
            reply = call.result()
        assert (reply.status_code, reply.json()["code"]) == (502, "instance_lost"), reply.text
        ledger.check(20)
        assert {stack.record("work", one)["attempt"] for one in jobs} == {2}
        again = [at for _, attempt, at in ledger.lines("start") if attempt == 2]
        measured("kill -9 of an instance until its jobs run again", max(again) - killed)
        runs = ledger.executions()
        assert [runs[n] for n in range(4)] == [1, 2, 2, 1], "the held call was not run again"


def kill_instances(stack: Deployment) -> None:
    for pid, environment in environments():
        if any(entry.startswith(b"PENSTOCK_INSTANCE=") for entry in environment) and pid in stack.processes():
            os.kill(pid, signal.SIGKILL)


@pytest.mark.timeout(180)
def test_a_container_killed_under_its_calls() -> None:
    if not docker_answers():
        missing("a Docker Engine with the image penstock/base:bookworm")
    with Deployment("docker") as stack:
        # Its folder is copied into the image, and what it would write stays in the container.
        stack.start().deploy({"work": stack.work(env={})})
        ledger = Ledger(stack)
        ledger.submits(1)
        ledger.check(60)
        (job,) = ledger.submits(1, 3.0)
        with ThreadPoolExecutor(1) as threads:
            call = threads.submit(
                requests.post, stack.path("work"), json={"n": ledger.number(), "seconds": 3.0}, timeout=60
            )
            wait_until(lambda: stack.record("work", job)["state"] == "running", 20, "the job runs")
            wait_until(lambda: stack.redis.cli("ZCARD", "ps:{work}:running") == "2", 10, "the call runs too")
            (container,) = stack.containers("work")
            container.kill()
            reply = call.result()
        assert (reply.status_code, reply.json()["code"]) == (502, "instance_lost"), reply.text
        ledger.check(60)
        assert stack.record("work", job)["attempt"] == 2
