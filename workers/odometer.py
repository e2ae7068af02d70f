"""How long one instance has lived, started and been busy. Pure: every time is an argument, in monotonic seconds.

It counts at the very moments, since most calls are shorter than the second between two looks at it.
"""

from __future__ import annotations


class Odometer:
    def __init__(self, now: float) -> None:
        self._since = now
        self._ready: float | None = None
        """None: it is not ready yet, or ended before it was."""
        self._gone: float | None = None
        self._running = 0
        self._busy = 0.0
        """Of the busy stretches that have ended."""
        self._busy_since = now
        """Of the one that lasts, while `_running` is not 0."""
        self.calls = 0
        """Runs that ended."""

    def ready(self, now: float) -> None:
        self._ready = now

    def began(self, now: float) -> None:
        """A call began to run."""
        if not self._running:
            self._busy_since = now
        self._running += 1

    def ended(self, now: float) -> None:
        """A call that ran does so no more."""
        self._running -= 1
        self.calls += 1
        if not self._running:
            self._busy += self._stretch(now)

    def gone(self, now: float) -> None:
        """Nothing counts from here on, but calls that are seen to have ended."""
        self._gone = now

    def lived(self, now: float) -> float:
        return self._until(now) - self._since

    def starting(self, now: float) -> float:
        """Seconds until it was ready, or was given up."""
        return (self._until(now) if self._ready is None else self._ready) - self._since

    def busy(self, now: float) -> float:
        """Seconds with at least one call running."""
        return self._busy + (self._stretch(now) if self._running else 0.0)

    def _stretch(self, now: float) -> float:
        # A call may outlive its instance by a moment: the loss is seen after the end.
        return max(self._until(now) - self._busy_since, 0.0)

    def _until(self, now: float) -> float:
        return now if self._gone is None else self._gone
