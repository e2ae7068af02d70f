"""What a real deployment meters, against clocks of its own: the function's and the client's."""

from __future__ import annotations

import json
import time

import pytest
import requests

from tests.e2e import specs
from tests.e2e.harness import Json, Stack, wait_until

CALLS, SECONDS = 5, 0.2


@pytest.mark.waits
def test_five_calls_are_metered_as_the_time_that_they_ran(stack: Stack) -> None:
    waited, ran = 0.0, 0.0
    for n in range(CALLS):
        began = time.monotonic()
        job = stack.submit("metered", {"n": n, "seconds": SECONDS})["id"]
        record = stack.finished("metered", job)
        waited += time.monotonic() - began
        ran += record["timeline"]["running"] / 1000
    stack.gone("metered")
    used = wait_until(lambda: metered(stack), 40, "all that it used is metered", every=0.5)

    # Busy is more than what ran, by the taking of it, and less than what the client waited; 1 ms is rounding.
    busy = used["on_demand_busy_seconds"]
    assert CALLS * SECONDS - 0.001 <= ran - 0.001 <= busy <= waited + 0.001
    assert used["on_demand_seconds"] >= busy + used["cold_start_seconds"] - 0.002
    assert used["cold_start_seconds"] > 0
    assert used["provisioned_seconds"] == used["gpu_seconds"] == 0
    assert used["gb_seconds"] == pytest.approx(busy * 0.25, abs=0.01), "256 MiB"
    assert used["cost"]["total"] == pytest.approx(used["gb_seconds"] * 0.000018, abs=1e-6)
    assert 0 < used["utilization"] < 1

    shown = stack.cli("cost", "--days", "2")
    assert shown.returncode == 0, shown.stderr
    [row] = [line for line in shown.stdout.splitlines() if line.startswith("metered ")]
    assert row.split()[1] == str(CALLS)


@pytest.mark.waits
def test_shares_of_a_card_are_metered_and_a_clean_stop_writes_what_is_left() -> None:
    card = json.dumps([{"uuid": "GPU-listed", "memory": "16GiB"}])
    quarter = {"memory": "256MiB", "gpu": {"memory": "4GiB"}}
    functions = {
        "asked": specs.folder("slow", event="json", resources=quarter),
        "kept": specs.folder("slow", event="json", resources=quarter, scaling={"min": 1}),
    }
    with Stack("process", WORKERS__GPUS=card) as stack:
        stack.start().deploy(functions)
        for name in functions:
            assert stack.call(name, {"seconds": SECONDS}).status_code == 200
        wait_until(lambda: provisioned(stack, "kept"), 10, "its mark")
        time.sleep(1.5)  # longer than the second between two ticks, so that one sees the mark
        assert stack.workers is not None
        assert stack.workers.stop() == 0
        asked, kept = figures(stack, "asked"), figures(stack, "kept")

    assert asked is not None
    assert asked["invocations"] == 1
    assert asked["provisioned_seconds"] == 0
    assert asked["gb_seconds"] == pytest.approx(4 * asked["on_demand_busy_seconds"], abs=0.01)
    assert asked["gpu_seconds"] == pytest.approx(asked["on_demand_seconds"] / 4, abs=0.01)
    assert kept is not None
    assert kept["provisioned_seconds"] > 1
    # Its mark comes after its start was decided: until then it was on demand.
    billed = kept["provisioned_seconds"] + kept["on_demand_busy_seconds"]
    assert kept["gb_seconds"] == pytest.approx(4 * billed, abs=0.01)
    assert kept["gpu_seconds"] == pytest.approx(
        (kept["provisioned_seconds"] + kept["on_demand_seconds"]) / 4, abs=0.01
    )


def provisioned(stack: Stack, function: str) -> bool:
    found = requests.get(f"{stack.url}/v1/functions/{function}/instances", timeout=10).json()["instances"]
    return any(one["provisioned"] for one in found)


def metered(stack: Stack) -> Json | None:
    """Its figures once nothing more comes; of two days, since midnight may pass at any time."""
    first = figures(stack, "metered")
    if first is None or first["invocations"] < CALLS:
        return None
    time.sleep(11)  # longer than the ten seconds between two writes
    last = figures(stack, "metered")
    return last if last == first else None


def figures(stack: Stack, function: str) -> Json | None:
    found: list[Json] = requests.get(f"{stack.url}/v1/cost?days=2", timeout=10).json()["functions"]
    return next((one for one in found if one["function"] == function), None)
