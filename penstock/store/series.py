"""What each function did over time: points are added by the leader and by gateways, and read for charts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from penstock import keys
from penstock.errors import Stale
from penstock.series import MINUTE_KEPT_MS, SECOND_KEPT_MS, Point
from penstock.store.connection import Connection

Stored = list[tuple[int, Point]]
"""(ms since 1970, point), in the order of time."""

_MINUTE_MS = 60_000


class Series:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, function: str, point: Mapping[str, Any], *, epoch: int | None = None) -> None:
        """Adds what happened since the last point; `epoch` is the leader's, None for a gateway. Raises Stale for a
        deposed leader. One whose reply is lost may be there: to add it again would count it twice."""
        reply = await self._connection.script(
            "point",
            [keys.seconds(function), keys.minutes(function)],
            self._connection.clock_offset,
            "" if epoch is None else epoch,
            function,
            json.dumps(point, separators=(",", ":")),
            SECOND_KEPT_MS,
            MINUTE_KEPT_MS,
        )
        if reply == b"stale":
            raise Stale(f"epoch {epoch} no longer leads")

    async def seconds(self, function: str, start_ms: int, end_ms: int) -> Stored:
        """Points of a second from start to end."""
        return await self._range(keys.seconds(function), start_ms, end_ms)

    async def minutes(self, function: str, start_ms: int, end_ms: int) -> Stored:
        """Points of a minute, and those of the last minute that has not been summed up yet."""
        minutes, seconds = await asyncio.gather(
            self._range(keys.minutes(function), start_ms, end_ms),
            self._range(keys.seconds(function), start_ms, end_ms),
        )
        summed = minutes[-1][0] + _MINUTE_MS if minutes else 0
        return minutes + [one for one in seconds if one[0] >= summed]

    async def active(self, since_ms: int) -> list[str]:
        """Functions with a point since then, the latest first."""
        names: list[bytes] = await self._connection.command("ZREVRANGEBYSCORE", keys.SERIES, "+inf", since_ms)
        return [name.decode() for name in names]

    async def _range(self, key: str, start_ms: int, end_ms: int) -> Stored:
        entries = await self._connection.command("XRANGE", key, start_ms, max(end_ms - 1, 0))
        return [(int(name.partition(b"-")[0]), json.loads(fields[b"p"])) for name, fields in entries]
