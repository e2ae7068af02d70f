"""What happens when a function's instances fail to start: longer and longer pauses, then a circuit. Pure.

An open circuit answers held calls at once with the reason; it still lets a start through now and then, so that
a function whose cause went away recovers by itself. A new revision begins afresh.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from penstock.invocation import Failure

_LONGEST_PAUSE = 60.0
_OPENS_AT = 5
_OPENS_AT_WHEN_NEVER_READY = 2


@dataclass(frozen=True, kw_only=True)
class CrashLoop:
    """How starting one revision has gone. Times in monotonic seconds."""

    failures: int = 0
    """In a row."""
    equal: int = 0
    """In a row with the same message, but for its numbers."""
    since: float = 0.0
    """When the first of them failed."""
    ever_ready: bool = False
    next_start: float = 0.0
    failure: Failure | None = None
    """The last one; None: none since it was last ready."""

    @property
    def open(self) -> bool:
        """True if calls should be told the failure instead of waiting."""
        never = not self.ever_ready and self.equal >= _OPENS_AT_WHEN_NEVER_READY
        return never or self.failures >= _OPENS_AT

    def may_start(self, now: float) -> bool:
        return now >= self.next_start

    def failed(self, failure: Failure, now: float) -> CrashLoop:
        """After a start that failed, or an instance that ended by itself."""
        same = self.failure is not None and _gist(self.failure) == _gist(failure)
        failures = self.failures + 1
        return replace(
            self,
            failures=failures,
            since=self.since if self.failures else now,
            equal=self.equal + 1 if same else 1,
            next_start=now + min(2.0 ** min(failures - 1, 10), _LONGEST_PAUSE),
            failure=failure,
        )

    def ready(self) -> CrashLoop:
        """After a start that succeeded."""
        return CrashLoop(ever_ready=True)


def _gist(failure: Failure) -> str:
    """What it says but for ports, times and process ids, which differ with each start."""
    return re.sub(r"\d+", "0", failure.message)
