"""What happens to an invocation, as one sequence of events that can be resumed anywhere. Pure.

Events of its states are derived from the record, since a record says which states it went through; what a run says
while it goes on (progress, output, log lines) is stored. Both have ids that sort:

    0-queued · 1-running · 1-1 · 1-2 … · 1-queued (sent back) · 2-running · 2-3 … · 2-succeeded

The first number is the fencing token of the run, the second counts what is stored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from typing import Any, Literal, NamedTuple

from penstock import clock
from penstock.errors import InvalidRequest
from penstock.invocation import Invocation, State

Kind = Literal["progress", "output", "log"]

_SENT_BACK = 2**53
_ENDED = _SENT_BACK + 1
_ID = re.compile(r"(\d{1,15})-(?:(\d{1,15})|([a-z_]+))", re.ASCII)


class Place(NamedTuple):
    """Where an event stands in the sequence of its invocation."""

    token: int
    rank: int
    """0: the run began; then what was stored, by its number; then how the run left."""


BEGINNING = Place(-1, 0)
"""Before everything."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """Something that a run said."""

    token: int
    number: int
    kind: Kind
    data: str
    """JSON."""

    @property
    def place(self) -> Place:
        return Place(self.token, self.number)


@dataclass(frozen=True, kw_only=True)
class Gap:
    """What nobody can read any more: the cap took it."""

    through: Place
    """The last of it."""
    bytes: int
    """Of data, since the first event."""


@dataclass(frozen=True, kw_only=True)
class Event:
    id: str | None
    """None: it is passing news, which nobody resumes from."""
    kind: str
    data: Mapping[str, Any] | str
    """JSON, or what becomes it."""


def parse_id(text: str | None) -> Place:
    """The place of a Last-Event-ID; None and empty: the beginning. Raises InvalidRequest."""
    if not text:
        return BEGINNING
    match = _ID.fullmatch(text)
    if match is not None and match[2]:
        return Place(int(match[1]), int(match[2]))
    if match is not None and match[3] in set(State):
        return _place(int(match[1]), State(match[3]))
    raise InvalidRequest(
        f"Last-Event-ID {text!r} is not an id that an event stream gave, such as 1-running or 1-17"
    )


def sequence(
    record: Invocation, stored: Sequence[Stored], after: Place, *, gap: Gap | None = None
) -> Iterator[tuple[Place, Event]]:
    """All that happened after a place, in order; the event of a terminal state is the last. `stored` in order too;
    `gap` None: the cap took nothing."""
    said = [(one.place, Event(id=f"{one.token}-{one.number}", kind=one.kind, data=one.data)) for one in stored]
    if gap is not None:
        through = f"{gap.through.token}-{gap.through.rank}"
        said.insert(0, (gap.through, Event(id=None, kind="gap", data={"bytes": gap.bytes, "through": through})))
    for place, event in merge(_states(record), said, key=lambda one: one[0]):
        if place > after:
            yield place, event


def _states(record: Invocation) -> Iterator[tuple[Place, Event]]:
    """Every state that it was in. Only of its last run the token alone does not tell whether it was sent back."""
    yield _state(record, 0, State.QUEUED, record.created_at)
    for token in range(1, record.token + 1):
        last = token == record.token
        yield _state(record, token, State.RUNNING, record.started_at if last else None)
        if not last or record.sent_back:
            yield _state(record, token, State.QUEUED, None)
    if record.state.terminal:
        yield _state(record, record.token, record.state, record.finished_at)


def _state(record: Invocation, token: int, state: State, at: int | None) -> tuple[Place, Event]:
    """`at`: milliseconds since 1970; None for what the record no longer knows."""
    data = {"state": state, "attempt": max(token - record.deferrals, 0), "at": clock.rfc3339(at)}
    return _place(token, state), Event(id=f"{token}-{state}", kind=state, data=data)


def _place(token: int, state: State) -> Place:
    if state is State.RUNNING:
        return Place(token, 0)
    return Place(token, _SENT_BACK if state is State.QUEUED else _ENDED)
