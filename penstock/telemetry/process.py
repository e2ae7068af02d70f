"""What every process of ours tells of itself: its version, its event loop, its time and memory, and Redis as it
sees it."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Iterable
from pathlib import Path

from penstock import __version__, clock
from penstock.telemetry import catalogue as the
from penstock.telemetry.metrics import Gauge, Metrics

_BEAT = 0.25


class Process:
    def __init__(self, metrics: Metrics, service: str) -> None:
        self._metrics = metrics
        self._service = service
        self._lag = metrics.histogram(the.LAG, service)
        self._cpu = metrics.counter(the.CPU, service)
        metrics.ask(self._gauges)

    async def beat(self) -> None:
        """Loop: how much later than it asked for it is woken."""
        while True:
            due = clock.monotonic() + _BEAT
            await asyncio.sleep(_BEAT)
            self._lag.record(max(clock.monotonic() - due, 0.0))

    async def _gauges(self) -> Iterable[Gauge]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        self._cpu.value = used.ru_utime + used.ru_stime
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return [
            Gauge(the.UP, (self._service, __version__), 1),
            Gauge(the.RESIDENT, (self._service,), pages * os.sysconf("SC_PAGE_SIZE")),
        ]


class RoundTrips:
    """To Redis, as a store tells of them."""

    def __init__(self, metrics: Metrics, service: str) -> None:
        self._service = service
        self._up: bool | None = None
        """None: nothing was asked yet."""
        self._took = metrics.histogram(the.REDIS_TIME, service)
        self._commands = metrics.counter(the.REDIS_COMMANDS, service)
        self._errors = metrics.counter(the.REDIS_ERRORS, service)
        self._reconnects = metrics.counter(the.REDIS_RECONNECTS, service)
        metrics.ask(self._gauges)

    def __call__(self, seconds: float, commands: int, answered: bool) -> None:
        """One has ended."""
        self._commands.add(commands)
        if answered:
            self._took.record(seconds)
            if self._up is False:
                self._reconnects.add()
        else:
            self._errors.add()
        self._up = answered

    async def _gauges(self) -> Iterable[Gauge]:
        return [] if self._up is None else [Gauge(the.REDIS_UP, (self._service,), self._up)]
