"""Functions that are paused, resumed and warmed up from the command line."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.e2e import specs
from tests.e2e.harness import Stack, wait_until
from tests.e2e.load import watched


@pytest.mark.waits
def test_a_paused_function_refuses_calls_and_keeps_jobs() -> None:
    with Stack("process") as stack:
        spec = specs.folder("slow", event="json", scaling={"min": 1, "idle_timeout": "60s"})
        stack.start().deploy({"work": spec, "other": specs.folder("echo")})
        running = stack.submit("work", {"n": 1, "seconds": 3})["id"]
        wait_until(lambda: stack.record("work", running)["state"] == "running", 10, "it runs")
        with ThreadPoolExecutor(1) as client:
            waiting = client.submit(requests.post, stack.path("work"), json={}, timeout=30)
            wait_until(
                lambda: stack.redis.cli("ZCARD", "ps:{work}:calls") == "1", 5, "a held call waits behind it"
            )
            paused = stack.cli("pause", "work")
            assert paused.returncode == 0, paused.stderr
            told = waiting.result()
            assert (told.status_code, told.json()["code"]) == (503, "paused"), "it need not wait for the resume"
            assert int(told.headers["Retry-After"]) > 0
        assert "penstock resume" in paused.stdout

        refused = held(stack, 503)
        assert refused.json()["code"] == "paused"
        assert refused.json()["retryable"]
        assert int(refused.headers["Retry-After"]) > 0
        trigger = stack.http.get(f"{stack.url}/fn/work/", timeout=5)
        assert (trigger.status_code, trigger.json()["code"]) == (503, "paused")
        job = stack.submit("work", {"n": 2})["id"]

        def says_why() -> bool:
            reason = stack.record("work", job)["waiting_reason"] or ""
            return bool(re.match(r"paused by an operator at \d{4}-", reason))

        wait_until(says_why, 5, "it says why, and since when")
        ended = stack.finished("work", running)
        assert (ended["state"], ended["attempt"]) == ("succeeded", 1), "what ran has ended"
        stack.gone("work")
        assert stack.call("other", "x").text == "x", "others go on"

        # A restart of both changes nothing.
        assert stack.workers is not None
        assert stack.gateway is not None
        assert (stack.workers.stop(), stack.gateway.stop()) == (0, 0)
        stack.start_gateway()
        stack.start_workers()
        wait_until(stack.ready, 20, "both are there again")
        assert held(stack, 503).json()["code"] == "paused"
        assert stack.record("work", job)["state"] == "queued"
        assert not stack.instances("work"), "nor does its floor start anything"

        resumed = stack.cli("resume", "work")
        assert resumed.returncode == 0, resumed.stderr
        record = stack.finished("work", job)
        assert (record["state"], record["attempt"]) == ("succeeded", 1)
        held(stack, 200)


@pytest.mark.waits
def test_a_warm_up_lasts_for_the_idle_timeout() -> None:
    with Stack("process") as stack:
        spec = specs.folder("slow", event="json", scaling={"max": 3, "idle_timeout": "3s"})
        stack.start().deploy({"work": spec})
        with watched(stack, "work") as counts:
            warmed = stack.cli("warmup", "work", "--instances", "2")
            assert warmed.returncode == 0, warmed.stderr
            wait_until(lambda: states(stack) == ["idle", "idle"], 10, "both are ready")
            ready = time.monotonic()
            stack.gone("work", timeout=20)
        assert max(counts) == 2
        assert time.monotonic() - ready >= 2.5, "they stay for their idle timeout"

        assert stack.cli("warmup", "work").returncode == 0
        wait_until(lambda: states(stack) == ["idle"], 10, "one, unless it is told how many")
        assert stack.call("work", {}).headers["Penstock-Cold-Start"] == "false"
        for body in ({"instances": 0}, {"instances": "two"}, {"count": 2}):
            refused = stack.http.post(f"{stack.url}/v1/functions/work/warmup", json=body, timeout=5)
            assert refused.status_code == 400, body
        assert stack.cli("warmup", "nobody").returncode != 0


def held(stack: Stack, status: int) -> requests.Response:
    """The reply to a held call, once it has this status."""
    replies: list[requests.Response] = []

    def answered() -> bool:
        replies.append(stack.call("work", {}))
        return replies[-1].status_code == status

    wait_until(answered, 5, f"a held call gets {status}")
    return replies[-1]


def states(stack: Stack) -> list[str]:
    reply = stack.http.get(f"{stack.url}/v1/functions/work/instances", timeout=5)
    return sorted(one["state"] for one in reply.json()["instances"])
