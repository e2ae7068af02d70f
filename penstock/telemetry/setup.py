"""Telemetry of one process: constructed first, closed last."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import TYPE_CHECKING

from penstock.settings import TelemetrySettings
from penstock.store import Store
from penstock.tasks import Tasks
from penstock.telemetry import catalogue as the
from penstock.telemetry import exposition
from penstock.telemetry.metrics import Metrics
from penstock.telemetry.process import Process, RoundTrips
from penstock.telemetry.traces import open_traces

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

    from penstock.telemetry.otlp import Otlp


class Telemetry:
    def __init__(self, settings: TelemetrySettings, service: str, instance: str) -> None:
        """`service` is gateway or workers; `instance` tells this process from its like."""
        self.settings = settings
        self.service = service
        self._instance = instance
        self.metrics = Metrics(enabled=settings.enabled)
        self._tasks = Tasks()
        self._otlp: Otlp | None = None
        self.traces = open_traces(settings, lambda: self.resource)

    @cached_property
    def resource(self) -> Resource:
        """Who speaks, for whatever is exported. Made on demand: the SDK starts threads for it."""
        from penstock.telemetry.resource import resource

        return resource(self.service, self._instance)

    def begin(self, store: Store) -> None:
        """Watches this process and its store, and exports what the settings ask for."""
        if not self.settings.enabled:
            return
        self._tasks.loop("event loop lag", Process(self.metrics, self.service).beat)
        store.watch_trips(RoundTrips(self.metrics, self.service))
        cancelled = self.metrics.counter(the.CANCELLED, self.service)
        store.queue.on_cancelled = lambda function: cancelled.add()
        if self.settings.otlp_endpoint:
            # The SDK and its exporter take 10 MB and a fifth of a second; most have no receiver.
            from penstock.telemetry.otlp import Otlp

            endpoint, interval = self.settings.otlp_endpoint, self.settings.otlp_interval
            self._otlp = Otlp(self.metrics, self.resource, endpoint, interval=interval)
            self._tasks.loop("metrics export", self._otlp.run)

    async def exposition(self, more: str = "") -> str:
        """All metrics in Prometheus's text format; `more` are labels on each series, as `exposition.pair` writes
        them."""
        text: list[str] = []
        for family in await self.metrics.read():
            text += exposition.lines(family, more)
            await asyncio.sleep(0)  # calls go on between two families
        return "".join(f"{line}\n" for line in text)

    async def close(self) -> None:
        """Sends what has not been sent yet."""
        await self._tasks.stop()
        if self._otlp is not None:
            await self._otlp.close()
        await self.traces.close()
