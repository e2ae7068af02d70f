"""Several gateways that share one port (SO_REUSEPORT): the kernel spreads the connections among them."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from functools import partial
from pathlib import Path

from penstock.cli.supervisor import Child
from penstock.errors import ConfigurationError
from penstock.settings import Settings
from penstock.startup import make_store


def check_port(settings: Settings) -> None:
    """Raises ConfigurationError if nobody can listen there now."""
    host, port = settings.gateway.host, settings.gateway.port
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}; give another --port"
        ) from None


def certificate(settings: Settings) -> dict[str, Path]:
    """What a gateway of ours is told of its certificate, by the names of the settings."""
    given = {"TLS_CERT": settings.gateway.tls_cert, "TLS_KEY": settings.gateway.tls_key}
    return {name: path.absolute() for name, path in given.items() if path is not None}


async def gateways(settings: Settings, stop: asyncio.Event, *, given: dict[str, str]) -> None:
    """Runs as many as the settings say until `stop` is set; one that dies is started again. `given`: the flags, as
    the environment of a process has them."""
    check_port(settings)
    await _check_keys(settings)
    with _reserved(settings.gateway.host, settings.gateway.port) as port:
        own = {"HOST": settings.gateway.host, "PORT": port.getsockname()[1], "PROCESSES": 1}
        own |= {"INSECURE": settings.gateway.insecure, **certificate(settings)}
        environment = (
            dict(os.environ) | given | {f"PENSTOCK_GATEWAY__{name}": str(value) for name, value in own.items()}
        )
        environment |= {"PENSTOCK_REDIS__URL": settings.redis.url, "PENSTOCK_DATA_DIR": str(settings.folder)}
        command = (sys.executable, "-P", "-m", "penstock.cli", "gateway", "--share-port")
        children = [
            Child(f"gateway {number}", partial(_numbered, command, number), environment)
            for number in range(1, settings.gateway.processes + 1)
        ]
        for child in children:
            child.start()
        watching = [asyncio.create_task(child.supervise()) for child in children]
        await stop.wait()
        await asyncio.gather(*(child.stop() for child in children if child.exit_code is None))
        for task in watching:
            task.cancel()


def _numbered(command: tuple[str, ...], number: int) -> tuple[str, ...]:
    return (*command, str(number))


def _reserved(host: str, port: int) -> socket.socket:
    """Bound and not listening: it gets no connection, and keeps the port, also one that the kernel chose, ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    reserved = socket.socket(family, socket.SOCK_STREAM)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reserved.bind((host, port))
    return reserved


async def _check_keys(settings: Settings) -> None:
    from gateway.app import check_keys

    store = make_store(settings)
    try:
        await check_keys(settings, store)
    finally:
        await store.close()
