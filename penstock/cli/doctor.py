"""`penstock doctor`: looks at what Penstock needs on this machine, and says what to do about what is missing."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from dataclasses import dataclass

import typer

from penstock.cli import embedded
from penstock.cli.options import DataDir, Host, Port, RedisUrl
from penstock.errors import ConfigurationError, PenstockError
from penstock.settings import Settings, load
from penstock.store import Store


@dataclass(frozen=True)
class Finding:
    what: str
    verdict: str
    """`ok`, `warning` or `problem`."""
    text: str


_LOOK = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "problem": ("✗", "red")}


def doctor(redis_url: RedisUrl = None, data_dir: DataDir = None, host: Host = None, port: Port = None) -> None:
    """Check Redis, Docker, the GPUs and the port. Exit code 1 if something must be mended."""
    settings = load({"redis.url": redis_url, "data_dir": data_dir, "gateway.host": host, "gateway.port": port})
    findings = asyncio.run(_examine(settings))
    for finding in findings:
        mark, colour = _LOOK[finding.verdict]
        typer.secho(f"{mark} {finding.what}: {finding.text}", fg=colour)
    if any(finding.verdict == "problem" for finding in findings):
        raise typer.Exit(1)


async def _examine(settings: Settings) -> list[Finding]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return [
        Finding("Python", "ok", version),
        *await _redis(settings),
        await _docker(),
        *await _gpus(settings),
        _port(settings),
    ]


async def _redis(settings: Settings) -> list[Finding]:
    url, embedded_one = settings.redis.url, False
    if "url" not in settings.redis.model_fields_set:
        try:
            binary = embedded.binary()
        except ConfigurationError as error:
            return [Finding("Redis", "problem", str(error))]
        running = embedded.socket_url(settings.folder)
        if running is None:
            return [Finding("Redis", "ok", f"embedded, {binary}; not running now")]
        url, embedded_one = running, True
    store = Store(url, timeout=2.0)
    try:
        await store.ping()
        durability = await store.durability()
    except PenstockError as error:
        hint = "start it, or give another --redis-url"
        if embedded_one:
            return [Finding("Redis", "ok", f"embedded, {embedded.binary()}; not running now")]
        return [Finding("Redis", "problem", f"{url} does not answer ({error}); {hint}")]
    finally:
        await store.close()
    return [Finding("Redis", "warning", text) for text in durability] or [
        Finding("Redis", "ok", f"answers at {url}, keeps an append-only file, evicts nothing")
    ]


async def _docker() -> Finding:
    from workers.engines import EngineError
    from workers.engines.docker import engine_version

    try:
        return Finding("Docker", "ok", f"Engine {await asyncio.to_thread(engine_version)}")
    except EngineError as error:
        installed = shutil.which("dockerd") is not None
        hint = "start dockerd" if installed else "install docker.io"
        return Finding("Docker", "warning", f"{error}; only --engine docker needs it ({hint})")


async def _gpus(settings: Settings) -> list[Finding]:
    from workers.gpus import inventory

    source = inventory(settings.workers)
    try:
        cards = await source.read()
    finally:
        source.close()
    if not cards:
        return [Finding("GPU", "warning", f"none: {source.reason}; only functions with resources.gpu need one")]
    found = []
    for card in cards:
        what = f"{card.name or card.uuid}, {card.memory / 2**30:.0f} GiB"
        problem = f"{what}: {card.problem}" if card.problem else what
        found.append(Finding("GPU", "warning" if card.problem else "ok", problem))
    return found


def _port(settings: Settings) -> Finding:
    host, port = settings.gateway.host, settings.gateway.port
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        why = os.strerror(error.errno or 0)
        text = f"{host}:{port}: {why}; a gateway may run there already, else give another --port"
        return Finding("Port", "warning", text)
    return Finding("Port", "ok", f"{host}:{port} is free")
