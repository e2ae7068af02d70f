"""Upgrades: on what an earlier release left, beside it while it still runs, and beside the one after this."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
import requests

from penstock.schema import SCHEMA
from tests.e2e import recorded, specs
from tests.e2e.harness import PENSTOCK, Program, Stack, free_port, wait_until

ROOT = Path(__file__).parents[2]
BEFORE = "84da1bde6d361667d9b2eed9283a6bcdafe74745"
"""The first revision whose data has a version, and which leaves aside what a later one adds."""


@dataclass(frozen=True)
class Release:
    """Code of which processes can be started."""

    name: str
    command: tuple[str, ...]
    path: Path

    def start(self, stack: Stack, *command: str) -> Program:
        log = stack.folder / f"{len(stack.programs)}-{self.name}-{command[0]}.log"
        environment = stack.environment | {"PYTHONPATH": str(self.path)}
        program = Program(f"{self.name} {command[0]}", (*self.command, *command), environment, log)
        stack.programs.append(program)
        return program

    @contextmanager
    def workers(self, stack: Stack) -> Iterator[None]:
        program = self.start(stack, "workers", "--redis-url", stack.redis.url)
        wait_until(stack.ready, 30, f"the workers of {self.name} lead")
        yield
        assert program.stop() == 0, program.output()

    def gateway(self, stack: Stack, port: int) -> Gateway:
        self.start(stack, "gateway", "--port", str(port), "--redis-url", stack.redis.url)
        url = f"http://127.0.0.1:{port}/v1/functions"
        wait_until(lambda: _listens(f"{url}/../../healthz"), 30, f"the gateway of {self.name} listens")
        return Gateway(url)


@dataclass(frozen=True)
class Gateway:
    url: str

    def submit(self, body: str, **headers: str) -> str:
        given = {"Prefer": "respond-async", **{name.replace("_", "-"): value for name, value in headers.items()}}
        reply = requests.post(f"{self.url}/echo/invocations", data=body, headers=given, timeout=10)
        assert reply.status_code == 202, reply.text
        job: str = reply.json()["id"]
        return job

    def call(self, body: str) -> str:
        reply = requests.post(f"{self.url}/echo/invocations", data=body, timeout=30)
        assert reply.status_code == 200, reply.text
        return reply.text

    def result(self, job: str) -> str:
        record = requests.get(f"{self.url}/echo/invocations/{job}?wait=20", timeout=30).json()
        assert record["state"] == "succeeded", record
        return requests.get(f"{self.url}/echo/invocations/{job}/result", timeout=10).text

    def deploys(self) -> None:
        """What it can read of functions, and of their pools."""
        for path in ("", "/echo", "/echo/instances", "/echo/provision-config", "/echo/invocations"):
            reply = requests.get(self.url + path, timeout=10)
            assert reply.status_code == 200, (path, reply.text)


def _listens(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).status_code == 200
    except requests.ConnectionError:
        return False


HERE = Release("this", PENSTOCK, ROOT)
TOMORROW = Release("next", (sys.executable, "-P", "-c", "from tests.e2e.tomorrow import run; run()"), ROOT)


def before(folder: Path) -> Release:
    """The code before data had a version, where the history is there to be asked."""
    archive = subprocess.run(["git", "archive", BEFORE], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip(f"{BEFORE} is not in this clone: {archive.stderr.decode().strip()}")
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return Release("before", PENSTOCK, folder)


@pytest.mark.waits
def test_this_release_beside_the_one_before() -> None:
    with Stack("process") as stack:
        roll(stack, before(stack.folder / "before"), HERE)
        assert stack.redis.cli("HGET", "ps:version", "schema") == str(SCHEMA)


@pytest.mark.waits
def test_this_release_beside_the_next_one() -> None:
    with Stack("process") as stack:
        roll(stack, HERE, TOMORROW)
        assert stack.redis.cli("HGET", "ps:version", "schema") == str(SCHEMA + 1)
        assert "of_tomorrow" in stack.redis.cli("HGET", "ps:functions", "echo"), "it was read by this release"
        assert stack.redis.cli("GET", "ps:of-tomorrow") == "1", "its migration was done"


def roll(stack: Stack, old: Release, new: Release) -> None:
    """Each kind of process is replaced while the other stays, there and back again; nothing fails meanwhile."""
    stack.redis.start()
    first = old.gateway(stack, stack.port)
    file = stack.write_specs({"echo": specs.folder("echo", concurrency=2)})
    with old.workers(stack):
        old.start(stack, "deploy", "-f", str(file), "--redis-url", stack.redis.url).process.wait(60)
        assert first.call("old and old") == "old and old"
    waiting = [first.submit(f"job {n}", Penstock_Retry="attempts=2; backoff=1s") for n in range(3)]
    with new.workers(stack):
        assert [first.result(job) for job in waiting] == [f"job {n}" for n in range(3)]
        assert first.call("old gateway, new workers") == "old gateway, new workers"
        second = new.gateway(stack, free_port())
        for here, there in ((first, second), (second, first)):
            assert there.result(here.submit("one submits, the other reads", Idempotency_Key=here.url)) != ""
        file = stack.write_specs({"echo": specs.folder("echo", concurrency=3)})
        new.start(stack, "deploy", "-f", str(file), "--redis-url", stack.redis.url).process.wait(60)
        first.deploys()
        second.deploys()
    waiting = [second.submit(f"job {n}", Penstock_Priority="high") for n in range(3)]
    with old.workers(stack):
        assert [first.result(job) for job in waiting] == [f"job {n}" for n in range(3)]
        assert second.call("new gateway, old workers") == "new gateway, old workers"


@pytest.mark.waits
def test_what_an_earlier_release_left_goes_on() -> None:
    with Stack("process", SECRET=recorded.SECRET) as stack:
        stack.redis.start()
        recorded.load(Path(__file__).with_name("recorded") / "schema-1.jsonl", stack.redis.url)
        stack.start_gateway()
        stack.start_workers()
        wait_until(stack.ready, 30, "its functions can be invoked")
        listed = stack.http.get(stack.path("echo"), timeout=5).json()["invocations"]
        assert len(listed) == 7
        ended = [stack.finished("echo", one["id"], timeout=30) for one in listed]
        assert {one["state"] for one in ended} == {"succeeded"}
        bodies = {stack.result("echo", one["id"]).text for one in ended}
        assert bodies == {"done", "waits", "first", "later", "told", "1", '{"two": 2}'}
        again = stack.submit("echo", "later", headers={"Penstock-Delay": "1s", "Idempotency-Key": "later"})
        assert again["id"] in {one["id"] for one in ended}, "its idempotency keys hold"
        batch = next(one["batch"] for one in ended if one["batch"])
        of_batch = stack.http.get(f"{stack.url}/v1/functions/echo/batches/{batch}", timeout=5).json()
        assert of_batch["finished_at"] is not None
        [dead] = stack.http.get(f"{stack.url}/v1/functions/raises/dead-letters", timeout=5).json()["dead_letters"]
        assert dead["error"]["code"] == "function_error"
        told = stack.http.get(f"{stack.url}/v1/functions/echo/deliveries", timeout=5).json()["deliveries"]
        assert [one["endpoint"] for one in told] == ["http://127.0.0.1:1999/"]
        config = stack.http.get(f"{stack.url}/v1/functions/echo/provision-config", timeout=5).json()
        assert config["defaultTarget"] == 1
        assert stack.redis.cli("HGET", "ps:version", "schema") == str(SCHEMA)


@pytest.mark.waits
def test_data_that_is_too_new_is_refused_in_one_line() -> None:
    with Stack("process") as stack:
        stack.redis.start()
        gateway = stack.start_gateway()
        workers = stack.start_workers()
        wait_until(stack.ready, 30, "they work")
        stack.redis.cli("HSET", "ps:version", "schema", "9", "compatible_from", "9", "written_by", "9.0.0")
        for running in (gateway, workers):
            assert running.process.wait(20) == 2
        file = stack.write_specs({"echo": specs.folder("echo")})
        for command in (
            ["gateway", "--port", str(free_port())],
            ["workers"],
            ["deploy", "-f", str(file)],
        ):
            ran = stack.cli(*command, "--redis-url", stack.redis.url)
            assert ran.returncode == 2, ran
            assert ran.stderr.count("penstock: Redis holds data of schema 9, written by Penstock 9.0.0") == 1, ran
