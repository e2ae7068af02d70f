"""Following jobs with real processes: progress and logs of containers, many gateways, connections that break."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from typing import Any

import pytest
import requests

from tests.e2e import specs
from tests.e2e.events import events
from tests.e2e.harness import Stack, wait_until
from tests.faults.deployment import Deployment

Told = list[tuple[str | None, str, Any]]


def follow(stack: Stack, one: str, **headers: str) -> Told:
    """All events of a job until it has ended."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"{stack.path('streams', one)}/events"
    with requests.get(url, headers=named, stream=True, timeout=60) as response:
        return list(events(response))


def kept(told: Told) -> list[str]:
    return [one for one, _, _ in told if one is not None]


def test_a_container_reports_its_progress_and_its_log_is_told(stack: Stack) -> None:
    """A container on a network of its own reaches us under its bridge's address."""
    order = {"progress": [0.1, 0.5], "lines": 2, "pieces": 2, "pause": 0.1}
    one = stack.submit("streams", order)["id"]
    told = follow(stack, one)
    kinds = [kind for _, kind, _ in told if kind not in ("position", "log")]
    assert kinds[0] == "queued"
    assert kinds[-1] == "succeeded"
    assert [data for _, kind, data in told if kind == "progress"] == [
        {"progress": 0.1, "message": "step 0.1"},
        {"progress": 0.5, "message": "step 0.5"},
    ]
    output = "".join(data["text"] for _, kind, data in told if kind == "output")
    assert [line.split()[0] for line in output.splitlines()] == ["0", "1"]
    record = stack.finished("streams", one)
    assert record["progress"] == {"progress": 0.5, "message": "step 0.5"}
    assert told[-1][2]["result"] == output

    def lines() -> list[str]:
        return [data["line"] for _, kind, data in follow(stack, one) if kind == "log"]

    # An engine may tell of a line after the end.
    wait_until(lambda: len(lines()) == 4, 10, "its lines are kept")
    assert lines() == ["line 0", "line 1", "progress: 204", "progress: 204"]

    instance = record["instance"]
    url = f"{stack.url}/v1/functions/streams/instances/{instance}/logs"
    assert requests.get(url, params={"tail": 4}, timeout=5).text.splitlines() == lines()
    with requests.get(url, params={"tail": 1, "follow": "true"}, stream=True, timeout=10) as response:
        log = response.iter_lines(chunk_size=1)
        assert next(log) == b"progress: 204"
        stack.call("streams", {"lines": 1})
        assert next(log) == b"line 0"


def test_a_held_call_can_be_followed_instead_of_answered(stack: Stack) -> None:
    order = {"pieces": 4, "size": 64, "pause": 0.3}
    with requests.post(
        stack.path("streams"), json=order, headers={"Accept": "text/event-stream"}, stream=True, timeout=30
    ) as response:
        at, told = list[float](), Told()
        for event in events(response):
            told.append(event)
            at += [time.time()] if event[1] == "output" else []
    assert kept(told)[-1] == "1-succeeded"
    assert at[0] < at[-1] - 0.5
    assert told[-1][2]["id"] == response.headers["Penstock-Invocation-Id"]


def test_the_feed_of_a_function(process_stack: Stack) -> None:
    with requests.get(f"{process_stack.url}/v1/functions/streams/events", stream=True, timeout=30) as response:
        lines = response.iter_lines(chunk_size=1)
        assert next(lines) == b": heartbeat"
        one = process_stack.submit("streams", {"progress": [0.5]})["id"]
        seen = []
        for line in lines:
            if line.startswith(b"event: "):
                seen.append(line.removeprefix(b"event: ").decode())
            if seen[-1:] == ["succeeded"] and one.encode() in line:
                break
    assert seen == ["queued", "running", "progress", "succeeded"]


@pytest.mark.waits
def test_every_gateway_of_a_fleet_tells_the_same() -> None:
    with Stack("process") as stack:
        stack.redis.start()
        where = ("--port", str(stack.port), "--redis-url", stack.redis.url)
        stack.gateway = stack.run("gateway", *where, "--processes", "2")
        stack.start_workers()
        wait_until(stack.ready, 20, "it is ready")
        stack.deploy({"streams": specs.streams("process")})
        one = stack.submit("streams", {"progress": [n / 20 for n in range(20)], "pause": 0.05, "pieces": 3})["id"]
        found: list[Told] = []

        followers = [threading.Thread(target=lambda: found.append(follow(stack, one))) for _ in range(8)]
        for follower in followers:
            follower.start()
        for follower in followers:
            follower.join(60)
        assert len(found) == 8
        assert len({tuple(one for one in kept(told) if "queued" not in one) for told in found}) == 1
        assert sum(kind == "progress" for _, kind, _ in found[0]) == 20


@pytest.mark.waits
def test_cut_and_resumed_a_hundred_times_nothing_is_lost_and_nothing_told_twice() -> None:
    """Clients are cut from their gateway, gateway and workers from Redis, at random, while a job talks."""
    dice = random.Random(11)
    count = 400
    with Deployment(WORKERS__STOP_TIMEOUT="1s") as stack:
        stack.start().deploy({"streams": specs.streams("process")})
        order = {"progress": [n / count for n in range(count)], "pause": 0.02, "pieces": 3}
        one = stack.submit("streams", order)["id"]
        url, last, cuts = f"{stack.path('streams', one)}/events", "", 0
        told: Told = []
        while not told or told[-1][1] != "succeeded":
            stop = dice.randrange(1, 5) if cuts < 100 else 10_000
            if cuts % 10 == 5:
                proxy = dice.choice([stack.front, stack.back])
                proxy.cut()
                time.sleep(dice.uniform(0, 0.3))
                proxy.heal()
            with contextlib.suppress(requests.RequestException):
                response = requests.get(url, headers={"Last-Event-ID": last}, stream=True, timeout=30)
                if response.status_code == 503:
                    time.sleep(0.1)
                    continue
                for event in events(response):
                    if event[0] is not None:
                        told.append(event)
                        last = event[0]
                        stop -= 1
                    if not stop:
                        break
                response.close()  # whatever is on its way is lost
            cuts += 1
        assert cuts >= 100
        assert kept(told) == [
            "0-queued",
            "1-running",
            *(f"1-{n + 1}" for n in range(len(told) - 3)),
            "1-succeeded",
        ]
        progress = [data["progress"] for _, kind, data in told if kind == "progress"]
        assert progress == [n / count for n in range(count)]
