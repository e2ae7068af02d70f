"""How long this process has been in uninterrupted contact with Redis. Pure: the time is an argument.

After an outage every lease has run out while the calls still run, so leases are taken for lost only by someone
who could have seen them renewed.
"""

from __future__ import annotations

_LONGEST_GAP = 3.0
"""Seconds between two answers that still count as uninterrupted; a process that was paused has longer ones."""


RENEWAL_PATIENCE = 8.0
"""Seconds of contact after which a run that was not renewed is lost: whoever lives is back within 5 s, and then
renews every 3 s."""
LEADER_PATIENCE = 5.0
"""Seconds of contact after which a leader that did not renew its lease is gone: it renews once it is back."""


class Contact:
    def __init__(self) -> None:
        self._since: float | None = None
        self._last = 0.0

    def answered(self, now: float) -> None:
        """Redis has answered."""
        if self._since is None or now - self._last > _LONGEST_GAP:
            self._since = now
        self._last = now

    def lost(self) -> None:
        """Redis has not."""
        self._since = None

    def seconds(self, now: float) -> float:
        """0 while there is no contact."""
        if self._since is None or now - self._last > _LONGEST_GAP:
            return 0.0
        return now - self._since
