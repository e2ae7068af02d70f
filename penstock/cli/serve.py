"""`penstock gateway` and `penstock workers`: one process each, for those who bring their own Redis."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any

import typer
import uvloop

from penstock.cli import fleet, options
from penstock.cli.options import DataDir, Engine, Host, Insecure, Port, Processes, RedisUrl, Set, TlsCert, TlsKey
from penstock.settings import Settings, environment, load
from penstock.telemetry import logs


def gateway(
    host: Host = None,
    port: Port = None,
    processes: Processes = None,
    insecure: Insecure = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    redis_url: RedisUrl = None,
    data_dir: DataDir = None,
    set_: Set = None,
    number: Annotated[int, typer.Option("--share-port", hidden=True)] = 0,
) -> None:
    """Serve the HTTP interface."""
    from gateway import app

    named: dict[str, Any] = {"gateway.host": host, "gateway.port": port, "gateway.insecure": insecure}
    named |= {"gateway.tls_cert": tls_cert, "gateway.tls_key": tls_key}
    named |= {"gateway.processes": processes, "redis.url": redis_url, "data_dir": data_dir}
    flags = options.flags(set_, named)
    settings = load(flags)
    app.check(settings)
    if settings.gateway.processes > 1:
        serve("gateway", settings, partial(fleet.gateways, given=environment(flags)))
    else:
        serve("gateway", settings, partial(app.run, number=number))


def workers(
    engine: Engine = None,
    redis_url: RedisUrl = None,
    data_dir: DataDir = None,
    set_: Set = None,
) -> None:
    """Run the pool: start and stop instances, bring them work."""
    from workers import app

    named = {"workers.engine": engine, "redis.url": redis_url, "data_dir": data_dir}
    settings = load(options.flags(set_, named))
    serve("workers", settings, app.run)


def serve(name: str, settings: Settings, run: Callable[[Settings, asyncio.Event], Awaitable[None]]) -> None:
    """Runs a process until SIGTERM or SIGINT; the second signal ends it at once."""
    text, level = (
        f"%(asctime)s {name:<7} %(levelname)-7s %(message)s",
        os.environ.get("PENSTOCK_LOG_LEVEL", "INFO"),
    )
    logs.set_up(settings.telemetry.log_format, text=text, level=level)

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
