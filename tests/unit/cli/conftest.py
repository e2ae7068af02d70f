"""The command line, called in the test's own process or as a process of its own; and a real gateway for it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from penstock.cli import main
from penstock.store import Store
from tests.conftest import RedisServer
from tests.unit.workers.waiting import until_now

T = TypeVar("T")
SECRET = "secret of the tests of the command line"


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting, no folder and no engine of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("PENSTOCK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-docker.sock")
    monkeypatch.setenv("COLUMNS", "200")


Penstock = Callable[..., Ran]


@pytest.fixture
def penstock(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Penstock:
    """`penstock("functions", "--url", …)` in this process."""

    def penstock(*arguments: str | Path) -> Ran:
        monkeypatch.setattr(sys, "argv", ["penstock", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        sys.stdout.flush()
        out, err = capfdbinary.readouterr()
        return Ran(code, out.decode(), err.decode())

    return penstock


def process(*arguments: str | Path, **environment: str) -> Ran:
    """The same as a user's shell runs it."""
    command = [Path(sys.executable).with_name("penstock"), *arguments]
    ran = subprocess.run(
        command, env=os.environ | environment, capture_output=True, check=False, text=True, timeout=30
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)


def one_line(ran: Ran, code: int) -> str:
    """What a command that failed said: one line and nothing else."""
    assert ran.code == code, ran
    assert ran.out == "", ran
    assert ran.err.startswith("penstock: "), ran
    assert ran.err.count("\n") == 1, ran
    assert ran.err.endswith("\n"), ran
    return ran.err.removeprefix("penstock: ").strip()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def gateway_url(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway as a process of its own."""
    port = free_port()
    folder = tmp_path_factory.mktemp("gateway")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    log = folder / "log"
    with log.open("wb") as output:
        gateway = subprocess.Popen(
            [sys.executable, "-m", "penstock.cli", "gateway", "--port", str(port), "--data-dir", str(folder)],
            env=environment | {"PENSTOCK_REDIS_URL": redis_server.url, "PENSTOCK_SECRET": SECRET},
            stdout=output,
            stderr=output,
        )

    def listens() -> bool:
        assert gateway.poll() is None, log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    until_now(listens, "the gateway listens", timeout=20)
    yield f"http://127.0.0.1:{port}"
    gateway.kill()
    gateway.wait()


InStore = Callable[[Callable[[Store], Awaitable[T]]], T]


@pytest.fixture
def in_store(redis_server: RedisServer) -> InStore[object]:
    """`in_store(work)`: does `await work(store)` in a loop of its own."""

    def in_store(work: Callable[[Store], Awaitable[T]]) -> T:
        async def do() -> T:
            store = Store(redis_server.url)
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(do())

    return in_store
