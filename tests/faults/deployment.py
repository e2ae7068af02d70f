"""A deployment whose gateway and workers each reach Redis through a proxy, and what runs in it."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.e2e.harness import Json, Program, Stack
from tests.faults.proxy import Proxy

FUNCTIONS = Path(__file__).parent / "functions"
RECOVERY = 15.0
"""Seconds after which work goes on when a worker died: what Penstock promises."""
RECONNECT = 5.0
"""Seconds after which every process works again when Redis is back."""

MEASURED: list[str] = []
"""What tests measured; it is shown at the end of the session."""


def measured(what: str, *seconds: float) -> None:
    MEASURED.append(f"{what}: {', '.join(f'{one:.2f} s' for one in seconds)}")


ALONE: set[str] = set()
"""Names of the tests that measure what a busy machine would spoil."""


def alone(test: Callable[[], None]) -> Callable[[], None]:
    """It runs when no other test does."""
    ALONE.add(test.__name__)
    return test


class Deployment(Stack):
    def __init__(self, engine: str = "process", **settings: str) -> None:
        super().__init__(engine, **settings)
        self.ledger = self.folder / "ledger"
        self.front = Proxy(self.redis.socket)
        """Between the gateway and Redis."""
        self.back = Proxy(self.redis.socket)
        """Between the workers and Redis."""

    def start_gateway(self) -> Program:
        self.gateway = self.run("gateway", "--port", str(self.port), "--redis-url", self.front.url)
        return self.gateway

    def start_workers(self, proxy: Proxy | None = None) -> Program:
        url = (proxy or self.back).url
        self.workers = self.run("workers", "--engine", self.engine, "--redis-url", url)
        return self.workers

    def close(self) -> None:
        super().close()
        self.front.close()
        self.back.close()

    def work(self, **more: object) -> Json:
        """The function of functions/work; four of its calls run at a time."""
        return {
            "path": str(FUNCTIONS / "work"),
            "event": "json",
            "env": {"LEDGER": str(self.ledger)},
            "concurrency": 4,
            "resources": {"memory": "256MiB"},
            "scaling": {"max": 1, "idle_timeout": "30s"},
            "retry": {"attempts": 5, "backoff": "100ms"},
            **more,
        }

    def wild(self, **more: object) -> Json:
        """The server of functions/wild."""
        return {
            "command": [sys.executable, str(FUNCTIONS / "wild" / "server.py")],
            "concurrency": 4,
            "resources": {"memory": "256MiB"},
            "scaling": {"max": 1, "idle_timeout": "30s"},
            **more,
        }

    def kill(self, program: Program | None) -> float:
        """kill -9; the time of it."""
        assert program is not None
        at = time.time()
        program.stop(signal.SIGKILL)
        return at
