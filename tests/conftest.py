"""What every test may use: a real Redis, simulated GPUs, and the rule that a missing service fails in CI."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from penstock.store import Store
from tests.nvml import SimulatedNvml, build

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell has its background jobs ignore Ctrl-C, and all that they start would, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def missing(service: str) -> None:
    """A missing service skips a test on a laptop and fails it in CI."""
    message = f"{service} is missing; `make test` as root on Debian installs it"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


class RedisServer:
    """A redis-server of our own on a Unix socket, with an append-only file as in production."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        binary = shutil.which("redis-server")
        if binary is None:
            missing("redis-server")
            return
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        flags = [part for name, value in options.items() for part in (f"--{name}", value)]
        with (self.folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen([binary, *flags], stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while not self._answers():
            assert time.monotonic() < deadline, (self.folder / "redis.log").read_text()
            time.sleep(0.01)

    def _answers(self) -> bool:
        probe = subprocess.run(["redis-cli", "-s", str(self.socket), "ping"], capture_output=True, check=False)
        return probe.stdout.strip() == b"PONG"

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def cli(self, *args: str) -> str:
        command = ["redis-cli", "-s", str(self.socket), *args]
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    # A short path: a Unix socket's name holds 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="ps-") as folder:
        server = RedisServer(Path(folder))
        server.start()
        yield server
        server.kill()


@pytest.fixture
async def store(redis_server: RedisServer) -> AsyncIterator[Store]:
    """A store on an empty Redis."""
    redis_server.cli("FLUSHALL")
    store = Store(redis_server.url)
    yield store
    await store.close()


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        missing("gcc")
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def nvml(nvml_library: Path) -> Iterator[SimulatedNvml]:
    """A machine with a driver and no GPU yet, for this process and those that it starts."""
    simulated = SimulatedNvml(nvml_library, nvml_library.with_name("state"))
    simulated.reset()
    simulated.load()
    yield simulated
    simulated.unload_driver()


@pytest.fixture
def unique() -> str:
    """A name that no other test uses."""
    return f"t{uuid.uuid4().hex[:8]}"
