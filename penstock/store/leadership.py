"""Who leads: one workers process per deployment owns the pool and dispatches."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from penstock import keys
from penstock.store.connection import Connection
from penstock.store.known import known

LEASE_MS = 10_000


@dataclass(frozen=True)
class Inner:
    """Where gateways reach the leader, beside what openings of answers say."""

    address: str
    """unix:/path or http://host:port."""
    logs_path: str
    """Path of an instance's log, with the right to read it; `{instance}` stands for its id."""
    metrics_path: str = ""
    """Path of the leader's metrics, likewise; empty: it has none."""


class Leadership:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def lead(self, owner: str, epoch: int | None = None, *, lapsed: bool = True) -> int | None:
        """Takes the lease, or renews it for the `epoch` under which the owner leads already. Returns the epoch;
        None while another owner holds the lease, or when that epoch is over. A lease that ran out without being
        resigned is taken only if `lapsed`."""
        reply = await self._connection.script(
            "lead", [], self._connection.clock_offset, owner, LEASE_MS, epoch or 0, int(lapsed)
        )
        return int(reply[0]) or None

    async def announce(self, epoch: int, inner: Inner) -> None:
        """Says where gateways reach the leader of this epoch; without effect for one that is deposed."""
        await self._connection.script("announce", [], epoch, json.dumps(asdict(inner)))

    async def inner(self) -> Inner | None:
        """Where the leader is reached; None: it has not said yet."""
        told: bytes | None = await self._connection.command("HGET", keys.LEADER, "inner")
        return Inner(**known(Inner, json.loads(told))) if told else None

    async def resign(self, owner: str) -> int | None:
        """Ends the owner's lease at once; returns its epoch, None if it did not lead."""
        return int(await self._connection.script("resign", [], owner)) or None

    async def current(self) -> tuple[str, int, bool]:
        """Owner, epoch, and whether its lease still runs by Redis's clock; ("", 0, False) before the first."""
        owner, epoch, until = await self._connection.command("HMGET", keys.LEADER, "owner", "epoch", "until")
        if owner is None:
            return "", 0, False
        seconds, microseconds = await self._connection.command("TIME")
        now_ms = int(seconds) * 1000 + int(microseconds) // 1000 + self._connection.clock_offset
        return owner.decode(), int(epoch), int(until) > now_ms

    async def bury(self, owner: str) -> int:
        """For a supervisor that saw the owner die: frees its leadership and the leases of all that it ran.

        Returns how many runs were freed; the next sweep sends them back to the queue.
        """
        epoch = await self.resign(owner)
        if epoch is None:
            return 0
        active: list[bytes] = await self._connection.command("ZRANGE", keys.ACTIVE, 0, -1)
        freed = 0
        for name in (member.decode() for member in active):
            freed += int(
                await self._connection.script("free", [keys.running(name), keys.record_prefix(name)], name, epoch)
            )
        return freed
