"""Names that other vendors' clients call functions by, where ours differ: with capitals, or within a service."""

from __future__ import annotations

from collections.abc import Mapping

from penstock import keys
from penstock.store.connection import Connection


class Aliases:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get(self, original: str) -> str | None:
        """The function that `service/Function`, or `Function`, is here; None: nobody deployed one of that name."""
        stored: bytes | None = await self._connection.command("HGET", keys.ALIASES, original)
        return stored.decode() if stored else None

    async def all(self) -> Mapping[str, str]:
        stored: Mapping[bytes, bytes] = await self._connection.command("HGETALL", keys.ALIASES)
        return {original.decode(): name.decode() for original, name in stored.items()}

    async def put(self, aliases: Mapping[str, str]) -> None:
        """The vendor's names -> ours."""
        for original, name in aliases.items():
            await self._connection.command("HSET", keys.ALIASES, original, name)
        await self._connection.command("INCR", keys.CHANGES)

    async def forget(self, function: str) -> None:
        """The function was deleted."""
        for original, name in (await self.all()).items():
            if name == function:
                await self._connection.command("HDEL", keys.ALIASES, original)
        await self._connection.command("INCR", keys.CHANGES)
