"""How often a function starts cold, and where the time of its starts goes. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

_KEPT = 200
"""Starts whose stages are remembered."""


class ColdStarts:
    def __init__(self) -> None:
        self.calls = 0
        """First runs of calls, warm or cold."""
        self.cold = 0
        """Those that waited for the start of their instance."""
        self.starts = 0
        """Instances that became ready."""
        self._stages: dict[str, deque[float]] = {}

    def called(self, *, cold: bool) -> None:
        self.calls += 1
        self.cold += cold

    def took(self, stages: Mapping[str, float]) -> None:
        """Milliseconds by stage of one start, or of what is done once for all of them: its preparation (an image
        pulled or built, an environment made), and the first byte of the first answer."""
        for stage, milliseconds in stages.items():
            self._stages.setdefault(stage, deque(maxlen=_KEPT)).append(round(milliseconds, 1))

    def summary(self) -> dict[str, Any]:
        """What the API shows. The probability is that a call waits for a start; None before the first call."""
        return {
            "count": self.starts,
            "calls": self.cold,
            "probability": round(self.cold / self.calls, 4) if self.calls else None,
            "stages": {
                stage: {"p50": _percentile(values, 0.5), "p95": _percentile(values, 0.95)}
                for stage, values in ((stage, sorted(kept)) for stage, kept in self._stages.items())
            },
        }

    def dump(self) -> dict[str, Any]:
        """All of it, for the store."""
        counts = {"calls": self.calls, "cold": self.cold, "starts": self.starts}
        return counts | {"stages": {stage: list(kept) for stage, kept in self._stages.items()}}

    def load(self, kept: Mapping[str, Any]) -> None:
        """Takes up what an earlier leader learnt."""
        self.calls, self.cold, self.starts = kept["calls"], kept["cold"], kept["starts"]
        self._stages = {stage: deque(values, maxlen=_KEPT) for stage, values in kept["stages"].items()}


def _percentile(ordered: Sequence[float], share: float) -> float:
    return ordered[ceil(share * len(ordered)) - 1]
