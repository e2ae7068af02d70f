"""What each function used on each day: added by the leader, read for bills."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, fields

from penstock import keys
from penstock.errors import Stale
from penstock.store.connection import Connection
from penstock.usage import KEPT_DAYS, Usage


class Meters:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, function: str, day: str, usage: Usage, *, epoch: int, batch: str) -> None:
        """Adds to what a function used on a UTC day. The same `batch` again changes nothing, unless another came
        in between. Raises Stale for a deposed leader."""
        used = [part for name, amount in asdict(usage).items() if amount for part in (name, amount)]
        reply = await self._connection.script(
            "meter", [keys.meter(function, day)], epoch, batch, function, day, KEPT_DAYS * 86_400, *used
        )
        if reply == b"stale":
            raise Stale(f"epoch {epoch} no longer leads")

    async def get(self, day: str) -> Mapping[str, Usage]:
        """What every function used on a UTC day; those that used nothing are not in it."""
        members: list[bytes] = await self._connection.command("SMEMBERS", keys.metered(day))
        names = sorted(member.decode() for member in members)
        commands = (self._connection.command("HGETALL", keys.meter(name, day)) for name in names)
        return dict(zip(names, map(_usage, await asyncio.gather(*commands)), strict=True))


def _usage(stored: Mapping[bytes, bytes]) -> Usage:
    return Usage(**{field.name: int(stored.get(field.name.encode(), 0)) for field in fields(Usage)})
