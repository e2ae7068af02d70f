"""Custom domains: host names -> where their paths lead."""

from __future__ import annotations

from collections.abc import Mapping

from penstock import keys
from penstock.domains import Domain
from penstock.store.connection import Connection


class Domains:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def all(self) -> Mapping[str, Domain]:
        stored: Mapping[bytes, bytes] = await self._connection.command("HGETALL", keys.DOMAINS)
        return {name.decode(): Domain.model_validate_json(stored[name], extra="ignore") for name in sorted(stored)}

    async def put(self, name: str, domain: Domain, *, new: bool = False) -> bool:
        """True if there was none of that name. `new`: False changes nothing then."""
        command = "HSETNX" if new else "HSET"
        added = bool(await self._connection.command(command, keys.DOMAINS, name, domain.model_dump_json()))
        await self._changed()
        return added

    async def remove(self, name: str) -> bool:
        """False if there was none."""
        removed = bool(await self._connection.command("HDEL", keys.DOMAINS, name))
        await self._changed()
        return removed

    async def _changed(self) -> None:
        await self._connection.command("INCR", keys.CHANGES)
        await self._connection.command("PUBLISH", keys.CHANGED, "")
