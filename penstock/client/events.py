"""What happens to an invocation, as typed events. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from penstock.client.sse import Message

State = Literal["queued", "running", "succeeded", "failed", "timed_out", "cancelled", "expired"]
STATES: frozenset[str] = frozenset(get_args(State))
ENDS = STATES - {"queued", "running"}
"""States that nothing follows."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Any event; one of a kind that this version does not know is only this."""

    kind: str
    id: str | None
    """What `last_event_id` resumes after; None: it is passing news."""
    data: Mapping[str, Any]
    """As it came."""


@dataclass(frozen=True, kw_only=True)
class StateChanged(Event):
    attempt: int
    """Runs of the function so far, the current one included."""
    at: str | None
    """RFC 3339; None where it is not known any more."""

    @property
    def state(self) -> State:
        return self.kind  # type: ignore[return-value]  # one of STATES

    @property
    def ended(self) -> bool:
        """It is the last one, and `data` is the whole record, with the answer as `result` unless that is long."""
        return self.state in ENDS


@dataclass(frozen=True, kw_only=True)
class Progress(Event):
    """What the function says of how far it is."""

    progress: float | None
    """From 0 to 1."""
    message: str | None


@dataclass(frozen=True, kw_only=True)
class Output(Event):
    """A piece of an open-ended answer."""

    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode(errors="replace")


@dataclass(frozen=True, kw_only=True)
class Log(Event):
    line: str


@dataclass(frozen=True, kw_only=True)
class Position(Event):
    """Where it waits, and why."""

    queue_position: int | None
    waiting_reason: str | None


@dataclass(frozen=True, kw_only=True)
class Gap(Event):
    """Earlier events are not kept any more; `data` says which."""


def typed(message: Message) -> Event:
    """Raises ValueError if its data is no JSON object."""
    data = json.loads(message.data)
    if not isinstance(data, dict):
        raise ValueError(f"{message.data!r} is no JSON object")  # noqa: TRY004 - as any other that is no JSON of ours
    kind, name = message.event, message.id
    if kind in STATES:
        at = data.get("at", data.get("finished_at"))
        return StateChanged(kind=kind, id=name, data=data, attempt=data.get("attempt", 0), at=at)
    if kind == "progress":
        progress, said = data.get("progress"), data.get("message")
        return Progress(kind=kind, id=name, data=data, progress=progress, message=said)
    if kind == "output":
        content = data["text"].encode() if "text" in data else base64.b64decode(data.get("base64", ""))
        return Output(kind=kind, id=name, data=data, content=content)
    if kind == "log":
        return Log(kind=kind, id=name, data=data, line=data.get("line", ""))
    if kind == "position":
        place, reason = data.get("queue_position"), data.get("waiting_reason")
        return Position(kind=kind, id=name, data=data, queue_position=place, waiting_reason=reason)
    return (Gap if kind == "gap" else Event)(kind=kind, id=name, data=data)
