"""What an answer of a callback's receiver means, and when it is asked again. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from penstock.delivery import DeliveryState

_MINUTE, _HOUR = 60.0, 3600.0
SCHEDULE = (
    *(5.0, 5 * _MINUTE, 30 * _MINUTE),
    *(2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 14 * _HOUR, 20 * _HOUR, 24 * _HOUR),
)
"""Seconds from one try to the next: ten tries over 75 h."""
_SCHEDULES: Mapping[str, tuple[float, ...]] = {"progress": (5.0, 5 * _MINUTE), "output": (5.0, 5 * _MINUTE)}
"""An update is soon old: the next one, or the end, tells more."""
_RETRIED = frozenset({408, 425, 429})
_LONGEST_RETRY_AFTER = 86_400.0
"""Seconds; a receiver that asks for more is asked again sooner."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of an attempt."""

    status: int | None = None
    """None: there was no answer."""
    error: str | None = None
    """What went wrong; None: nothing did."""
    refused: bool = False
    """The attempt was not made: the URL leads where nothing is sent."""
    retry_after: float | None = None
    """Seconds that the receiver asked for; None: it did not."""

    @property
    def sick(self) -> bool:
        """It speaks against the endpoint and not against what it was told."""
        return not self.refused and (self.status is None or self.status >= 500)


def next_delay(tries: int, what: str = "completed") -> float | None:
    """Seconds until the next try after this many, with up to a tenth of jitter; None: that was the last."""
    schedule = _SCHEDULES.get(what, SCHEDULE)
    return schedule[tries - 1] * random.uniform(1.0, 1.1) if tries <= len(schedule) else None


def worth_retrying(status: int | None) -> bool:
    """True for a status that says: later, perhaps; None, no answer, does too."""
    return status is None or status in _RETRIED or status >= 500


def settle(answer: Answer, tries: int, what: str) -> tuple[DeliveryState, float]:
    """What becomes of a delivery after this many tries; if it is pending, in how many seconds it is due again."""
    if answer.error is None:
        return "delivered", 0.0
    if answer.status == 410:
        return "disabled", 0.0
    delay = next_delay(tries, what) if worth_retrying(answer.status) and not answer.refused else None
    if delay is None:
        return "dead", 0.0
    return "pending", max(delay, min(answer.retry_after or 0.0, _LONGEST_RETRY_AFTER))
