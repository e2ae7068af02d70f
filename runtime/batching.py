"""When a batch is sent, and who is in it: decisions alone. Times are seconds of one monotonic clock, as arguments.

A batch of n takes a·n + b; both come from the batches of the last minute. One more in a batch of n costs the n who
wait as long as it takes until the next one comes, and saves that one a batch of its own: waiting pays while the
next is expected within (a·n + b)/n. When it is expected is seen from the last arrivals; who is overdue by more is
not waited for. Nobody waits longer than `max_wait` for others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

_REMEMBERED = 64
"""Batches, and gaps between arrivals."""
_FORGOTTEN = 60.0
"""Seconds after which a batch says nothing any more: what was slow once, as with a model that was still loading,
must not shed calls for ever, since those that are shed would never show that it is fast by now."""
_SURE = 4
"""Batches that must have been seen before a call is shed for what they took."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A batch of n takes a·n + b seconds."""

    a: float
    b: float

    def duration(self, n: int) -> float:
        return self.a * n + self.b


class Durations:
    """What the last batches took."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int, float]] = deque(maxlen=_REMEMBERED)

    def add(self, now: float, n: int, seconds: float) -> None:
        self._seen.append((now, n, seconds))

    def fit(self, now: float) -> Fit | None:
        """By least squares; None if there is nothing to go by. Of equal sizes alone all is taken to be fixed cost,
        so that others are tried."""
        points = self._recent(now)
        if not points:
            return None
        mean_n = sum(n for n, _ in points) / len(points)
        mean_t = sum(t for _, t in points) / len(points)
        spread = sum((n - mean_n) ** 2 for n, _ in points)
        slope = sum((n - mean_n) * (t - mean_t) for n, t in points) / spread if spread else 0.0
        # Neither part can be negative; where noise says so, the other one explains it all.
        a = min(max(slope, 0.0), mean_t / mean_n)
        return Fit(a=a, b=mean_t - a * mean_n)

    def sure(self, now: float) -> bool:
        return len(self._recent(now)) >= _SURE

    def _recent(self, now: float) -> list[tuple[int, float]]:
        return [(n, seconds) for at, n, seconds in self._seen if now - at < _FORGOTTEN]


class Arrivals:
    """How closely calls follow each other."""

    def __init__(self) -> None:
        self._gaps: deque[float] = deque(maxlen=_REMEMBERED)
        self._last: float | None = None

    def add(self, now: float) -> None:
        if self._last is not None:
            self._gaps.append(now - self._last)
        self._last = now

    @property
    def gap(self) -> float | None:
        """Seconds; the median, since those who were answered together come together. None if it is not known."""
        return sorted(self._gaps)[len(self._gaps) // 2] if self._gaps else None


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """One call that waits to be in a batch."""

    arrived: float
    deadline: float
    """When its caller gives up."""


class Policy:
    def __init__(self, *, max_size: int, max_wait: float) -> None:
        self.max_size = max_size
        self._max_wait = max_wait
        self.durations = Durations()
        self.arrivals = Arrivals()

    def send_at(self, waiting: Sequence[Waiting], now: float, free: float) -> float:
        """When the batch of these, oldest first and at least one, is to be sent if nobody else comes.

        `free`: since when it could have been sent. Who came earlier had no choice before; and those who were
        answered then may be about to call again.
        """
        n = len(waiting)
        if n >= self.max_size:
            return now
        latest = max(waiting[0].arrived, free) + self._max_wait
        fit, gap = self.durations.fit(now), self.arrivals.gap
        if fit is None:
            return latest  # nothing is known yet: as the spec says
        pays = fit.duration(n) / n
        if gap is None or gap >= pays:
            return now
        return min(latest, max(waiting[-1].arrived, free) + pays)

    def late(self, waiting: Sequence[Waiting], now: float) -> list[bool]:
        """Of a batch of these, who would get his answer after his deadline."""
        fit = self.durations.fit(now) if self.durations.sure(now) else None
        end = now + (fit.duration(len(waiting)) if fit else 0.0)
        return [one.deadline < end for one in waiting]
