"""Where functions, invocations and pools are kept: Redis, behind one door.

Only this package imports redis. A state transition of an invocation is one Lua script (penstock/lua).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from penstock import keys
from penstock.store.access import Access
from penstock.store.aliases import Aliases
from penstock.store.batches import Batches
from penstock.store.catalog import Catalog
from penstock.store.connection import REDIS_ERRORS, Connection
from penstock.store.controls import Controls
from penstock.store.deliveries import Deliveries
from penstock.store.domains import Domains
from penstock.store.events import Events
from penstock.store.health import Health, look
from penstock.store.invocations import Invocations
from penstock.store.leadership import Leadership
from penstock.store.meters import Meters
from penstock.store.outbox import Outbox
from penstock.store.pools import FloorView, Pools, PoolView
from penstock.store.queue import LEASE_MS, Queue, Retention, Sweep
from penstock.store.schema import Schema
from penstock.store.series import Series
from penstock.store.topics import Topics
from penstock.store.triggers import Triggers
from penstock.store.versions import VersionStore

__all__ = ["LEASE_MS", "REDIS_ERRORS", "FloorView", "PoolView", "Retention", "Store", "Sweep"]


class Store:
    """All of it, over one connection."""

    def __init__(
        self,
        url: str,
        *,
        retention: Retention | None = None,
        clock_offset: int = 0,
        timeout: float = 5.0,
    ) -> None:
        self._connection = Connection(url, clock_offset=clock_offset, timeout=timeout)
        self.queue = Queue(self._connection, retention)
        self.invocations = Invocations(self._connection)
        self.events = Events(self._connection)
        self.batches = Batches(self._connection, retention)
        self.access = Access(self._connection)
        self.aliases = Aliases(self._connection)
        self.catalog = Catalog(self._connection)
        self.controls = Controls(self._connection)
        self.domains = Domains(self._connection)
        self.versions = VersionStore(self._connection)
        self.leadership = Leadership(self._connection)
        self.meters = Meters(self._connection)
        self.pools = Pools(self._connection)
        self.series = Series(self._connection)
        self.outbox = Outbox(self._connection)
        self.deliveries = Deliveries(self._connection)
        self.topics = Topics(self._connection)
        self.triggers = Triggers(self._connection, self.topics)
        self.schema = Schema(self._connection)

    def watch_trips(self, on_trip: Callable[[float, int, bool], None]) -> None:
        """`on_trip` hears of each round trip: seconds, commands that it carried, whether Redis answered."""
        self._connection.on_trip = on_trip

    async def ping(self) -> None:
        """Raises StoreUnavailable if Redis does not answer."""
        await self._connection.command("PING")

    async def deployment(self, candidate: str) -> str:
        """The id of this deployment: the candidate if it has none yet."""
        await self._connection.command("SET", keys.DEPLOYMENT, candidate, "NX")
        stored: bytes = await self._connection.command("GET", keys.DEPLOYMENT)
        return stored.decode()

    async def health(self) -> Health:
        """How Redis itself is. Raises StoreUnavailable."""
        return await look(self._connection)

    async def durability(self) -> list[str]:
        """What keeps an acknowledged job from surviving; empty when nothing does."""
        problems = []
        info: dict[str, object] = await self._connection.command("INFO", "persistence")
        if not info.get("aof_enabled"):
            problems.append("Redis has no append-only file: a restart of it loses jobs (set appendonly yes)")
        memory: dict[str, object] = await self._connection.command("INFO", "memory")
        policy = str(memory.get("maxmemory_policy", "noeviction"))
        if policy != "noeviction":
            problems.append(f"Redis may evict jobs: maxmemory-policy is {policy} (set it to noeviction)")
        return problems

    async def refusal(self) -> str | None:
        """Why Redis takes no writes although it answers; None: it takes them."""
        info: dict[str, object] = await self._connection.command("INFO", "persistence")
        if info.get("aof_last_write_status", "ok") != "ok":
            return "Redis cannot write its append-only file and refuses all work: is its disk full?"
        return None

    async def memory(self) -> tuple[int, int | None]:
        """Bytes that Redis uses, and may use; None: it has no limit."""
        memory: dict[str, Any] = await self._connection.command("INFO", "memory")
        return int(memory["used_memory"]), int(memory.get("maxmemory", 0)) or None

    async def has_gateways(self) -> bool:
        """Whether any gateway listens now for what is published to it. One whose connection broke does not."""
        return bool(await self._connection.command("PUBSUB", "CHANNELS", keys.reply("*")))

    def wakes(self) -> AsyncIterator[tuple[str, bytes]]:
        """Hints for the leader: (keys.WAKE, a function, b"!cancel" or b"!owed") and (keys.CHANGED, function)."""
        return self._connection.messages(keys.WAKE, keys.CHANGED)

    def feed(self, function: str) -> AsyncIterator[tuple[str, bytes]]:
        """Hints of all that happens to a function's invocations: "<id> <state or progress> <attempt>[ JSON]"."""
        return self._connection.messages(keys.feed(function))

    def replies(self, gateway: str) -> AsyncIterator[tuple[str, bytes]]:
        """Hints for a gateway: (its channel, an outcome) and (keys.CHANGED, function)."""
        return self._connection.messages(keys.reply(gateway), keys.CHANGED)

    async def close(self) -> None:
        await self._connection.close()
