"""What the autoscaler knows of a function's past: how long calls and starts take, what arrived, ran and waited.

Nothing here decides. What happened is told to a `Memory` (`observe`, `ended`, `started`, `waited`, `remember`);
a decision only reads it, so that deciding twice on the same facts gives the same answer. The time is an argument.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, Literal

from workers.keepalive import Gaps, KeepAlive, keep_alive

SERVICE_PRIOR = 5.0
"""Seconds that a call is taken to last before one was seen."""
COLD_START_PRIOR = 15.0
"""Seconds that a start is taken to last before one was seen."""
_IDLE_TIMEOUT = 300.0
"""Seconds of an adaptive idle timeout before enough is known."""
_SERVICE_WEIGHT = 0.2
_STARTS = 20
_SHORT = 60.0
"""Seconds over which load and what runs are averaged; longer for calls that last longer."""
_SAMPLES = 120
"""Of a window: its resolution."""

_ROUNDING = 0.01
"""Of a call; one that left just at the edge of a window may be a part of one in it."""
_ARRIVED, _RAN, _HELD, _WAITED, _LEFT = range(5)
"""What is summed up: calls, running x seconds, held demand x seconds, seconds that held calls waited, how many."""


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

    def over(self, seconds: float, now: float, total: int) -> float:
        """What one of the totals grew by in the last `seconds`, or since the first sample. Between two samples it
        is taken to have grown evenly: after a silence, what was before does not count for now."""
        since, times = now - seconds, self._times
        after = bisect_right(times, since)
        if after == len(times):
            return 0.0
        value = self._values[after][total]
        if after:
            begin, end, before = times[after - 1], times[after], self._values[after - 1][total]
            value -= (value - before) * (end - since) / (end - begin)
        return self._values[-1][total] - value


class Memory:
    """Of one function. Times are seconds on one clock that never goes back; each starts as `None`: not known."""

    def __init__(self) -> None:
        self.service: float | None = None
        """Seconds of a call, smoothed."""
        self.guarded = float("-inf")
        """When the guard for the oldest last asked for another instance."""
        self.reduced = float("-inf")
        """When instances were last told to go."""
        self.gaps = Gaps()
        """How long it was silent between two calls."""
        self._quiet: float | None = None
        """Since when nothing waits or runs; None: something does, or it is not known."""
        self._starts: deque[float] = deque(maxlen=_STARTS)
        self._cold: float | None = None
        self._recent = Totals(_SHORT)
        self._long = Totals(_SHORT)
        self._seen: tuple[float, int, int, int] | None = None
        self._sums = [0.0] * 5
        """As the constants above say."""
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
        self._sums[_WAITED] += seconds
        self._sums[_LEFT] += 1

    def dump(self) -> dict[str, Any]:
        """What lasts, for the store: not what arrived and ran, which is out of date at once."""
        return {"service": self.service, "starts": list(self._starts), "gaps": self.gaps.bins}

    def load(self, kept: Mapping[str, Any]) -> None:
        """Takes up what an earlier leader learnt."""
        self.service = kept["service"]
        self.gaps = Gaps(kept["gaps"])
        for seconds in kept["starts"]:
            self.started(seconds)

    @property
    def cold_start(self) -> float:
        """Seconds: the 95th percentile of the last starts."""
        return COLD_START_PRIOR if self._cold is None else self._cold

    def service_time(self, running_age: float) -> float:
        """Seconds of a call. Calls that run longer than any before are believed."""
        return max(SERVICE_PRIOR if self.service is None else self.service, running_age)

    def observe(self, now: float, *, arrived: int, waiting: int, running: int, held: int) -> None:
        """What the queue looks like. `arrived` counts all submits since ever, `held` calls whose client waits."""
        self._listen(now, silent=not waiting + running)
        if self._seen is None or arrived < self._seen[1]:
            # What is there already is all that is known to have arrived.
            self._seen = (now, arrived - waiting - running, 0, 0)
            self._recent.sample(now, *self._sums)
        then, before, ran, were_held = self._seen
        self._sums[_ARRIVED] += arrived - before
        self._sums[_RAN] += ran * (now - then)
        self._sums[_HELD] += were_held * (now - then)
        self._seen = (now, arrived, running, held)
        self._recent.sample(now, *self._sums)
        self._long.window = max(_SHORT, 3 * self.service_time(0.0))
        self._long.sample(now, *self._sums)

    def silence(self, now: float) -> float:
        """Seconds without a call; 0 while there is one, or when that is not known."""
        return 0.0 if self._quiet is None else now - self._quiet

    def keep_alive(self, idle_timeout: float | Literal["adaptive"], now: float) -> KeepAlive:
        """For how long an idle instance may stay, in seconds, if the spec does not say it itself."""
        if idle_timeout != "adaptive":
            return KeepAlive(idle_timeout=idle_timeout)
        return keep_alive(self.gaps, self.cold_start, self.silence(now), default=_IDLE_TIMEOUT)

    def _listen(self, now: float, *, silent: bool) -> None:
        if silent and self._quiet is None:
            self._quiet = now
        elif not silent and self._quiet is not None:
            self.gaps.add(now - self._quiet)
            self._quiet = None

    def rate(self, seconds: float, now: float) -> float:
        """Arrivals per second over the last `seconds`, or over as many as are kept."""
        totals = self._recent if min(seconds, self._long.window) <= _SHORT else self._long
        seconds = min(seconds, totals.window)
        return totals.over(seconds, now, _ARRIVED) / seconds

    def running(self, now: float) -> float:
        """How many ran at a time, on average of the last minute."""
        return self._recent.over(_SHORT, now, _RAN) / _SHORT

    def held(self, seconds: float, now: float) -> tuple[float, float | None]:
        """Over the last `seconds`: how many calls with a waiting client were there on average, and how long those
        that left the queue had waited; None: none left it."""
        there, waited, left = (self._recent.over(seconds, now, one) for one in (_HELD, _WAITED, _LEFT))
        return there / seconds, waited / left if left > _ROUNDING else None

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
