"""The last of all: when its functions are deleted and it is stopped, nothing of a deployment is left."""

from __future__ import annotations

import pytest

from tests.e2e.harness import Stack, wait_until


@pytest.mark.waits
def test_nothing_is_left(stack: Stack) -> None:
    assert stack.gateway is not None
    assert stack.workers is not None
    listed = stack.http.get(f"{stack.url}/v1/functions", timeout=10).json()["functions"]
    assert {"echo", "burst", "floor"} <= {one["name"] for one in listed}
    for one in listed:
        assert stack.http.delete(f"{stack.url}/v1/functions/{one['name']}", timeout=10).status_code == 200
    seen: set[str] = set()

    def none() -> bool:
        seen.clear()
        seen.update(stack.instances())
        return not seen

    try:
        wait_until(none, 20, "no instance is left, not even one that was stuck", every=0.2)
    except AssertionError as error:
        error.add_note(f"left: {seen}, of them stuck once: {seen & stack.doomed}")
        raise

    assert stack.workers.stop() == 0
    assert stack.gateway.stop() == 0
    assert stack.processes() == []
    if stack.engine == "docker":
        assert stack.containers() == []
    for program in (stack.gateway, stack.workers):
        assert "never retrieved" not in program.output()
        assert "Task was destroyed" not in program.output()
