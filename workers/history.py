"""What the autoscaler knows of a function's past: how long calls and starts take, what arrived, ran and waited.

Nothing here decides. What happened is told to a `Memory` (`observe`, `ended`, `started`, `waited`, `remember`);
a decision only reads it, so that deciding twice on the same facts gives the same answer. The time is an argument.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from math import ceil

SERVICE_PRIOR = 5.0
"""Seconds that a call is taken to last before one was seen."""
COLD_START_PRIOR = 15.0
"""Seconds that a start is taken to last before one was seen."""
_SERVICE_WEIGHT = 0.2
_STARTS = 20
_SHORT = 60.0
"""Seconds over which load and what runs are averaged; longer for calls that last longer."""
_SAMPLES = 120
"""Of a window: its resolution."""


class Totals:
    """Running totals sampled as time goes by: the sum over any window is the difference of two of them."""

    def __init__(self, window: float) -> None:
        self.window = window
        self._times: list[float] = []
        self._values: list[Sequence[float]] = []

    def sample(self, now: float, *totals: float) -> None:
        step = self.window / _SAMPLES
        if len(self._times) > 1 and now - self._times[-2] < step:
            self._times[-1], self._values[-1] = now, totals
        else:
            self._times.append(now)
            self._values.append(totals)
        if len(self._times) > 2 * _SAMPLES:
            old = max(bisect_right(self._times, now - self.window) - 1, 0)
            del self._times[:old], self._values[:old]

    def over(self, seconds: float, now: float) -> Sequence[float]:
        """What each total grew by in the last `seconds`, or since the first sample."""
        if not self._times:
            return ()
        first = max(bisect_right(self._times, now - seconds) - 1, 0)
        before = self._values[first]
        return [last - old for last, old in zip(self._values[-1], before, strict=True)]


class Memory:
    """Of one function. Times are seconds on one clock that never goes back; each starts as `None`: not known."""

    def __init__(self) -> None:
        self.service: float | None = None
        """Seconds of a call, smoothed."""
        self.guarded = float("-inf")
        """When the guard for the oldest last asked for another instance."""
        self.reduced = float("-inf")
        """When instances were last told to go."""
        self._starts: deque[float] = deque(maxlen=_STARTS)
        self._cold: float | None = None
        self._recent = Totals(_SHORT)
        self._long = Totals(_SHORT)
        self._seen: tuple[float, int, int, int] | None = None
        self._sums = [0.0] * 5
        """Arrived, running x seconds, held demand x seconds, seconds that held calls waited, and how many."""
        self._peaks: deque[tuple[float, int]] = deque()

    def ended(self, seconds: float) -> None:
        """A call has ended after so long."""
        known = seconds if self.service is None else self.service
        self.service = known + _SERVICE_WEIGHT * (seconds - known)

    def started(self, seconds: float) -> None:
        """An instance is ready after so long."""
        self._starts.append(seconds)
        self._cold = sorted(self._starts)[ceil(0.95 * len(self._starts)) - 1]

    def waited(self, seconds: float) -> None:
        """A call whose client waits has left the queue after so long."""
        self._sums[3] += seconds
        self._sums[4] += 1

    @property
    def cold_start(self) -> float:
        """Seconds: the 95th percentile of the last starts."""
        return COLD_START_PRIOR if self._cold is None else self._cold

    def service_time(self, running_age: float) -> float:
        """Seconds of a call. Calls that run longer than any before are believed."""
        return max(SERVICE_PRIOR if self.service is None else self.service, running_age)

    def observe(self, now: float, *, arrived: int, waiting: int, running: int, held: int) -> None:
        """What the queue looks like. `arrived` counts all submits since ever, `held` calls whose client waits."""
        if self._seen is None or arrived < self._seen[1]:
            # What is there already is all that is known to have arrived.
            self._seen = (now, arrived - waiting - running, 0, 0)
            self._recent.sample(now, *self._sums)
        then, before, ran, were_held = self._seen
        self._sums[0] += arrived - before
        self._sums[1] += ran * (now - then)
        self._sums[2] += were_held * (now - then)
        self._seen = (now, arrived, running, held)
        self._recent.sample(now, *self._sums)
        self._long.window = max(_SHORT, 3 * self.service_time(0.0))
        if self._long.window > _SHORT:
            self._long.sample(now, *self._sums)

    def rate(self, seconds: float, now: float) -> float:
        """Arrivals per second over the last `seconds`, or over as many as are kept."""
        totals = self._recent if min(seconds, self._long.window) <= _SHORT else self._long
        seconds = min(seconds, totals.window)
        grown = totals.over(seconds, now)
        return grown[0] / seconds if grown else 0.0

    def running(self, now: float) -> float:
        """How many ran at a time, on average of the last minute."""
        grown = self._recent.over(_SHORT, now)
        return grown[1] / _SHORT if grown else 0.0

    def held(self, seconds: float, now: float) -> tuple[float, float | None]:
        """Over the last `seconds`: how many calls with a waiting client were there on average, and how long those
        that left the queue had waited; None: none left it."""
        grown = self._recent.over(seconds, now)
        if not grown:
            return 0.0, None
        return grown[2] / seconds, grown[3] / grown[4] if grown[4] else None

    def peak(self, seconds: float, now: float) -> int:
        """The most instances that were wanted in the last `seconds`."""
        return next((wanted for when, wanted in self._peaks if when >= now - seconds), 0)

    def remember(self, now: float, *, wanted: int, guarded: bool, reduced: bool) -> None:
        """What was decided."""
        while self._peaks and (self._peaks[-1][1] <= wanted):
            self._peaks.pop()
        self._peaks.append((now, wanted))
        while self._peaks[0][0] < now - _SHORT:
            self._peaks.popleft()
        if guarded:
            self.guarded = now
        if reduced:
            self.reduced = now
