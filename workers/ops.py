"""What operators ask a workers process: its metrics and whether it lives, on a listener of its own
(`workers.ops`), and its metrics on the inner listener, for a gateway of the same machine to show with its own."""

from __future__ import annotations

import os

from aiohttp import web

from penstock.errors import ConfigurationError
from penstock.telemetry.exposition import CONTENT_TYPE
from penstock.telemetry.setup import Telemetry


def metrics_route(telemetry: Telemetry, path: str) -> web.RouteDef:
    """GET on this path: all metrics of this process, in Prometheus's text format."""

    async def metrics(request: web.Request) -> web.Response:
        text = await telemetry.exposition()
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})

    return web.get(path, metrics)


class Ops:
    def __init__(self, telemetry: Telemetry, address: str) -> None:
        """`address` is HOST:PORT."""
        self._address = address
        app = web.Application()
        app.router.add_get("/healthz", _healthz)
        if telemetry.settings.enabled:
            app.router.add_routes([metrics_route(telemetry, "/metrics")])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def open(self) -> None:
        """Raises ConfigurationError if nobody can listen there."""
        host, _, port = self._address.rpartition(":")
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host.strip("[]"), int(port)).start()
        except OSError as error:
            raise ConfigurationError(
                f"workers.ops: cannot listen on {self._address}: {os.strerror(error.errno or 0)}"
            ) from None

    async def close(self) -> None:
        await self._runner.cleanup()


async def _healthz(request: web.Request) -> web.Response:
    """200 as long as this process serves."""
    return web.json_response({"status": "ok"})
