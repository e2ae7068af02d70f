"""From zero and back to zero."""

from __future__ import annotations

import re

import pytest

from tests.e2e.harness import Stack, wait_until


@pytest.mark.waits
def test_a_call_starts_an_instance_and_the_idle_timeout_ends_it(stack: Stack) -> None:
    stack.gone("cold")
    first = stack.call("cold", "Nice to meet you")
    assert (first.status_code, first.text) == (200, "Nice to meet you")
    assert first.headers["Penstock-Cold-Start"] == "true"
    cold = server_timing(first.headers["Server-Timing"])
    assert cold["start"] > 10, "an interpreter does not start in 10 ms"
    assert sum(cold.values()) <= first.elapsed.total_seconds() * 1000 + 1
    assert len(stack.instances("cold")) == 1

    second = stack.call("cold", "again")
    assert (second.status_code, second.text) == (200, "again")
    assert second.headers["Penstock-Cold-Start"] == "false"
    assert server_timing(second.headers["Server-Timing"])["start"] == 0
    assert second.headers["Penstock-Invocation-Id"] != first.headers["Penstock-Invocation-Id"]

    stack.gone("cold", timeout=8)
    shown = stack.http.get(f"{stack.url}/v1/functions/cold/instances").json()
    wait_until(
        lambda: not stack.http.get(f"{stack.url}/v1/functions/cold/instances").json()["instances"],
        2,
        f"the API says so too: {shown}",
    )


def server_timing(header: str) -> dict[str, float]:
    found = {name: float(ms) for name, ms in re.findall(r"(\w+);dur=([\d.]+)", header)}
    assert set(found) == {"queue", "start", "run"}, header
    return found
