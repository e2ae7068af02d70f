"""What gateway and workers log as JSON: every line is one object, and none holds a key, a secret or a body."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import pytest
import requests

from tests.e2e.harness import CALLBACK_SECRET, Json, Stack, environments, wait_until
from tests.e2e.receiver import Receiver
from tests.e2e.specs import folder

MARK = "SECRET-"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack("process", TELEMETRY__LOG_FORMAT="json", GATEWAY__ACCESS_LOG="true", LOG_LEVEL="DEBUG") as stack:
        stack.start().deploy(
            {"echo": folder("echo"), "broken": folder("broken"), "slow": folder("slow", event="json")}
        )
        yield stack


def lines(stack: Stack) -> list[Json]:
    found = [json.loads(line) for program in stack.programs[:2] for line in program.output().splitlines()]
    assert all(one.keys() >= {"time", "level", "logger", "message"} for one in found)
    return found


def test_a_request_is_one_line_without_its_query(stack: Stack) -> None:
    headers = {"Authorization": f"Bearer {MARK}key", "X-Api-Key": f"{MARK}key", "Cookie": f"{MARK}cookie"}
    url = f"{stack.path('echo')}?token={MARK}query"
    reply = requests.post(url, data=f"{MARK}body", headers=headers, timeout=20)
    job = reply.headers["Penstock-Invocation-Id"]

    def told() -> list[Json]:
        return [one for one in lines(stack) if one["logger"] == "gateway.access" and one.get("invocation") == job]

    (line,) = wait_until(told, 5, "the line")
    assert line["ms"] > 0
    assert line["bytes"] > len(reply.content), "all that was sent"
    known = {name: line[name] for name in ("method", "route", "status", "function")}
    assert known == {
        "method": "POST",
        "route": "/v1/functions/{function}/invocations",
        "status": 200,
        "function": "echo",
    }
    requests.get(f"{stack.url}/{MARK}path/that/nobody/has", timeout=5)
    wait_until(
        lambda: [one for one in lines(stack) if one.get("status") == 404], 5, "the line of what is not there"
    )


def test_lines_say_which_instance_and_which_call_they_are_about(stack: Stack) -> None:
    stack.submit("broken", f"{MARK}body")

    def complained() -> list[Json]:
        return [one for one in lines(stack) if one.get("function") == "broken" and one["level"] == "warning"]

    assert wait_until(complained, 20, "a start fails")[0]["instance"].startswith("broken-")

    job = stack.submit("slow", {"seconds": 30})["id"]
    wait_until(lambda: stack.record("slow", job)["state"] == "running", 20, "it runs")
    # Its outcome is stale when it comes: somebody else has had the run since.
    (instance,) = stack.instances("slow")
    stack.redis.cli("HSET", f"ps:{{slow}}:inv:{job}", "token", "7")
    for pid, environment in environments():
        if f"PENSTOCK_INSTANCE={instance}".encode() in environment:
            os.kill(pid, signal.SIGKILL)

    def stale() -> list[Json]:
        return [one for one in lines(stack) if one.get("invocation") == job and "stale" in one["message"]]

    line = wait_until(stale, 20, "it is said")[0]
    assert (line["function"], line["attempt"], line["instance"]) == ("slow", 1, instance)


def test_no_line_holds_what_it_must_not(stack: Stack, receiver: Receiver) -> None:
    receiver.statuses += [500]
    hook = f"{receiver.url}/{MARK}path?{MARK}query"
    job = stack.submit(
        "echo", f"{MARK}body", headers={"Penstock-Callback-Url": hook, "Idempotency-Key": f"{MARK}key"}
    )
    stack.finished("echo", job["id"])
    wait_until(lambda: receiver.of(job["id"]), 15, "the callback comes")
    wait_until(lambda: [one for one in lines(stack) if "callback" in one["message"]], 5, "that it failed is said")
    text = "".join(program.output() for program in stack.programs)
    secrets = (MARK, CALLBACK_SECRET, stack.environment["PENSTOCK_SECRET"])
    assert [secret for secret in secrets if secret in text] == []
