"""Telemetry of one process: constructed first, closed last."""

from __future__ import annotations

from penstock.settings import TelemetrySettings
from penstock.telemetry.resource import resource


class Telemetry:
    def __init__(self, settings: TelemetrySettings, service: str, instance: str) -> None:
        """`service` is gateway or workers; `instance` tells this process from its like."""
        self.settings = settings
        self.resource = resource(service, instance)

    async def close(self) -> None:
        """Sends what has not been sent yet."""
