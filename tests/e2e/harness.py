"""Real processes for end-to-end tests: Redis, a gateway, workers, and a view of them from outside.

Every process that is started here, and all that it starts in turn, carries a mark of our own in its environment.
What runs is read from /proc by that mark, never from what Penstock says of itself; containers are found by the
label of their deployment.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, TypeVar

import docker
import requests
import yaml
from docker.errors import DockerException, NotFound
from docker.models.containers import Container

from tests.conftest import RedisServer

FUNCTIONS = Path(__file__).parent.parent / "functions"
BASE_IMAGE = "penstock/base:bookworm"
PENSTOCK = (sys.executable, "-P", "-m", "penstock.cli")
CALLBACK_SECRET = "whsec_" + "ZTJlLXRlc3RzLW9mLXBlbnN0b2Nr"

_MARK = "PENSTOCKS_TESTER"
"""Not PENSTOCK_…: those are Penstock's own, and functions get none of them."""

T = TypeVar("T")
Json = dict[str, Any]


def wait_until(condition: Callable[[], T], timeout: float, what: str, *, every: float = 0.02) -> T:
    """The first true value of `condition`; fails with `what` when there is none within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {what} (last: {value!r})"
        time.sleep(every)


def free_port() -> int:
    """Outside of the range that the kernel takes for connections of its own choice."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class Program:
    """One process of ours, in a session of its own, its output in a file."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self.shown = 0
        """Bytes of its log that belong to earlier tests."""
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def output(self) -> str:
        return self.log.read_bytes().decode(errors="replace")

    def says(self, text: str, timeout: float = 20.0) -> None:
        """Waits for a line of its log."""

        def said() -> bool:
            assert self.process.poll() is None or text in self.output(), f"{self.name} ended:\n{self.output()}"
            return text in self.output()

        wait_until(said, timeout, f"{self.name} says {text!r}; it said:\n{self.output()}")

    def stop(self, number: int = signal.SIGTERM, timeout: float = 20.0) -> int:
        """Signals it and waits; its exit code."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        return self.process.wait(timeout)


