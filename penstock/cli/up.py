"""`penstock up`: everything on one machine, with one command.

Redis, the gateway and the workers as processes of ours. What they keep is in the data-dir: a second start on
the same one finds the jobs of the first.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import secrets
import signal
import socket
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from penstock import specfile, webhooks
from penstock.cli import banner, deploy, embedded, fleet, options
from penstock.cli.options import DataDir, Engine, Host, Insecure, Port, RedisUrl, Set, TlsCert, TlsKey
from penstock.cli.supervisor import Child
from penstock.egress import LOOPBACK
from penstock.errors import ConfigurationError, StoreUnavailable
from penstock.settings import Settings, environment, load
from penstock.specfile import SpecFile
from penstock.startup import settle
from penstock.store import Store
from penstock.telemetry import logs

_REDIS_START = 60.0
"""Seconds that Redis may take to read its data."""


def up(
    file: Annotated[Path | None, typer.Option("-f", "--file", help="Spec file to deploy.")] = None,
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    engine: Engine = None,
    redis_url: RedisUrl = None,
    insecure: Insecure = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    set_: Set = None,
) -> None:
    """Run everything on this machine: Redis, gateway, workers."""
    from gateway import app as gateway_app

    named: dict[str, Any] = {"gateway.host": host, "gateway.port": port, "gateway.insecure": insecure}
    named |= {"gateway.tls_cert": tls_cert, "gateway.tls_key": tls_key}
    named |= {"workers.engine": engine, "redis.url": redis_url, "data_dir": data_dir}
    flags = options.flags(set_, named)
    wanted = specfile.read(file) if file is not None else SpecFile(functions={}, domains={})
    settings = load(flags)
    folder = settings.folder
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with embedded.lock(folder):
        settings = load({**flags, **_kept(settings, folder)})
        gateway_app.check(settings)
        fleet.check_port(settings)
        own_redis = "url" not in settings.redis.model_fields_set
        logs.set_up(settings.telemetry.log_format, text="penstock: %(message)s", level="WARNING")
        asyncio.run(_Up(settings, wanted, own_redis, environment(flags)).run())


class _Up:
    def __init__(self, settings: Settings, wanted: SpecFile, own_redis: bool, given: dict[str, str]) -> None:
        """`given`: the flags, as the environment of our processes has them."""
        self._settings = settings
        self._wanted = wanted
        self._specs = wanted.functions
        folder = settings.folder
        self._url = f"unix://{embedded.socket_path(folder)}" if own_redis else settings.redis.url
        self._workers_id = "up-" + hashlib.sha256(f"{socket.gethostname()}{folder}".encode()).hexdigest()[:16]
        self._store = Store(self._url)
        ours = self._environment(given)
        own = (sys.executable, "-P", "-m", "penstock.cli")
        self._redis = Child("redis", lambda: embedded.command(folder), dict(os.environ)) if own_redis else None
        self._workers = Child("workers", lambda: (*own, "workers"), ours, self._bury)
        self._gateway = Child("gateway", lambda: (*own, "gateway"), ours)
        self._stop = asyncio.Event()

    async def run(self) -> None:
        from gateway.app import check_keys

        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal)
        watching = []
        try:
            if self._redis is not None:
                self._redis.start()
                watching.append(asyncio.create_task(self._redis.supervise()))
            await self._until_redis_answers()
            await settle(self._store)
            await check_keys(self._settings, self._store)
            # Nobody else holds the lock, so whatever ran under our name is dead.
            await self._bury()
            await deploy.put(self._store, self._wanted)
            self._workers.start()
            self._gateway.start()
            watching += [asyncio.create_task(child.supervise()) for child in (self._workers, self._gateway)]
            await self._welcome()
            await self._stop.wait()
        finally:
            await self._shut_down(watching)

    async def _welcome(self) -> None:
        """Waits until functions can be invoked, and says how."""
        banner.starting(self._settings, self._specs)
        ready = asyncio.create_task(deploy.until_ready(self._store, list(self._specs)))
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait([ready, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if ready.done():
            admin_key = self._settings.gateway.admin_key
            keyed = bool(admin_key) or await self._store.access.any()
            banner.ready(self._settings, self._specs, failed=ready.result(), keyed=keyed)
        ready.cancel()

    async def _until_redis_answers(self) -> None:
        deadline = asyncio.get_running_loop().time() + _REDIS_START
        while True:
            try:
                return await self._store.ping()
            except StoreUnavailable as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise ConfigurationError(f"no Redis answers at {self._url}: {error}") from error
            if self._redis is not None and self._redis.exit_code is not None:
                log = self._settings.folder / "redis" / "redis.log"
                raise ConfigurationError(f"the embedded Redis does not start; {log} says why")
            await asyncio.sleep(0.02)

    async def _bury(self) -> None:
        """The workers process is dead: what it ran goes back to the queue at once, not when its lease ends."""
        try:
            await self._store.leadership.bury(self._workers_id)
        except StoreUnavailable as error:
            logging.getLogger(__name__).warning("leases are left to run out: %s", error)

    async def _shut_down(self, watching: list[asyncio.Task[None]]) -> None:
        if self._gateway.started:
            banner.stopping()
        for child in (self._gateway, self._workers, self._redis):
            if child is not None:
                await child.stop() if child.exit_code is None else None
        for task in watching:
            task.cancel()
        await self._store.close()

    def _on_signal(self) -> None:
        if self._stop.is_set():
            os._exit(1)  # a second signal: everything ends now, since our end kills the rest
        self._stop.set()

    def _environment(self, given: dict[str, str]) -> dict[str, str]:
        from gateway.local import is_local

        settings = self._settings
        ours: dict[str, Any] = {
            "DATA_DIR": settings.folder,
            "SECRET": settings.secret,
            "REDIS__URL": self._url,
            "GATEWAY__HOST": settings.gateway.host,
            "GATEWAY__PORT": settings.gateway.port,
            "GATEWAY__INSECURE": settings.gateway.insecure,
            **{f"GATEWAY__{name}": path for name, path in fleet.certificate(settings).items()},
            "WORKERS__ENGINE": settings.workers.engine,
            "WORKERS__ID": self._workers_id,
            # What a clean stop leaves running nobody would find again.
            "WORKERS__ADOPT": False,
            "CALLBACKS__SECRET": settings.callbacks.secret,
        }
        if is_local(settings.gateway.host) and "allow" not in settings.callbacks.model_fields_set:
            # Whoever can call this gateway is on this machine, and so is the receiver of the README.
            ours["CALLBACKS__ALLOW"] = " ".join(map(str, LOOPBACK))
        return dict(os.environ) | given | {f"PENSTOCK_{name}": str(value) for name, value in ours.items()}


def _kept(settings: Settings, folder: Path) -> dict[str, str]:
    """The secrets of this deployment: those given, else those of the data-dir, made at the first start."""
    return {
        "secret": settings.secret or _secret_file(folder / "secret", secrets.token_hex(32)),
        "callbacks.secret": settings.callbacks.secret
        or _secret_file(folder / "callback-secret", webhooks.new_secret()),
    }


def _secret_file(path: Path, fresh: str) -> str:
    kept = path.read_text().strip() if path.exists() else ""
    if not kept:
        # Written aside and renamed, so that a crash leaves no half of it.
        partial = path.with_name(path.name + ".partial")
        partial.touch(mode=0o600)
        partial.write_text(fresh + "\n")
        partial.rename(path)
    return kept or fresh
