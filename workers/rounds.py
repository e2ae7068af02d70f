"""Which hosts of callbacks are served next, so that no slow or dead one holds up the others. Pure.

A round serves one host. Hosts that have not proved to be quick share half of the rounds among themselves, and each
gets fewer connections: however many of them hang, the other half is there for those that answer.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

MOST = 64
"""Rounds at a time."""
_MOST_SLOW = MOST // 2
_QUICK = 1.0
"""Seconds within which a quick host answers."""
_CONNECTIONS, _CONNECTIONS_SLOW = 16, 8
_KNOWN = 10_000
"""Hosts that are remembered to be quick."""


class Rounds:
    def __init__(self) -> None:
        self._serving: dict[str, float] = {}
        self._quick: dict[str, None] = {}

    def begin(self, due: Iterable[str], now: float, longest: float) -> list[str]:
        """The hosts among those due whose rounds begin now; a round ends by `ended`, or after `longest` seconds
        for want of a word."""
        self._serving = {host: until for host, until in self._serving.items() if now < until}
        waiting = [host for host in due if host not in self._serving]
        random.shuffle(waiting)  # whoever has the oldest backlog must not always be first
        slow = sum(host not in self._quick for host in self._serving)
        begun = []
        for host in waiting:
            quick = host in self._quick
            if len(self._serving) >= MOST or (not quick and slow >= _MOST_SLOW):
                continue
            slow += not quick
            self._serving[host] = now + longest
            begun.append(host)
        return begun

    def ended(self, host: str) -> None:
        self._serving.pop(host, None)

    def connections(self, host: str) -> int:
        """How many deliveries to this host may be under way at a time."""
        return _CONNECTIONS if host in self._quick else _CONNECTIONS_SLOW

    def answered(self, host: str, seconds: float | None) -> None:
        """How long it took to answer; None: it did not, or failed."""
        self._quick.pop(host, None)
        if seconds is not None and seconds < _QUICK:
            self._quick[host] = None
            if len(self._quick) > _KNOWN:
                del self._quick[next(iter(self._quick))]
