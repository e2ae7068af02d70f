"""`penstock gateway` and `penstock workers`: one process each, for those who bring their own Redis."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable

import uvloop

from penstock.cli.options import DataDir, Engine, Host, Insecure, Port, RedisUrl
from penstock.settings import Settings, load


def gateway(
    host: Host = None,
    port: Port = None,
    insecure: Insecure = None,
    redis_url: RedisUrl = None,
    data_dir: DataDir = None,
) -> None:
    """Serve the HTTP interface."""
    from gateway import app

    flags = {"gateway.host": host, "gateway.port": port, "gateway.insecure": insecure}
    settings = load({**flags, "redis.url": redis_url, "data_dir": data_dir})
    app.check(settings)
    serve("gateway", settings, app.run)


def workers(
    engine: Engine = None,
    redis_url: RedisUrl = None,
    data_dir: DataDir = None,
) -> None:
    """Run the pool: start and stop instances, bring them work."""
    from workers import app

    settings = load({"workers.engine": engine, "redis.url": redis_url, "data_dir": data_dir})
    serve("workers", settings, app.run)


def serve(name: str, settings: Settings, run: Callable[[Settings, asyncio.Event], Awaitable[None]]) -> None:
    """Runs a process until SIGTERM or SIGINT; the second signal ends it at once."""
    logging.basicConfig(
        level=os.environ.get("PENSTOCK_LOG_LEVEL", "INFO"),
        format=f"%(asctime)s {name:<7} %(levelname)-7s %(message)s",
        datefmt="%H:%M:%S",
    )
    logging.getLogger("arq").setLevel(logging.WARNING)

    async def main() -> None:
        stop = asyncio.Event()

        def on_signal() -> None:
            if stop.is_set():
                os._exit(1)
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, on_signal)
        await run(settings, stop)

    uvloop.run(main())
