"""How long an idle instance is worth keeping, from how long the function was idle before. Pure.

After "Serverless in the Wild" (USENIX ATC 2020): a histogram of the gaps between calls. Most functions are called
again within a time that shows in it; one that never is for a while can go at once, and be back just before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

_BIN = 60.0
_BINS = 240
"""Gaps of up to four hours; longer ones say only that they are longer."""
_ENOUGH = 10
"""Gaps; fewer tell nothing."""
_SHORTEST, _LONGEST = 60.0, 1800.0


class Gaps:
    def __init__(self, bins: Sequence[int] = ()) -> None:
        self.bins = [*bins] or [0] * (_BINS + 1)
        """How many gaps there were, by their minutes; the last stands for all that were longer."""

    def add(self, seconds: float) -> None:
        self.bins[min(int(seconds / _BIN), _BINS)] += 1

    def percentile(self, share: float, *, upper: bool) -> float:
        """The upper or the lower edge of its bin, in seconds."""
        rank, seen = ceil(share * sum(self.bins)), 0
        for number, count in enumerate(self.bins):
            seen += count
            if seen >= rank > 0:
                return (number + upper) * _BIN
        return 0.0


@dataclass(frozen=True, kw_only=True)
class KeepAlive:
    idle_timeout: float
    """Seconds that an idle instance may stay from now on: 0 is not at all."""
    prewarm: bool = False
    """One shall be there although nobody calls: a call is about to come."""


def keep_alive(gaps: Gaps, cold_start: float, silence: float, *, default: float) -> KeepAlive:
    """After `silence` seconds without a call. `default`: seconds of the idle timeout until enough is known."""
    if sum(gaps.bins) < _ENOUGH:
        return KeepAlive(idle_timeout=default)
    soonest, latest = gaps.percentile(0.05, upper=False), gaps.percentile(0.99, upper=True)
    if soonest <= 2 * cold_start:
        return KeepAlive(idle_timeout=min(max(latest, _SHORTEST), _LONGEST))
    begin = soonest - cold_start
    end = min(max(latest, begin + _SHORTEST), begin + _LONGEST)
    due = begin <= silence < end
    return KeepAlive(idle_timeout=_LONGEST if due else 0.0, prewarm=due)
