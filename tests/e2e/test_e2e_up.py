"""`penstock up`: everything with one command, stopped with Ctrl-C, killed, and started again on its data."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import requests

from tests.conftest import RedisServer
from tests.e2e import specs
from tests.e2e.harness import Json, Program, Stack, free_port, wait_until

_WORK = specs.folder(
    "slow", event="json", concurrency=2, scaling={"max": 2, "max_queue_wait": "1s", "idle_timeout": "60s"}
)


@pytest.mark.waits
def test_every_acknowledged_job_ends_after_everything_was_killed(engine: str) -> None:
    with Stack(engine) as stack:
        kill_everything(stack)


@pytest.mark.waits
def test_ctrl_c_ends_everything(engine: str) -> None:
    with Stack(engine) as stack:
        press_ctrl_c(stack)


def kill_everything(stack: Stack) -> None:
    up = start(stack)
    jobs = [stack.submit("work", {"n": n, "seconds": 0.3})["id"] for n in range(20)]
    wait_until(lambda: stack.record("work", jobs[1])["finished_at"], 20, "some jobs have ended")
    assert stack.record("work", jobs[-1])["finished_at"] is None, "others wait"
    stack.kill_all()
    assert not stack.processes()
    assert up.process.wait(5) == -signal.SIGKILL

    up = start(stack)
    for n, job in enumerate(jobs):
        record = stack.finished("work", job, timeout=30)
        assert record["state"] == "succeeded", record["error"]
        assert stack.result("work", job).json()["n"] == n
    listed = stack.http.get(stack.path("work"), params={"limit": 100}, timeout=5).json()["invocations"]
    assert [one["id"] for one in listed] == jobs[::-1], "each once"
    assert len(stack.instances("work")) <= 2, "what the first run left behind was adopted or ended"
    stop(stack, up)


def press_ctrl_c(stack: Stack) -> None:
    up = start(stack)
    assert stack.call("work", {"n": 1}).status_code == 200
    names = {Path(f"/proc/{pid}/exe").resolve().name for pid in stack.processes()}
    assert any(name.startswith("redis") for name in names), f"an embedded Redis is part of it: {names}"
    sessions = {os.getsid(pid) for pid in stack.processes()}
    assert sessions == {up.pid}, "all its processes are in its session"
    banner = up.output()
    assert stack.url in banner
    assert "curl" in banner
    stop(stack, up)
    with contextlib.suppress(requests.ConnectionError):
        requests.get(stack.url, timeout=1)
        raise AssertionError("nobody listens any more")


@pytest.mark.waits
def test_a_second_one_on_the_same_data_is_refused() -> None:
    with Stack("process") as stack:
        start_twice(stack)


def start_twice(stack: Stack) -> None:
    up = start(stack)
    second = stack.cli("up", "--port", "0", timeout=20)
    assert second.returncode == 2
    assert second.stdout == ""
    assert second.stderr.splitlines() == [second.stderr.strip()], "one line"
    assert str(stack.data_dir) in second.stderr
    assert "Traceback" not in second.stderr
    assert stack.call("work", {"n": 1}).status_code == 200, "the first one is not disturbed"
    stop(stack, up)


@pytest.mark.waits
def test_what_dies_is_started_again() -> None:
    """Gateway, workers and Redis, one after the other; a job that waits meanwhile ends."""
    with Stack("process") as stack:
        kill_one_after_the_other(stack)


def kill_one_after_the_other(stack: Stack) -> None:
    up = start(stack)
    for name in ("penstock.cli gateway", "penstock.cli workers", "redis-server"):
        outlives(stack, name)
    assert "died with exit code -9" in up.output()
    stop(stack, up)


def outlives(stack: Stack, name: str) -> None:
    """A job that runs while the process of this name is killed ends all the same."""
    job = stack.submit("work", {"n": 5, "seconds": 1})["id"]
    wait_until(lambda: stack.record("work", job)["state"] == "running", 10, "it runs")
    (victim,) = [pid for pid in stack.processes() if name in command_line(pid)]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in stack.processes(), 5, f"{name} died")
    wait_until(stack.ready, 15, f"all is well again after {name} died")
    wait_until(lambda: stack.record("work", job)["state"] == "succeeded", 20, f"a job outlives {name}")
    assert stack.result("work", job).json()["n"] == 5


@pytest.mark.waits
def test_the_lines_that_it_prints_work_when_pasted() -> None:
    with Stack("process", SECRET="", CALLBACKS__SECRET="") as stack:  # it makes its own
        up = start(stack, {"hello": specs.folder("echo")})
        paste(stack, up)
        stop(stack, up)


def paste(stack: Stack, up: Program) -> None:
    """Each line under what it says that it does."""
    waited, polled, called_back = [line for line in up.output().splitlines() if line.startswith("curl ")]
    answer = shell(waited)
    assert answer.startswith("HTTP/1.1 200 OK")
    assert answer.endswith("\n\nNice to meet you")
    assert json.loads(shell(polled))["state"] == "succeeded"

    (hint,) = [line for line in up.output().splitlines() if "in another terminal" in line]
    port = free_port()  # 9999, which it names, may be somebody's here
    command = (*shlex.split(hint.partition("terminal: ")[2]), "--port", str(port))
    listen = Program("listen", command, stack.environment, stack.folder / "listen.log")
    stack.programs.append(listen)
    listen.says("Listening for callbacks")
    job = json.loads(shell(called_back.replace(":9999/", f":{port}/")))["id"]
    listen.says(f"verified msg_{job}")
    listen.says("Nice to meet you")
    assert listen.stop() == 0


def shell(line: str) -> str:
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=40, check=True)
    return done.stdout.replace("\r\n", "\n")


def start(stack: Stack, functions: Mapping[str, Json] | None = None) -> Program:
    """`penstock up` with a spec file, its functions ready to be invoked."""
    file = stack.write_specs(functions or {"work": _WORK})
    # Under `up` the receiver of the README is allowed without a setting.
    stack.environment.pop("PENSTOCK_CALLBACKS__ALLOW", None)
    up = stack.run("up", "-f", str(file), "--port", str(stack.port), "--engine", stack.engine)
    stack.redis = RedisServer(stack.data_dir / "redis")  # its own; only asked, never started by us
    up.says("Penstock listens on", timeout=60)
    wait_until(stack.ready, 10, "it says so by HTTP too")
    assert stack.deployment, "asked while its Redis runs: containers are found by it later"
    return up


def stop(stack: Stack, up: Program) -> None:
    """Ctrl-C, which a terminal sends to the whole foreground group; nothing is left."""
    assert os.getpgid(up.pid) == up.pid
    os.killpg(up.pid, signal.SIGINT)
    assert up.process.wait(20) == 0, up.output()
    assert stack.processes() == []
    assert "Traceback" not in up.output()
    if stack.engine == "docker":
        assert stack.containers() == []


def command_line(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""
