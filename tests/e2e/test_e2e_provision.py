"""Provisioned instances: by number, by schedule, after a restart, and what is said when there are fewer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e import specs
from tests.e2e.harness import Json, Stack, wait_until

_SOON = specs.folder("slow", event="json", scaling={"max": 4, "idle_timeout": "1s"})
_YEAR = ("2023-01-01T16:00:00.000Z", "2024-01-01T16:00:00.000Z")


@pytest.mark.waits
def test_a_target_is_kept_warm_whatever_happens(engine: str) -> None:
    with Stack(engine) as stack:
        keep_warm(stack.start())


def keep_warm(stack: Stack) -> None:
    stack.deploy({"work": _SOON})
    put = cli(stack, "put", "work", "--target", "2")
    assert put.startswith("work: default target 2")
    found = provisioned(stack, "work", 2)
    assert (found["target"], found["currentError"]) == (2, None)
    warm = stack.instances("work")
    assert len(warm) == 2, "nobody called it"
    assert listed(stack)["work"].split()[1:] == ["2", "2", "-", "-", "2:", "the", "default", "target"]
    assert {one["provisioned"] for one in instances(stack, "work")} == {True}
    replies = together(stack, "work", 2)
    assert [reply.headers["Penstock-Cold-Start"] for reply in replies] == ["false", "false"]

    assert stack.workers is not None
    assert stack.workers.stop() == 0
    stack.start_workers()
    wait_until(stack.ready, 20, "the next workers lead")
    restarted = wait_until(lambda: later(stack, "work", warm), 20, "both are there again")
    assert len(restarted) == 2
    if stack.engine == "docker":
        assert restarted == warm, "containers outlive the workers"
    assert stack.call("work", {}).headers["Penstock-Cold-Start"] == "false"

    # It goes down one by one, and only the idle timeout after the floor has.
    cli(stack, "put", "work", "--target", "1")
    wait_until(lambda: len(stack.instances("work")) == 1, 15, "one goes")
    assert provisioned(stack, "work", 1)["target"] == 1
    release = cli(stack, "release", "work")
    assert release.strip() == "work: default target 0, of its spec"
    stack.gone("work")
    assert "nothing is provisioned" in cli(stack, "list")
    assert stack.call("work", {}).headers["Penstock-Cold-Start"] == "true", "it still works, without a floor"


def later(stack: Stack, function: str, before: set[str]) -> set[str]:
    """The instances of the next workers process, once they are ready; containers are the same ones."""
    now = {one["id"] for one in instances(stack, function) if one["provisioned"] and one["state"] == "idle"}
    return now if now == stack.instances(function) and (stack.engine == "docker" or not now & before) else set()


@pytest.mark.waits
def test_calls_go_to_provisioned_instances_first() -> None:
    with Stack("process") as stack:
        scaling = {"max": 2, "max_queue_wait": "100ms", "idle_timeout": "3s"}
        stack.start().deploy({"work": specs.folder("slow", event="json", scaling=scaling)})
        cli(stack, "put", "work", "--target", "1")
        provisioned(stack, "work", 1)
        first = stack.call("work", {}).json()["instance"]
        # A second one for the load, and it is the one that ran last: without a floor it would run next.
        running = stack.submit("work", {"seconds": 2})["id"]
        wait_until(lambda: stack.record("work", running)["state"] == "running", 5, "it runs")
        second = stack.call("work", {"seconds": 2.5}).json()
        assert second["instance"] != first
        assert stack.finished("work", running)
        before = stack.result("work", running).json()
        assert (before["instance"], before["ended"] < second["ended"]) == (first, True)
        for _ in range(5):
            # Both are free: right after a call the slot that it left looks for another one by itself.
            wait_until(lambda: {one["state"] for one in instances(stack, "work")} == {"idle"}, 5, "both are free")
            assert stack.call("work", {}).json()["instance"] == first
        wait_until(lambda: len(stack.instances("work")) == 1, 10, "the other one goes after its idle timeout")
        assert stack.call("work", {}).json()["instance"] == first
        (only,) = instances(stack, "work")
        assert only["provisioned"]


@pytest.mark.waits
def test_schedules_rule_while_they_last() -> None:
    with Stack("process") as stack:
        stack.start().deploy({"work": _SOON})
        now = datetime.now(UTC)

        # As Function Compute's own examples: all of it has ended, so the target rules.
        ended = {
            "target": 1,
            "scheduledActions": [action("year", at(now), 3, *_YEAR)],
            "targetTrackingPolicies": [
                {
                    "name": "usage",
                    "startTime": _YEAR[0],
                    "endTime": _YEAR[1],
                    "metricType": "ProvisionedConcurrencyUtilization",
                    "metricTarget": 0.6,
                    "minCapacity": 3,
                    "maxCapacity": 4,
                }
            ],
        }
        cli(stack, "put", "work", "--config", str(write(stack, ended)))
        found = provisioned(stack, "work", 1)
        assert (found["target"], found["active"], found["expired"]) == (1, [], ["year", "usage"])
        row = listed(stack)["work"]
        assert row.split()[1:5] == ["1", "1", "-", "year,"]
        assert "usage" in row

        # One that acts now, until another one fires, until both end.
        minute, hour = timedelta(minutes=1), timedelta(hours=1)
        soon, end = now_plus(seconds=5), now_plus(seconds=8)
        acts = {
            "defaultTarget": 0,
            "scheduledActions": [
                action("day", at(now - minute), 2, text(now - hour), text(end)),
                action("rush", at(soon), 3, text(soon), text(end)),
            ],
        }
        cli(stack, "put", "work", "--config", str(write(stack, acts)))
        found = provisioned(stack, "work", 2)
        assert (found["target"], found["active"], found["pending"]) == (2, ["day"], ["rush"])
        assert "action day" in found["reason"]
        found = provisioned(stack, "work", 3)
        assert (found["target"], found["active"], found["pending"]) == (3, ["rush"], [])
        found = wait_until(lambda: config(stack, "work")["expired"] and config(stack, "work"), 10, "both end")
        assert (found["target"], found["expired"]) == (0, ["day", "rush"])
        stack.gone("work")


@pytest.mark.waits
def test_it_says_why_there_are_fewer() -> None:
    with Stack("process", WORKERS__SLOTS="3") as stack:
        stack.start().deploy({"work": _SOON, "broken": specs.folder("broken")})
        cli(stack, "put", "work", "--target", "4")
        found = provisioned(stack, "work", 3)
        assert found["target"] == 4
        found = wait_until(lambda: config(stack, "work")["currentError"], 5, "an error for the fourth")
        assert "no slot is free" in found
        cli(stack, "put", "work", "--target", "1")
        wait_until(lambda: config(stack, "work")["currentError"] is None, 10, "the error goes with its cause")

        cli(stack, "put", "broken", "--target", "1")
        wait_until(lambda: "model.bin is not there" in (config(stack, "broken")["currentError"] or ""), 10, "why")
        row = listed(stack)["broken"]
        assert row.split()[1:3] == ["1", "0"]
        assert "model.bin is not there" in row
        assert stack.cli("pause", "work").returncode == 0
        wait_until(lambda: "paused by an operator" in (config(stack, "work")["currentError"] or ""), 5, "paused")


@pytest.mark.waits
def test_floors_start_no_more_than_they_need() -> None:
    with Stack("process") as stack:
        names = [f"work{n}" for n in range(4)]
        stack.start().deploy({name: specs.folder("slow", event="json", scaling={"min": 1}) for name in names})
        for name in names:
            assert stack.call(name, {}).status_code == 200
        assert all(len(stack.instances(name)) == 1 for name in names)
        assert stack.workers is not None
        assert " goes: " not in stack.workers.output(), "none was started that nobody needed"


def test_a_bad_config_is_refused_with_its_path_and_what_is_allowed(process_stack: Stack) -> None:
    stack = process_stack
    good = action("a", "at(2030-01-01T00:00:00)", 1, "2029-01-01T00:00:00Z", "2031-01-01T00:00:00Z")
    policy = {
        "name": "p",
        "metricType": "GPUSmUtilization",
        "metricTarget": 0.5,
        "minCapacity": 1,
        "maxCapacity": 2,
    }
    for document, path, allowed in (
        ({"target": -1}, "provision.target", "greater than or equal to 0"),
        ({"target": "many"}, "provision.target", "integer"),
        ({"target": 1, "defaultTarget": 2}, "provision", "give one of them"),
        (scheduled(good | {"scheduleExpression": "every day"}), "scheduledActions[0].scheduleExpression", "cron("),
        (scheduled(good | {"endTime": "tomorrow"}), "scheduledActions[0].endTime", "2024-01-31T16:00:00.000Z"),
        (scheduled(good | {"timeZone": "Mars/Base"}), "scheduledActions[0].timeZone", "Mars/Base"),
        (scheduled(good, good), "scheduledActions", "names must differ"),
        (tracking(policy | {"metricType": "Mood"}), "targetTrackingPolicies[0].metricType", "GPUSmUtilization"),
        (tracking(policy | {"metricTarget": 2}), "targetTrackingPolicies[0].metricTarget", "less than"),
        (tracking(policy | {"minCapacity": 3}), "targetTrackingPolicies[0]", "must not be larger"),
    ):
        reply = stack.http.put(f"{stack.url}/v1/functions/echo/provision-config", json=document, timeout=10)
        assert reply.status_code == 400, (document, reply.text)
        assert path in reply.json()["detail"]
        assert allowed in reply.json()["detail"]
    for body in (b"", b"target: 1", b"[1]"):
        reply = stack.http.put(f"{stack.url}/v1/functions/echo/provision-config", data=body, timeout=10)
        assert reply.status_code == 400, (body, reply.text)
    unknown = stack.http.put(f"{stack.url}/v1/functions/nobody/provision-config", json={"target": 1}, timeout=10)
    assert unknown.status_code == 404

    refused = stack.cli("provision", "put", "echo", "--target", "-1")
    assert refused.returncode != 0
    assert "provision.target" in refused.stderr
    warned = stack.cli("provision", "put", "echo", "--config", str(write(stack, {"target": 0, "current": 1})))
    assert warned.returncode == 0, warned.stderr
    assert warned.stderr.strip() == "warning: provision.current: unknown field, ignored"
    cli(stack, "release", "echo")


def cli(stack: Stack, *command: str) -> str:
    """`penstock provision …`, and what it prints."""
    done = stack.cli("provision", *command)
    assert done.returncode == 0, done.stderr
    return done.stdout


def listed(stack: Stack) -> dict[str, str]:
    """`penstock provision list`: its rows by function."""
    return {line.split()[0]: line for line in cli(stack, "list").splitlines()[1:]}


def config(stack: Stack, function: str) -> dict[str, Any]:
    reply = stack.http.get(f"{stack.url}/v1/functions/{function}/provision-config", timeout=10)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def provisioned(stack: Stack, function: str, count: int) -> dict[str, Any]:
    """The config once so many instances are provisioned and ready."""

    def there() -> dict[str, Any] | None:
        found = config(stack, function)
        return found if found["current"] == count else None

    return wait_until(there, 20, f"{count} of {function}", every=0.1)


def instances(stack: Stack, function: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stack.http.get(
        f"{stack.url}/v1/functions/{function}/instances", timeout=10
    ).json()["instances"]
    return found


def together(stack: Stack, function: str, count: int) -> list[requests.Response]:
    """Answers to held calls that run at the same time."""
    url = stack.path(function)
    with ThreadPoolExecutor(count) as clients:
        replies = list(clients.map(lambda _: requests.post(url, json={"seconds": 0.5}, timeout=20), range(count)))
    assert [reply.status_code for reply in replies] == [200] * count
    return replies


def action(name: str, expression: str, target: int, start: str, end: str) -> Json:
    return {"name": name, "scheduleExpression": expression, "target": target, "startTime": start, "endTime": end}


def scheduled(*actions: Json) -> Json:
    return {"defaultTarget": 0, "scheduledActions": list(actions)}


def tracking(*policies: Json) -> Json:
    return {"defaultTarget": 0, "targetTrackingPolicies": list(policies)}


def now_plus(*, seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def text(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def at(time: datetime) -> str:
    return f"at({time:%Y-%m-%dT%H:%M:%S})"


def write(stack: Stack, document: Mapping[str, Any]) -> Path:
    file = stack.folder / "provision.json"
    file.write_text(json.dumps(document))
    return file
