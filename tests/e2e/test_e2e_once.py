"""Functions without a web server: each call is a run of a container, on every engine."""

from __future__ import annotations

import json
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e import specs
from tests.e2e.harness import BASE_IMAGE, FUNCTIONS, Json, Stack, wait_until
from tests.e2e.test_e2e_bad_input import problem

EVENT = "FC_CUSTOM_CONTAINER_EVENT"


def program(engine: str, **fields: Any) -> Json:
    script = FUNCTIONS / "once" / "run.py"
    runs = (
        {"image": specs.server_image(script)} if engine == "docker" else {"command": [sys.executable, str(script)]}
    )
    return {**runs, "web_server": False, "resources": {"memory": "256MiB"}, **fields}


@pytest.mark.waits
def test_each_call_is_a_run_of_its_own(engine: str) -> None:
    with Stack(engine) as stack:
        stack.start().deploy(
            {"once": program(engine), "brief": program(engine, timeout="2s"), "lost": lost(engine)}
        )
        its_answer_is_what_it_writes(stack)
        its_exit_code_is_the_outcome(stack)
        the_event_is_in_the_environment_too(stack)
        runs_at_the_same_time_know_nothing_of_each_other(stack)
        a_cancelled_run_is_killed(stack)
        a_run_that_takes_too_long_is_killed(stack)
        a_program_that_is_not_there_is_told(stack)
        stack.gone("once")


def lost(engine: str) -> Json:
    command = ["/no/such/program"]
    return {"web_server": False, "command": command, **({"image": BASE_IMAGE} if engine == "docker" else {})}


def its_answer_is_what_it_writes(stack: Stack) -> None:
    answer = stack.call("once", b"\x00hello\xff")
    assert (answer.status_code, answer.content) == (200, b"\x00hello\xff")
    large = os.urandom(5_000_000)
    assert stack.call("once", large).content == large
    job = stack.submit("once", {"talk": 4_000})["id"]
    assert stack.finished("once", job)["state"] == "succeeded"
    assert stack.result("once", job).content == bytes(range(256)) * 4_000
    assert stack.call("once", b"").content == b""


def its_exit_code_is_the_outcome(stack: Stack) -> None:
    record = stack.finished("once", stack.submit("once", {"exit": 3})["id"])
    assert (record["state"], record["error"]["code"], record["attempt"]) == ("failed", "function_error", 1)
    assert "exit code 3" in record["error"]["message"]
    assert "the run fails" in record["error"]["log_tail"]


def the_event_is_in_the_environment_too(stack: Stack) -> None:
    job = stack.submit("once", {"look": 1})["id"]
    assert stack.finished("once", job)["state"] == "succeeded"
    seen = stack.result("once", job).json()
    assert json.loads(seen[EVENT]) == {"look": 1}
    assert (seen["PENSTOCK_INVOCATION"], seen["PENSTOCK_ATTEMPT"]) == (job, "1")
    too_long = stack.call("once", {"look": 1, "fill": "x" * 200_000})
    assert too_long.json()[EVENT] is None, "and a long one on standard input alone"


def runs_at_the_same_time_know_nothing_of_each_other(stack: Stack) -> None:
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda n: stack.call("once", {"n": n, "seconds": 1}), range(4)))
    assert [answer.json()["n"] for answer in answers] == [0, 1, 2, 3]
    assert len({answer.headers["Penstock-Invocation-Id"] for answer in answers}) == 4


def a_cancelled_run_is_killed(stack: Stack) -> None:
    job = stack.submit("once", {"seconds": 300, "deaf": True})["id"]
    wait_until(lambda: stack.record("once", job)["state"] == "running", 15, "it runs")
    instance = stack.record("once", job)["instance"]
    wait_until(lambda: instance in stack.instances("once"), 15, "it is there")
    assert stack.http.delete(stack.path("once", job), timeout=5).status_code == 202
    wait_until(lambda: instance not in stack.instances("once"), 15, "it is killed")
    assert stack.record("once", job)["state"] == "cancelled"


def a_run_that_takes_too_long_is_killed(stack: Stack) -> None:
    record = stack.finished("brief", stack.submit("brief", {"seconds": 300, "deaf": True})["id"])
    assert (record["state"], record["error"]["code"]) == ("timed_out", "run_timeout")
    assert "the run begins" in record["error"]["log_tail"]
    stack.gone("brief")


def a_program_that_is_not_there_is_told(stack: Stack) -> None:
    answer = stack.call("lost", {})
    # Where another process starts it, that is the first to find nothing there.
    code, says = (
        ("function_error", "exit code 127") if stack.engine == "docker" else ("start_failed", "cannot run")
    )
    assert problem(answer)["code"] == code
    assert says in answer.json()["detail"]


@pytest.mark.waits
def test_no_run_outlives_a_killed_workers_process(engine: str) -> None:
    with Stack(engine) as stack:
        stack.start().deploy({"once": program(engine)})
        job = stack.submit("once", {"seconds": 6, "n": 1})["id"]
        (first,) = wait_until(lambda: stack.instances("once"), 20, "it runs")
        assert stack.workers is not None
        stack.workers.stop(signal.SIGKILL)
        stack.start_workers()
        wait_until(lambda: first not in stack.instances("once"), 30, "the run of the dead one is gone")
        record = stack.finished("once", job, timeout=50)
        assert (record["state"], record["attempt"]) == ("succeeded", 2)
        assert record["instance"] != first
        stack.gone("once")


@pytest.mark.waits
def test_what_would_keep_one_warm_is_refused() -> None:
    with Stack("process") as stack:
        stack.start().deploy({"once": program("process")})
        refused = stack.deploy({"warm": program("process", scaling={"min": 1})}, ok=False)
        assert "nothing can be kept warm with web_server: false" in refused.stderr
        base = f"{stack.url}/v1/functions/once"
        for reply in (
            stack.http.put(f"{base}/provision-config", json={"defaultTarget": 1}, timeout=10),
            stack.http.post(f"{base}/warmup", json={"instances": 1}, timeout=10),
            stack.http.get(f"{stack.url}/fn/once/path", timeout=10),
        ):
            assert (reply.status_code, problem(reply)["code"]) == (400, "invalid_request")
