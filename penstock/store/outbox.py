"""Callbacks owed. `finish` writes them in the same script as the outcome, so that none is forgotten."""

from __future__ import annotations

from penstock import keys
from penstock.store.connection import Connection


class Outbox:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def claim(self, *, claim_ms: int, limit: int) -> list[tuple[str, str, int]]:
        """Callbacks that are due, as (function, id, tries so far). Each is due again when the claim runs out,
        unless `settle` or `postpone` is called first."""
        reply = await self._connection.script("claim", [], self._connection.clock_offset, claim_ms, limit)
        members = [member.decode().split() for member in reply[::2]]
        return [
            (function, invocation_id, tries)
            for (function, invocation_id), tries in zip(members, reply[1::2], strict=True)
        ]

    async def settle(self, function: str, invocation_id: str) -> None:
        """It was delivered, or will never be."""
        member = f"{function} {invocation_id}"
        await self._connection.command("ZREM", keys.OUTBOX, member)
        await self._connection.command("HDEL", keys.OUTBOX_TRIES, member)

    async def postpone(self, function: str, invocation_id: str, delay_ms: int) -> int:
        """Counts a failed try; it is due again after the delay. Returns tries made."""
        return int(
            await self._connection.script(
                "postpone", [], self._connection.clock_offset, f"{function} {invocation_id}", delay_ms
            )
        )

    async def size(self) -> int:
        """How many callbacks are owed."""
        return int(await self._connection.command("ZCARD", keys.OUTBOX))
