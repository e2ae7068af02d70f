"""What brings older data up to date, step by step.

A step takes the data from the schema before it to its own. It consists of increments, between which its lock is
renewed, and can be begun again at any point: whoever was killed half-way left a part of it done, and the next
process does all of it anew. An increment takes Redis some milliseconds at most (SCAN, never KEYS).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from penstock.store.connection import Connection


@dataclass(frozen=True, kw_only=True)
class Step:
    schema: int
    """Of the data when it is done."""
    compatible_from: int
    """The oldest schema whose processes can work on the data then, and while it is being done. If that is newer
    than before, older processes get time to see it and stop, before anything is changed."""
    what: str
    """What it does, for the log."""
    apply: Callable[[Connection], AsyncIterator[None]]
    """Does it, and yields after each increment."""


STEPS: Sequence[Step] = ()
"""In the order of their schemas, the last of which is penstock.schema.SCHEMA. None yet: 1 is the first."""
