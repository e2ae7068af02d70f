"""The gateway process: constructs the parts and serves until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from contextlib import suppress
from functools import partial

from aiohttp import web

from gateway import cors, dialects, domains, entrance, tracing
from gateway.auth import add_routes, guard
from gateway.context import GATEWAY, Gateway
from gateway.directory import Directory
from gateway.feeds import Feeds
from gateway.inner import InnerClient
from gateway.keyring import Keyring
from gateway.local import is_local
from gateway.measures import Measures
from gateway.metrics import own_exposition
from gateway.middleware import errors, measured
from gateway.observers import Observers
from gateway.pressure import Pressure
from gateway.routes import ROUTES
from gateway.siblings import Siblings
from gateway.strict import strict
from gateway.waiters import Waiters
from penstock.blobs import DirectoryBlobs
from penstock.errors import ConfigurationError, StoreUnavailable
from penstock.ids import IdMint
from penstock.listening import bind
from penstock.settings import Settings
from penstock.startup import Guard, make_store, wait_for_store
from penstock.store import Store
from penstock.tasks import Tasks
from penstock.telemetry.setup import Telemetry

log = logging.getLogger(__name__)

_SHUTDOWN = 5.0
"""Seconds that connections get to end by themselves."""


def make_app(settings: Settings, store: Store, *, number: int = 0) -> web.Application:
    """The application; its loops run while it does. `number`: of this process among those that share its port."""
    middlewares = [measured, errors, strict]
    if settings.gateway.cors_origins:
        middlewares.append(cors.preflight)
    middlewares.append(domains.serve)
    app = web.Application(middlewares=[*middlewares, guard], client_max_size=settings.gateway.max_body)
    add_routes(app, [*ROUTES, *dialects.ROUTES])
    app.on_response_prepare.append(_sign)
    if settings.gateway.cors_origins:
        app.on_response_prepare.append(cors.sign)
    app.on_cleanup.append(_close)
    observers, directory = Observers(store), Directory(store)
    name = f"gw-{secrets.token_hex(6)}"
    telemetry = Telemetry(settings.telemetry, "gateway", name)
    waiters = Waiters(store, name, observers.hint, directory.look)
    pressure, inner = Pressure(store), InnerClient()
    app[GATEWAY] = Gateway(
        store=store,
        settings=settings.gateway,
        cost=settings.cost,
        mint=IdMint(settings.secret),
        blobs=DirectoryBlobs(settings.folder / "blobs"),
        directory=directory,
        keyring=Keyring(
            store,
            admin_key=settings.gateway.admin_key,
            closed=not is_local(settings.gateway.host) and not settings.gateway.insecure,
        ),
        waiters=waiters,
        observers=observers,
        feeds=Feeds(store),
        inner=inner,
        pressure=pressure,
        measures=Measures(telemetry.metrics, store, waiters, pressure),
        siblings=Siblings(settings.folder, number, inner),
        telemetry=telemetry,
        egress=settings.callbacks.egress,
        tasks=Tasks(),
    )
    return app


async def run(settings: Settings, stop: asyncio.Event, *, number: int = 0) -> None:
    """Serves until `stop` is set; with a `number`, on a port that others share.

    Raises ConfigurationError when it may or can not listen.
    """
    host, port = settings.gateway.host, settings.gateway.port
    check(settings)
    store = make_store(settings)
    app = make_app(settings, store, number=number)
    await check_keys(settings, store)
    if settings.mode == "production":
        await wait_for_store(store, stop, production=True)
    guard = Guard(store, stop)
    await guard.look()
    gateway = app[GATEWAY]
    gateway.telemetry.begin(store)
    gateway.tasks.loop("schema", guard.watch)
    gateway.tasks.loop("waiters", gateway.waiters.listen)
    gateway.tasks.loop("late waiters", gateway.waiters.look_again)
    gateway.tasks.loop("observers", gateway.observers.look)
    gateway.tasks.loop("pressure", gateway.pressure.watch)
    gateway.tasks.loop("directory", gateway.directory.watch)
    gateway.tasks.loop("refusals", gateway.measures.tell)
    gateway.tasks.loop("keyring", gateway.keyring.watch)
    gateway.tasks.loop("uses of keys", gateway.keyring.keep_uses)
    certificate = entrance.certificate(settings.gateway)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=_SHUTDOWN)
    await runner.setup()
    listener = entrance.listener(runner, settings.gateway, certificate)
    gateway.measures.watch(listener)
    gateway.tasks.loop("connections", listener.watch)
    if certificate is not None:
        gateway.tasks.loop("certificate", certificate.watch)
    try:
        guard.check()
        await gateway.siblings.open(partial(own_exposition, gateway))
        listener.listen(*bind(host, port, share=bool(number)))
        log.info("listening on %s:%d", host, port)
        await stop.wait()
        guard.check()
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)} (choose another --port)"
        ) from error
    finally:
        gateway.waiters.close()
        gateway.observers.close()
        gateway.feeds.close()
        await gateway.siblings.close()
        await listener.close()
        await runner.cleanup()
        await gateway.tasks.stop()
        await gateway.telemetry.close()
        with suppress(StoreUnavailable):
            await gateway.keyring.write_uses()
        await store.close()


async def _close(app: web.Application) -> None:
    await app[GATEWAY].inner.close()


async def _sign(request: web.Request, response: web.StreamResponse) -> None:
    headers = response.headers
    headers["Server"] = "penstock"  # not which versions of what
    if "Penstock-Cold-Start" not in headers:  # what a function answers is its own
        headers.setdefault("X-Content-Type-Options", "nosniff")
        headers.setdefault("Cache-Control", "no-store")
    tracing.sign(request, response)


def check(settings: Settings) -> None:
    """Raises ConfigurationError for what must not be started."""
    if not settings.secret:
        raise ConfigurationError("no secret for ids: set PENSTOCK_SECRET to the same random text on every process")
    entrance.check(settings.gateway)


async def check_keys(settings: Settings, store: Store) -> None:
    """Raises ConfigurationError where others could reach a gateway that knows no keys."""
    gateway = settings.gateway
    if gateway.insecure or is_local(gateway.host) or gateway.admin_key:
        return
    try:
        if await store.access.any():
            return
        why = "there are no keys"
    except StoreUnavailable as error:
        why = f"whether there are keys nobody can say ({error})"
    raise ConfigurationError(
        f"{gateway.host} is reachable by others and {why}: make one with `penstock keys create NAME --admin`, "
        f"listen on 127.0.0.1, or say --insecure if you mean it"
    )
