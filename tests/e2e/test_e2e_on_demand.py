"""Sparse calls to a GPU function that nobody keeps warm: what they cost, and how many run at once."""

from __future__ import annotations

import json
import re

import pytest

from tests.e2e import specs
from tests.e2e.harness import Json, Stack, wait_until

_QUOTA = 30
"""Cards that one account may use at a time, unless it asks for more."""
_AT_A_TIME = 5
_CARD = {"memory": "2GiB", "gpu": {"memory": "16GiB", "type": "fc.gpu.tesla.1"}}
"""A whole card: one container on each."""
_FUNCTIONS = {
    "sparse": specs.folder("slow", event="json", resources=_CARD, scaling={"idle_timeout": "1s"}),
    "crowd": specs.folder(
        "slow",
        event="json",
        concurrency=_AT_A_TIME,
        resources=_CARD,
        scaling={"max": 100, "max_queue_wait": "1s"},
    ),
}


@pytest.mark.waits
def test_sparse_calls_start_cold_run_up_to_the_quota_and_cost_what_the_vendor_reckons() -> None:
    cards = [{"uuid": f"GPU-{n}", "memory": "16GiB", "type": "fc.gpu.tesla.1"} for n in range(_QUOTA + 2)]
    with Stack("process", WORKERS__GPUS=json.dumps(cards), WORKERS__SLOTS="100") as stack:
        stack.start().deploy(_FUNCTIONS)
        for _ in range(2):
            is_cold(stack)
            stack.gone("sparse", timeout=20)
        runs_on_every_card(stack)


def is_cold(stack: Stack) -> None:
    """Each call after a silence; the record says where the time went."""
    job = stack.submit("sparse", {"n": 1, "seconds": 1})["id"]
    wait_until(lambda: cards(stack) == ["GPU-0"], 20, "the only one that runs has a card of its own")
    record = stack.finished("sparse", job)
    assert record["cold_start"] is True
    stages = record["timeline"]
    assert {"queued", "starting", "initializing", "running"} <= set(stages)
    assert all(ms >= 0 for ms in stages.values())
    assert stages["starting"] > 0


def runs_on_every_card(stack: Stack) -> None:
    """instances x instanceConcurrency calls at a time, and no card beyond the quota, though there are two more."""
    jobs = [stack.submit("crowd", {"n": n, "seconds": 600})["id"] for n in range(_QUOTA * _AT_A_TIME + 10)]
    full = wait_until(lambda: running(stack) == _QUOTA * _AT_A_TIME and instances(stack, "crowd"), 90, "150 run")
    assert len(full["instances"]) == _QUOTA
    assert len({one["gpu"] for one in full["instances"]}) == _QUOTA
    assert {one["in_flight"] for one in full["instances"]} == {_AT_A_TIME}
    waiting = stack.record("crowd", jobs[-1])
    assert waiting["state"] == "queued"
    assert re.search(r"quota|30", waiting["waiting_reason"]), waiting["waiting_reason"]


def running(stack: Stack) -> int:
    return sum(one["in_flight"] for one in instances(stack, "crowd")["instances"])


def cards(stack: Stack) -> list[str]:
    return [one["gpu"] for one in instances(stack, "sparse")["instances"]]


def instances(stack: Stack, function: str) -> Json:
    found: Json = stack.http.get(f"{stack.url}/v1/functions/{function}/instances", timeout=10).json()
    return found


@pytest.mark.parametrize(
    ("invocations", "on_demand", "share"),
    [
        (3600, "0.259 USD a day", "4.1"),
        (50_000, "3.6 USD a day", "57"),
    ],
)
def test_a_day_of_calls_is_reckoned_as_the_vendor_does(
    stack: Stack, invocations: int, on_demand: str, share: str
) -> None:
    given = ("--invocations", str(invocations), "--seconds", "1", "--gb", "4", "--card-price", "2")
    said = stack.cli("cost", "--estimate", *given)
    assert said.returncode == 0, said.stderr
    assert on_demand in said.stdout
    assert share in said.stdout
    assert "48" in said.stdout, "USD a day for a card at 2 USD an hour"
