"""The runtime as a real process, with the user's folder made by the test."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Said:
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str | None:
        return self.headers.get("penstock-error")


class Runtime:
    """One running process, and the way to talk to it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.folder = log.parent
        """Of the user's files."""
        self._log = log
        self._threads = ThreadPoolExecutor(20)

    def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Said:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Said(response.status, names, response.read())
        finally:
            connection.close()

    def call(self, body: bytes | str = b"", **headers: str) -> Said:
        """An event call; headers as keywords with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", "/invoke", body.encode() if isinstance(body, str) else body, named)

    def start(self, body: bytes | str = b"", **headers: str) -> Future[Said]:
        """The same, answered later."""
        return self._threads.submit(self.call, body, **headers)

    def initialize(self) -> Said:
        return self.ask("POST", "/initialize")

    def answers(self) -> bool:
        try:
            self.running()
        except OSError:
            return False
        return True

    def running(self) -> list[str]:
        found: list[str] = self.ask("GET", "/.penstock/status").json["running"]
        return found

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def end(self) -> None:
        family = _members(self.process.pid)
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        self.process.wait()
        psutil.wait_procs(family, timeout=10)  # none writes into the folder while it is removed
        self._threads.shutdown(wait=True)


def _members(group: int) -> list[psutil.Process]:
    """The process itself and its handler processes, which may have outlived it for a moment."""
    found = []
    for one in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if one.pid == group or os.getpgid(one.pid) == group:
                found.append(one)
    return found


StartRuntime = Callable[..., Runtime]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def _processes() -> Iterator[StartRuntime]:
    with ExitStack() as stack:

        def start(code: str | Mapping[str, str], *, handler: str = "app:handler", **environment: str) -> Runtime:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ps-runtime-")))
            files = {"app.py": code} if isinstance(code, str) else code
            for name, text in files.items():
                (folder / name).write_text(textwrap.dedent(text))
            port = free_port()
            named = {f"PENSTOCK_{name.upper()}": value for name, value in environment.items()}
            base = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
            log = folder / "log"
            with log.open("wb") as output:
                process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "runtime"],
                    env=base
                    | {
                        "PORT": str(port),
                        "PENSTOCK_HANDLER": handler,
                        "PENSTOCK_CODE": str(folder),
                        "FOLDER": str(folder),
                    }
                    | {"PENSTOCK_FUNCTION": "tested", "PYTHONPATH": str(ROOT)}
                    | named,
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    process_group=0,
                )
            runtime = Runtime(process, port, log)
            stack.callback(runtime.end)
            deadline = time.monotonic() + 20
            while not runtime.answers():
                assert process.poll() is None, runtime.log()
                assert time.monotonic() < deadline, runtime.log()
                time.sleep(0.01)
            return runtime

        yield start


@pytest.fixture
def start_runtime(_processes: StartRuntime) -> StartRuntime:
    """`start_runtime(code)`: the code as app.py, or a mapping of file names to texts; the environment's
    PENSTOCK_… as keywords. It ends with the session."""
    return _processes