class Stack:
    """A deployment: Redis, gateway and workers of one engine, as separate processes. `with` ends them all."""

    live: ClassVar[list[Stack]] = []
    """Those that run now; a failing test shows what they logged."""

    def __init__(self, engine: str, **settings: str) -> None:
        """`settings` without PENSTOCK_: `GATEWAY__HOLD="1s"`."""
        self.engine = engine
        self.mark = secrets.token_hex(8)
        # A short path: a Unix socket's name holds 107 bytes at most.
        self.folder = Path(tempfile.mkdtemp(prefix="ps-"))
        self.data_dir = self.folder / "data"
        self.redis = RedisServer(self.folder)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = self._environment(settings)
        self.programs: list[Program] = []
        self.gateway: Program | None = None
        self.workers: Program | None = None
        self.http = requests.Session()
        self.doomed: set[str] = set()
        """Instances that a test left stuck in a call: killed when their grace is over."""
        self._deployment: str | None = None

    def __enter__(self) -> Stack:
        Stack.live.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for program in self.programs:
            if error is None:
                break
            with contextlib.suppress(OSError):  # no log is no reason to leave processes behind
                said = program.output()[-6000:]
                error.add_note(f"--- {self.engine}: {program.name} (pid {program.pid})\n{said}")
        try:
            self.close()
        finally:
            Stack.live.remove(self)

    # Starting and stopping

    def start(self) -> Stack:
        """Redis, then gateway and workers at once."""
        self.redis.start()
        self.start_gateway()
        self.start_workers()
        wait_until(self.ready, 30, "the gateway finds workers that lead")
        return self

    def start_gateway(self) -> Program:
        self.gateway = self.run("gateway", "--port", str(self.port), "--redis-url", self.redis.url)
        return self.gateway

    def start_workers(self) -> Program:
        self.workers = self.run("workers", "--engine", self.engine, "--redis-url", self.redis.url)
        return self.workers

    def run(self, *command: str, **settings: str) -> Program:
        """A long-running `penstock …` of this deployment."""
        environment = self.environment | {f"PENSTOCK_{name}": value for name, value in settings.items()}
        log = self.folder / f"{len(self.programs)}-{command[0]}.log"
        program = Program(command[0], (*PENSTOCK, *command), environment, log)
        self.programs.append(program)
        return program

    def ready(self) -> bool:
        with contextlib.suppress(requests.ConnectionError):
            return self.http.get(f"{self.url}/readyz", timeout=5).status_code == 200
        return False

    def close(self) -> None:
        """Ends everything, from the outside in, and leaves no trace."""
        self.http.close()
        with contextlib.suppress(AssertionError, OSError, subprocess.SubprocessError):
            _ = self.deployment  # Redis is still there to be asked
        for program in self.programs:
            program.process.kill()
            program.process.wait()
        self.kill_all()
        if self.redis.process is not None:
            self.redis.kill()
        if self.engine == "docker":
            self.remove_containers()
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill_all(self) -> None:
        """kill -9 for every process that carries our mark."""

        def kill() -> bool:
            found = self.processes()
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for program in self.programs:
                program.process.poll()
            return not found

        wait_until(kill, 10, "all processes are dead")

    def remove_containers(self) -> None:
        if self._deployment is None:
            return
        client = docker_client()
        for container in self.containers():
            with contextlib.suppress(NotFound):
                container.remove(force=True, v=True)
        label = {"label": f"penstock.deployment={self._deployment}"}
        for network in client.networks.list(filters=label):
            network.remove()
        remove_images(self._deployment)

    # The command line

    def cli(self, *command: str, timeout: float = 60.0, **settings: str) -> subprocess.CompletedProcess[str]:
        """A `penstock …` that ends by itself."""
        environment = self.environment | {f"PENSTOCK_{name}": value for name, value in settings.items()}
        return subprocess.run(
            (*PENSTOCK, *command),
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def deploy(self, specs: Mapping[str, Json], *, ok: bool = True) -> subprocess.CompletedProcess[str]:
        """Writes a spec file and deploys it; returns once its functions can be invoked."""
        file = self.write_specs(specs)
        done = self.cli("deploy", "-f", str(file), "--redis-url", self.redis.url, timeout=100)
        assert (done.returncode == 0) == ok, f"deploy: {done.stdout}{done.stderr}"
        return done

    def write_specs(self, specs: Mapping[str, Json], name: str = "penstock.yaml") -> Path:
        file = self.folder / name
        file.write_text(yaml.safe_dump({"functions": dict(specs)}, sort_keys=False))
        return file

    # Clients

    def path(self, function: str, invocation: str = "") -> str:
        """URL of a function's invocations, or of one of them."""
        return f"{self.url}/v1/functions/{function}/invocations" + (f"/{invocation}" if invocation else "")

    def call(
        self,
        function: str,
        body: bytes | str | Json = b"",
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30.0,
    ) -> requests.Response:
        """A held call."""
        data, kind = encode(body)
        return self.http.post(self.path(function), data=data, headers={**kind, **(headers or {})}, timeout=timeout)

    def submit(
        self, function: str, body: bytes | str | Json = b"", *, headers: Mapping[str, str] | None = None
    ) -> Json:
        """An async job; its record."""
        reply = self.call(function, body, headers={"Prefer": "respond-async", **(headers or {})})
        assert reply.status_code == 202, reply.text
        record: Json = reply.json()
        return record

    def record(self, function: str, invocation: str, *, wait: int | None = None) -> Json:
        """Poll, or long poll."""
        query = {} if wait is None else {"wait": wait}
        reply = self.http.get(self.path(function, invocation), params=query, timeout=(wait or 0) + 10)
        assert reply.status_code == 200, reply.text
        record: Json = reply.json()
        return record

    def finished(self, function: str, invocation: str, timeout: int = 20) -> Json:
        """The record once it has ended."""
        record = self.record(function, invocation, wait=timeout)
        assert record["finished_at"] is not None, f"still {record['state']}: {record['waiting_reason']}"
        return record

    def result(self, function: str, invocation: str) -> requests.Response:
        return self.http.get(f"{self.path(function, invocation)}/result", timeout=10)

    # From outside

    @property
    def deployment(self) -> str:
        """The id on the labels of its containers."""
        if self._deployment is None:
            stored = self.redis.cli("GET", "ps:deployment")
            assert stored, "no workers process has made a deployment id yet"
            self._deployment = stored
        return self._deployment

    def processes(self) -> list[int]:
        """Ids of all processes, zombies apart, that carry our mark, or work in our data-dir: a Redis that sets
        its own title overwrites its environment."""
        mark = f"{_MARK}={self.mark}".encode()
        return [pid for pid, environment in environments() if mark in environment or self._works_here(pid)]

    def _works_here(self, pid: int) -> bool:
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/cwd").readlink().is_relative_to(self.data_dir)
        return False

    def containers(self, function: str | None = None) -> list[Container]:
        labels = [f"penstock.deployment={self.deployment}"]
        if function is not None:
            labels.append(f"penstock.function={function}")
        client = docker_client()
        return list(client.containers.list(all=True, filters={"label": labels}, ignore_removed=True))

    def instances(self, function: str | None = None) -> set[str]:
        """Ids of the instances of a function, or of all, as the kernel or the Docker Engine knows them."""
        if self.engine == "docker":
            return {container.labels["penstock.instance"] for container in self.containers(function)}
        marks = {f"{_MARK}={self.mark}".encode()}
        if function is not None:
            marks.add(f"PENSTOCK_FUNCTION={function}".encode())
        return {
            text.removeprefix(b"PENSTOCK_INSTANCE=").decode()
            for _, environment in environments()
            if marks.issubset(environment)
            for text in environment
            if text.startswith(b"PENSTOCK_INSTANCE=")
        }

    def gone(self, function: str, timeout: float = 15.0) -> None:
        """Waits until no instance of the function is left."""
        wait_until(lambda: not self.instances(function), timeout, f"no instance of {function} is left")

    def _environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
        ours = {
            "SECRET": secrets.token_hex(16),
            "CALLBACKS__SECRET": CALLBACK_SECRET,
            "CALLBACKS__ALLOW": "127.0.0.0/8",
            "DOCKER__BASE_IMAGE": BASE_IMAGE,
            "DATA_DIR": str(self.data_dir),
            "URL": self.url,
            **settings,
        }
        return inherited | {f"PENSTOCK_{name}": value for name, value in ours.items()} | {_MARK: self.mark}


def encode(body: bytes | str | Json) -> tuple[bytes, dict[str, str]]:
    if isinstance(body, dict):
        import json

        return json.dumps(body).encode(), {"Content-Type": "application/json"}
    if isinstance(body, str):
        return body.encode(), {"Content-Type": "text/plain"}
    return body, {"Content-Type": "application/octet-stream"}


def environments() -> Iterator[tuple[int, list[bytes]]]:
    """Process id and environment of every process that can be read; a zombie has none."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            environment = (folder / "environ").read_bytes()
            if environment:
                yield int(folder.name), environment.split(b"\0")


_of_thread = threading.local()


def docker_client() -> docker.DockerClient:
    if not hasattr(_of_thread, "client"):
        _of_thread.client = docker.from_env()
    client: docker.DockerClient = _of_thread.client
    return client


def remove_images(deployment: str) -> None:
    """Those of the functions of a deployment; the packages below them stay for the next run."""
    client = docker_client()
    for image in client.images.list(filters={"label": f"penstock.deployment={deployment}"}):
        with contextlib.suppress(DockerException):  # another run may have taken it off
            client.images.remove(str(image.id), force=True)


def docker_answers() -> bool:
    """True if a Docker Engine answers and has the base image."""
    try:
        docker_client().images.get(BASE_IMAGE)
    except (DockerException, OSError):
        return False
    return True
