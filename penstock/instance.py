"""What an instance is and the states it goes through: one running container (or process) of a function.

    pending → starting → initializing → idle ⇄ busy → draining → gone

Each transition is timed, so that a cold start can be shown stage by stage. Any state can go to `gone`: a
container may die at any moment, and nobody is asked first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class InstanceState(StrEnum):
    PENDING = "pending"
    """Decided, not yet asked of the engine."""
    STARTING = "starting"
    """The engine is making it; its port is not open yet."""
    INITIALIZING = "initializing"
    """Its port is open; health and `/initialize` are being asked."""
    IDLE = "idle"
    BUSY = "busy"
    DRAINING = "draining"
    """Gets no new calls; ends when its last one has."""
    GONE = "gone"


START_STAGES = ("pending", "starting", "listening", "initializing")
"""Of a timeline: decided, with the engine, until its port was open, until it was ready."""

_MOVES: Mapping[InstanceState, frozenset[InstanceState]] = {
    InstanceState.PENDING: frozenset({InstanceState.STARTING, InstanceState.DRAINING, InstanceState.GONE}),
    InstanceState.STARTING: frozenset({InstanceState.INITIALIZING, InstanceState.DRAINING, InstanceState.GONE}),
    InstanceState.INITIALIZING: frozenset({InstanceState.IDLE, InstanceState.DRAINING, InstanceState.GONE}),
    InstanceState.IDLE: frozenset({InstanceState.BUSY, InstanceState.DRAINING, InstanceState.GONE}),
    InstanceState.BUSY: frozenset({InstanceState.IDLE, InstanceState.DRAINING, InstanceState.GONE}),
    InstanceState.DRAINING: frozenset({InstanceState.GONE}),
    InstanceState.GONE: frozenset(),
}


def check_move(old: InstanceState, new: InstanceState) -> None:
    """Raises ValueError if an instance cannot go from `old` to `new`."""
    if new not in _MOVES[old]:
        raise ValueError(f"an instance that is {old} cannot become {new}")


@dataclass(frozen=True, kw_only=True)
class InstanceView:
    """What the API shows of an instance. Times are milliseconds since 1970."""

    id: str
    state: InstanceState
    revision: int
    in_flight: int
    """Calls that it runs now."""
    started_at: int
    """When it was decided."""
    timeline: Mapping[str, float]
    """Milliseconds spent in each stage so far."""
    reason: str
    """Why it is there, or why it goes."""
    provisioned: bool = False
    """The floor keeps it, whatever the demand."""
    gpu: str | None = None
    """UUID of its card; None: it has none."""
