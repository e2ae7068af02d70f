"""The workers process: waits to lead, leads, and stops."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Sequence
from pathlib import Path

from penstock.settings import Settings
from penstock.startup import Guard, make_store, wait_for_store
from penstock.store import Store
from penstock.tasks import Tasks
from penstock.telemetry import catalogue as the
from penstock.telemetry.setup import Telemetry
from workers.contact import Contact
from workers.engines import Engine
from workers.engines.docker import DockerEngine
from workers.engines.process import ProcessEngine
from workers.leader import Leader
from workers.ops import Ops
from workers.reign import Reign

log = logging.getLogger(__name__)


def make_engine(settings: Settings, deployment: str) -> Engine:
    """The engine that the settings name."""
    if settings.workers.engine == "docker":
        made_on, network = settings.docker.base_image, settings.docker.build_network
        return DockerEngine(
            deployment=deployment,
            base_image=made_on,
            build_network=network,
            standbys=settings.docker.standbys,
            standby_keep=settings.docker.standby_keep,
            secrets=settings.secrets_folder,
            volume_roots=_volume_roots(settings),
            only_digests=settings.mode == "production" and not settings.docker.allow_tags,
        )
    return ProcessEngine(
        data_dir=settings.folder,
        deployment=deployment,
        fork_servers=settings.workers.fork_servers,
        secrets=settings.secrets_folder,
    )


def _volume_roots(settings: Settings) -> Sequence[Path] | None:
    """Below these are the folders that may be mounted; None: all but the system's own."""
    given = settings.docker.volume_roots
    if given is None and settings.mode == "production":
        return ()
    return given


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Runs until `stop` is set; what runs then is finished first. Raises EngineError if there is no engine."""
    owner = settings.workers.id or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    store = make_store(settings)
    telemetry = Telemetry(settings.telemetry, "workers", owner)
    telemetry.begin(store)
    ops = Ops(telemetry, settings.workers.ops) if settings.workers.ops else None
    watching = Tasks()
    try:
        if ops is not None:
            await ops.open()
        await wait_for_store(store, stop, production=settings.mode == "production")
        if stop.is_set():
            return
        deployment = await store.deployment(secrets.token_hex(4))
        contact = Contact()
        guard = Guard(store, stop)
        watching.loop("schema", guard.watch)
        while not stop.is_set():
            await _lead(settings, store, make_engine(settings, deployment), owner, contact, telemetry, stop)
        guard.check()
    finally:
        await watching.stop()
        await telemetry.close()
        if ops is not None:
            await ops.close()
        await store.close()


async def _lead(
    settings: Settings,
    store: Store,
    engine: Engine,
    owner: str,
    contact: Contact,
    telemetry: Telemetry,
    stop: asyncio.Event,
) -> None:
    """Waits for leadership and holds it until it is lost or the process stops."""
    leader = Leader(store.leadership, owner, contact)
    forget = telemetry.metrics.ask(leader.gauges)
    lease = Tasks()
    lease.loop("leader", leader.run)
    stopping = asyncio.create_task(stop.wait())
    elected = asyncio.create_task(leader.elected.wait())
    lost = asyncio.create_task(leader.lost.wait())
    try:
        await asyncio.wait([elected, stopping], return_when=asyncio.FIRST_COMPLETED)
        if leader.epoch is None:
            return
        telemetry.metrics.counter(the.ELECTED).add()
        await engine.open()  # before anything is made that would have to be closed if there is none
        reign = Reign(settings, store, engine, leader, contact, telemetry, leader.epoch)
        await reign.begin()
        await asyncio.wait([lost, stopping], return_when=asyncio.FIRST_COMPLETED)
        await reign.end(graceful=not lost.done())
    finally:
        for task in (stopping, elected, lost):
            task.cancel()
        forget()
        await lease.stop()
        await leader.resign()
