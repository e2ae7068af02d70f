"""How Redis itself is: what an operator would ask it."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.errors import StoreUnavailable
from penstock.store.connection import Connection
from penstock.store.link import ReplyError

_PROBES = 20


@dataclass(frozen=True, kw_only=True)
class Health:
    """None is what this Redis does not say, or not to this user."""

    version: str
    role: str
    """`master`, or that of a replica, which takes no writes."""
    appendonly: bool
    appendfsync: str | None
    """`always`, `everysec` or `no`."""
    policy: str
    """What it does when it is full; only `noeviction` loses nothing."""
    used: int
    """Bytes."""
    limit: int | None
    """Bytes that it may use; None: it has no limit."""
    machine: int | None
    """Bytes of memory of the machine that it runs on."""
    errors: tuple[str, ...]
    """What it could not write to its disk."""
    latency_ms: float
    """Median of a few round trips."""
    ahead_ms: float
    """By how much its clock is ahead of ours, to within half a round trip."""


async def look(connection: Connection) -> Health:
    """Raises StoreUnavailable."""
    info: Mapping[str, Any] = await connection.command("INFO")
    fsync = None
    with contextlib.suppress(StoreUnavailable, ReplyError):  # a user that may not, or a service without CONFIG
        named: list[bytes] = await connection.command("CONFIG", "GET", "appendfsync")
        fsync = named[1].decode() if len(named) == 2 else None
    took, ahead = [], []
    for _ in range(_PROBES):
        sent, began = time.time(), time.perf_counter()
        seconds, microseconds = await connection.command("TIME")
        took.append(time.perf_counter() - began)
        ahead.append(int(seconds) + int(microseconds) / 1e6 - sent - took[-1] / 2)
    return Health(
        version=str(info["redis_version"]),
        role=str(info.get("role", "master")),
        appendonly=bool(info.get("aof_enabled")),
        appendfsync=fsync,
        policy=str(info.get("maxmemory_policy", "noeviction")),
        used=int(info["used_memory"]),
        limit=int(info.get("maxmemory", 0)) or None,
        machine=int(info.get("total_system_memory", 0)) or None,
        errors=tuple(what for name, what in _STATUSES.items() if info.get(name, "ok") != "ok"),
        latency_ms=statistics.median(took) * 1000,
        ahead_ms=statistics.median(ahead) * 1000,
    )


_STATUSES = {
    "aof_last_write_status": "its last write to the append-only file",
    "aof_last_bgrewrite_status": "its last rewrite of the append-only file",
    "rdb_last_bgsave_status": "its last snapshot",
}
