"""A load generator against a provisioned function: more instances while it runs, the floor afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import missing
from tests.e2e import specs
from tests.e2e.harness import Stack, docker_answers, wait_until
from tests.e2e.load import ab, field, watched

_FLOOR, _MOST = 2, 6
_REQUESTS, _CLIENTS = 240, 10


@pytest.mark.waits
def test_ab_gets_every_answer_while_instances_come_and_go() -> None:
    if not docker_answers():
        missing("a Docker Engine with the image penstock/base:bookworm")
    with Stack("docker") as stack:
        put_under_load(stack.start())


def put_under_load(stack: Stack) -> None:
    scaling = {"max": _MOST, "max_queue_wait": "500ms", "idle_timeout": "2s"}
    stack.deploy({"work": specs.folder("slow", event="json", scaling=scaling)})
    put = stack.cli("provision", "put", "work", "--target", str(_FLOOR))
    assert put.returncode == 0, put.stderr
    wait_until(lambda: config(stack)["current"] == _FLOOR, 20, "the floor is there before any call")

    with watched(stack, "work") as counts:
        body = stack.folder / "body.json"
        body.write_text('{"seconds": 0.3}')
        report = ab(stack.path("work"), body, "application/json", requests=_REQUESTS, clients=_CLIENTS)
        shown = config(stack)
    assert (field(report, "Complete requests"), field(report, "Failed requests")) == (_REQUESTS, 0), report
    assert "Non-2xx responses" not in report
    assert max(counts) == _MOST, "as many as it may have, and no more"
    assert min(counts) == _FLOOR
    assert (shown["target"], shown["current"], shown["currentError"]) == (_FLOOR, _FLOOR, None)

    wait_until(lambda: len(stack.instances("work")) == _FLOOR, 30, "only the floor is left", every=0.2)
    assert (config(stack)["current"], config(stack)["currentError"]) == (_FLOOR, None)
    listed = stack.cli("provision", "list").stdout.splitlines()[1]
    assert listed.split()[:3] == ["work", str(_FLOOR), str(_FLOOR)]
    assert stack.call("work", {}).headers["Penstock-Cold-Start"] == "false"


def config(stack: Stack) -> dict[str, Any]:
    reply = stack.http.get(f"{stack.url}/v1/functions/work/provision-config", timeout=10)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found
