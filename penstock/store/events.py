"""What runs said, kept in a stream per invocation that is made when one says something."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from penstock import keys
from penstock.events import Gap, Kind, Place, Stored
from penstock.invocation import Invocation
from penstock.store import records
from penstock.store.connection import Connection

CAP = 1024 * 1024
"""Bytes of one invocation's events that are kept; the oldest go first."""


@dataclass(frozen=True, kw_only=True)
class Story:
    """An invocation, and what its runs said since some place."""

    record: Invocation
    said: Sequence[Stored]
    gap: Gap | None
    """None: the cap took nothing after that place."""


@dataclass(frozen=True)
class Glance:
    """What tells whether anything happened to an invocation."""

    mark: bytes | None
    """Changes with everything that happens; None: there is no record."""
    position: int | None
    """In the queue, 1 is next; None if it does not wait there."""


class Events:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def emit(
        self,
        function: str,
        invocation_id: str,
        token: int,
        said: Sequence[tuple[Kind, str]],
        *,
        first: int,
        skipped: int = 0,
        cap: int = CAP,
    ) -> bool:
        """Stores what a run said, each as JSON; False if the token is stale or the run over: nothing was written.
        `first`: number of the first; the same numbers again write nothing. `skipped`: bytes right before it that
        nobody kept, to which the number before it belongs."""
        reply = await self._connection.script(
            "emit",
            [keys.record(function, invocation_id), keys.events(function, invocation_id)],
            function,
            invocation_id,
            token,
            cap,
            first,
            skipped,
            *(part for one in said for part in one),
        )
        return bool(reply == b"ok")

    async def since(self, function: str, invocation_id: str, place: Place) -> Story | None:
        """The record, and what was said after a place; None if there is no record."""
        values, dropped, entries = await self._connection.script(
            "story",
            [keys.record(function, invocation_id), keys.events(function, invocation_id)],
            f"({max(place.token, 0)}-{place.rank}",
            *records.VIEW_FIELDS,
        )
        record = records.decode_invocation(function, invocation_id, values)
        if record is None:
            return None
        gap = None
        if dropped and _place(dropped) > place:
            _, (_, _, _, data, _, end) = entries[0]  # what came last is never dropped
            gap = Gap(through=_place(dropped), bytes=int(end) - len(data))
        return Story(record=record, said=[_stored(name, *values) for name, values in entries], gap=gap)

    async def had(self, function: str, invocation_id: str) -> Place | None:
        """Up to where a client that keeps no place of its own has had them; None: it had nothing."""
        stored: bytes | None = await self._connection.command("GET", keys.had(function, invocation_id))
        return _place(stored) if stored else None

    async def keep_had(self, function: str, invocation_id: str, place: Place) -> None:
        """Up to where it has had them now; forgotten when it has not asked for a day."""
        name = f"{place.token}-{place.rank}"
        await self._connection.command("SET", keys.had(function, invocation_id), name, "EX", 86_400)

    async def glance(self, invocations: Sequence[tuple[str, str]]) -> list[Glance]:
        """Of each (function, id)."""
        names = [key for fn, one in invocations for key in (keys.record(fn, one), keys.queued(fn))]
        reply = await self._connection.script("glance", names, *(one for _, one in invocations))
        return [
            Glance(mark, rank + 1 if rank is not None and rank >= 0 else None)
            for mark, rank in zip(reply[::2], reply[1::2], strict=True)
        ]


def _stored(name: bytes, *fields: bytes) -> Stored:
    place = _place(name)
    kind: Kind = fields[1].decode()  # type: ignore[assignment]
    return Stored(token=place.token, number=place.rank, kind=kind, data=fields[3].decode())


def _place(name: bytes) -> Place:
    token, _, number = name.decode().partition("-")
    return Place(int(token), int(number))
