"""What a real deployment meters, against clocks of its own: the function's and the client's."""

from __future__ import annotations

import time

import pytest
import requests

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


def metered(stack: Stack) -> Json | None:
    """Its figures once nothing more comes; of two days, since midnight may pass at any time."""
    first = figures(stack)
    if first is None or first["invocations"] < CALLS:
        return None
    time.sleep(11)  # longer than the ten seconds between two writes
    last = figures(stack)
    return last if last == first else None


def figures(stack: Stack) -> Json | None:
    found: list[Json] = requests.get(f"{stack.url}/v1/cost?days=2", timeout=10).json()["functions"]
    return next((one for one in found if one["function"] == "metered"), None)
