"""What is known of invocations: reads of records and listings, which change nothing that counts.

Every method raises StoreUnavailable when Redis cannot be reached or cannot serve.
"""

from __future__ import annotations

import asyncio

from penstock import ids, keys
from penstock.invocation import Ending, Invocation, Opening
from penstock.store import records
from penstock.store.connection import Connection


class Invocations:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get(self, function: str, invocation_id: str) -> Invocation | None:
        """The record without its bodies; None if there is none."""
        values = await self._connection.command(
            "HMGET", keys.record(function, invocation_id), *records.VIEW_FIELDS
        )
        return records.decode_invocation(function, invocation_id, values)

    async def ending(self, function: str, invocation_id: str) -> Ending | None:
        """How it ended, with the answer's body; None if it has not, or if there is no record."""
        state, finished, head, answer = await self._connection.command(
            "HMGET", keys.record(function, invocation_id), "state", "finished", "outcome", "answer"
        )
        return records.decode_ending(state, head, answer or b"") if finished else None

    async def news(self, function: str, invocation_id: str) -> Ending | Opening | None:
        """How it ended, or how its answer begins while that still comes; None if there is neither."""
        state, finished, head, answer, stream = await self._connection.command(
            "HMGET", keys.record(function, invocation_id), "state", "finished", "outcome", "answer", "stream"
        )
        if finished:
            return records.decode_ending(state, head, answer or b"")
        return records.decode_opening(stream) if stream else None

    async def position(self, function: str, invocation_id: str) -> int | None:
        """Its place among the ready, 1 is next; None if it does not wait there."""
        rank: int | None = await self._connection.command("ZRANK", keys.queued(function), invocation_id)
        return None if rank is None else rank + 1

    async def list_jobs(
        self, function: str, *, beyond: str | None, limit: int, oldest_first: bool = False
    ) -> list[Invocation]:
        """Async jobs, newest first unless told otherwise, that come after the one called `beyond`. Jobs past their
        retention take no room on a page; they leave the listing here."""
        found: list[Invocation] = []
        while len(found) < limit:
            names = await self._next_jobs(function, beyond, limit - len(found), oldest_first)
            if not names:
                break
            page = await asyncio.gather(*(self.get(function, name) for name in names))
            found += [record for record in page if record is not None]
            gone = [name for name, record in zip(names, page, strict=True) if record is None]
            if gone:
                await self._connection.command("ZREM", keys.jobs(function), *gone)
            beyond = names[-1]
        return found

    async def dead_letters(self, function: str, *, limit: int) -> list[Invocation]:
        """Jobs that ended without success, the latest first, until they are redriven or past their retention."""
        names: list[bytes] = await self._connection.command("ZREVRANGE", keys.dead(function), 0, limit - 1)
        found = await asyncio.gather(*(self.get(function, name.decode()) for name in names))
        gone = [name for name, record in zip(names, found, strict=True) if record is None]
        if gone:
            await self._connection.command("ZREM", keys.dead(function), *gone)
        return [record for record in found if record is not None]

    async def unlist_dead(self, function: str, invocation_id: str) -> bool:
        """Takes one out of the dead letters, since it was dealt with; False if it was not there."""
        return bool(await self._connection.command("ZREM", keys.dead(function), invocation_id))

    async def body(self, function: str, invocation_id: str) -> bytes:
        """The request's body, empty if a blob holds it."""
        meta, body = await self._connection.command("HMGET", keys.record(function, invocation_id), "meta", "body")
        return records.decode_body(meta or b"", body)

    async def under_key(self, function: str, digest: str) -> str | None:
        """Id of the first invocation under an Idempotency-Key of this digest; None if there is none any more."""
        stored: bytes | None = await self._connection.command("GET", keys.idempotency(function, digest))
        return stored.decode().partition(" ")[0] if stored else None

    async def exists(self, function: str, invocation_id: str) -> bool:
        """True while there is a record."""
        return bool(await self._connection.command("EXISTS", keys.record(function, invocation_id)))

    async def _next_jobs(self, function: str, beyond: str | None, limit: int, oldest_first: bool) -> list[str]:
        """Ids made in one millisecond share a score and are told apart by their text, in the same order."""
        first = ids.created_ms(beyond) if beyond else "-inf" if oldest_first else "+inf"
        command, last = ("ZRANGEBYSCORE", "+inf") if oldest_first else ("ZREVRANGEBYSCORE", "-inf")
        skip, wanted = 0, list[str]()
        while len(wanted) < limit:
            names: list[bytes] = await self._connection.command(
                command, keys.jobs(function), first, last, "LIMIT", skip, limit
            )
            for name in map(bytes.decode, names):
                if beyond is None or (name > beyond if oldest_first else name < beyond):
                    wanted.append(name)
            skip += len(names)
            if len(names) < limit:
                break
        return wanted[:limit]
