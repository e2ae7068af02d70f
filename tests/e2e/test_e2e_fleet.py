"""Several gateways on one port: any of them answers, and one that dies is missed by nobody for long."""

from __future__ import annotations

import contextlib
import os
import signal

import psutil
import requests

from tests.e2e import specs
from tests.e2e.harness import Program, Stack, wait_until

GATEWAYS = 3


def children(fleet: Program) -> set[int]:
    return {child.pid for child in psutil.Process(fleet.pid).children()}


def listening(stack: Stack, fleet: Program) -> set[int]:
    found = set()
    for pid in children(fleet):
        with contextlib.suppress(psutil.NoSuchProcess):  # it was just killed
            open_ones = psutil.Process(pid).net_connections("tcp")
            if any(one.status == psutil.CONN_LISTEN and one.laddr.port == stack.port for one in open_ones):
                found.add(pid)
    return found


def test_several_gateways_share_a_port() -> None:
    with Stack("process") as stack:
        stack.redis.start()
        where = ("--port", str(stack.port), "--redis-url", stack.redis.url)
        fleet = stack.gateway = stack.run("gateway", *where, "--processes", str(GATEWAYS))
        stack.start_workers()
        wait_until(lambda: len(listening(stack, fleet)) == GATEWAYS, 20, "all of them listen")
        wait_until(stack.ready, 20, "it is ready")
        stack.deploy({"echo": specs.folder("echo", event="json")})

        # A connection each: whichever gateway gets it knows the function and the job of another.
        job = stack.submit("echo", {"n": 1})["id"]
        assert stack.finished("echo", job)["state"] == "succeeded"
        url = stack.path("echo", job)
        assert {requests.get(url, timeout=10).status_code for _ in range(30)} == {200}

        before = children(fleet)
        os.kill(next(iter(before)), signal.SIGKILL)
        wait_until(lambda: len(listening(stack, fleet)) == GATEWAYS, 20, "the dead one is replaced")
        assert len(children(fleet) & before) == GATEWAYS - 1
        assert {requests.get(url, timeout=10).status_code for _ in range(30)} == {200}

        left = [psutil.Process(pid) for pid in children(fleet)]
        assert fleet.stop(signal.SIGTERM) == 0
        assert not psutil.wait_procs(left, timeout=5)[1], "none outlives the one that started them"


def test_a_port_in_use_is_said_at_once() -> None:
    with Stack("process") as stack:
        stack.redis.start()
        stack.start_gateway().says("listening")
        done = stack.cli("gateway", "--port", str(stack.port), "--processes", "2")
        assert done.returncode != 0
        assert f"cannot listen on 127.0.0.1:{stack.port}" in done.stderr
