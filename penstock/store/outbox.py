"""What callbacks are to be told. The scripts that change an invocation write it in the same step, so that nothing
is forgotten; `Deliveries.owe` takes it out."""

from __future__ import annotations

from penstock import keys
from penstock.store.connection import Connection


class Outbox:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def claim(self, *, claim_ms: int, limit: int) -> list[tuple[str, str, str]]:
        """What is due, as (function, id, what happened). Each is due again when the claim runs out, unless it has
        become deliveries."""
        due = await self._connection.script("claim", [], self._connection.clock_offset, claim_ms, limit)
        members = [member.decode().split() for member in due]
        return [(function, named, what) for function, named, what in members]

    async def size(self) -> int:
        """How much is to be told and no delivery yet."""
        return int(await self._connection.command("ZCARD", keys.OUTBOX))
