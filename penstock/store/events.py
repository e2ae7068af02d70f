"""What runs said, kept in a stream per invocation that is made when one says something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from penstock import keys
from penstock.events import Kind, Place, Stored
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
    dropped: Place | None
    """The last that the cap took; None: it took nothing."""


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
        self, function: str, invocation_id: str, token: int, said: Sequence[tuple[Kind, str]], *, cap: int = CAP
    ) -> bool:
        """Stores what a run said, each as JSON; False if the token is stale: nothing was written."""
        reply = await self._connection.script(
            "emit",
            [keys.record(function, invocation_id), keys.events(function, invocation_id)],
            function,
            invocation_id,
            token,
            cap,
            *(part for one in said for part in one),
        )
        return bool(reply == b"ok")

    async def since(self, function: str, invocation_id: str, place: Place) -> Story | None:
        """The record, and what was said after a place; None if there is no record."""
        key = keys.record(function, invocation_id)
        # First the record: what was said before an end is there when the end is. A run that began between the two
        # reads waits for the next look, or what it says would come before its beginning.
        fields = await self._connection.command("HMGET", key, *records.VIEW_FIELDS, "events", "dropped")
        record = records.decode_invocation(function, invocation_id, fields)
        if record is None:
            return None
        if fields[-2] is None:
            return Story(record=record, said=(), dropped=None)
        after = f"({max(place.token, 0)}-{place.rank}"
        entries = await self._connection.command("XRANGE", keys.events(function, invocation_id), after, "+")
        said = [_stored(name, values) for name, values in entries]
        said = [one for one in said if one.token <= record.token]
        dropped = _place(fields[-1]) if fields[-1] else None
        return Story(record=record, said=said, dropped=dropped)

    async def glance(self, invocations: Sequence[tuple[str, str]]) -> list[Glance]:
        """Of each (function, id)."""
        names = [key for fn, one in invocations for key in (keys.record(fn, one), keys.queued(fn))]
        reply = await self._connection.script("glance", names, *(one for _, one in invocations))
        return [
            Glance(mark, rank + 1 if rank is not None and rank >= 0 else None)
            for mark, rank in zip(reply[::2], reply[1::2], strict=True)
        ]


def _stored(name: bytes, fields: Mapping[bytes, bytes]) -> Stored:
    place = _place(name)
    kind: Kind = fields[b"kind"].decode()  # type: ignore[assignment]
    return Stored(token=place.token, number=place.rank, kind=kind, data=fields[b"data"].decode())


def _place(name: bytes) -> Place:
    token, _, number = name.decode().partition("-")
    return Place(int(token), int(number))
