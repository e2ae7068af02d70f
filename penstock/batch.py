"""Many jobs that were submitted in one request, and are watched, cancelled and reported as one.

Theory of operation
===================
A batch is opened, filled and sealed. While it is being filled, jobs that were accepted run already. Once it is
sealed it takes no more, and when all that it took have ended, so has it: exactly once, whatever came last.

Whoever fills it seals it. If that gateway dies, the sweep seals it when its time to be filled is over: the batch
is then what had been submitted. Before that, the same request under the same Idempotency-Key goes on where it
stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from penstock.invocation import State

MOST_JOBS = 10_000
"""Jobs of one batch."""
FILL_MS = 60_000
"""How long a batch may be filled; the request under its key again gives it so long anew."""


class Seal(StrEnum):
    """Why a batch takes no more jobs."""

    SUBMITTED = "submitted"
    """Every line was submitted."""
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"
    """Whoever submitted it did not come to the end in time."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A batch that may be filled, or was."""

    id: str
    joined: bool
    """True: it is that of the first request under the same Idempotency-Key."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A batch as the store has it. Times are milliseconds since 1970 by Redis's clock."""

    function: str
    id: str
    created_at: int
    finished_at: int | None
    """When the last of its jobs ended; None before."""
    lines: int
    """Of its request, the refused ones included."""
    accepted: int
    """Jobs so far; final once it is sealed."""
    seal: Seal | None
    """None: more jobs may come."""
    counts: Mapping[State, int]
    """How many of the accepted are in each state; they add up."""
    callback: str | None
    """URL that is told when it has ended; None: nobody is."""
