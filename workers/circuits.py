"""Which endpoints of callbacks are left alone for a while, since they failed several times in a row. Pure.

An open circuit puts deliveries off and spends none of their tries. When its time is over one delivery probes: if
that fails the next pause is twice as long, if it succeeds all others follow.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

_THRESHOLD = 5
"""Failures in a row that open a circuit."""
_SHORTEST, _LONGEST = 30.0, 300.0
"""Seconds that a circuit stays open at first, and at most."""
_FORGOTTEN = 3600.0
"""Seconds after its last failure at which an endpoint is thought healthy again."""
_MOST = 10_000


@dataclass
class _Circuit:
    failures: int = 0
    pause: float = 0.0
    open_until: float = 0.0
    probe_until: float = 0.0
    failed_at: float = 0.0


class Circuits:
    def __init__(self, *, probe: float) -> None:
        """`probe`: seconds after which a probe that nobody reported on is made again."""
        self._probe = probe
        self._circuits: dict[str, _Circuit] = {}

    def wait(self, url: str, now: float) -> float | None:
        """Seconds for which a delivery is put off; None: it may be tried. Spread, so that not all come at once."""
        circuit = self._circuits.get(url)
        if circuit is None or circuit.failures < _THRESHOLD:
            return None
        free = max(circuit.open_until, circuit.probe_until)
        if now < free:
            return free - now + random.uniform(0.0, circuit.pause)
        circuit.probe_until = now + self._probe
        return None

    def succeeded(self, url: str) -> None:
        self._circuits.pop(url, None)

    def failed(self, url: str, now: float) -> None:
        circuit = self._circuits.setdefault(url, _Circuit())
        circuit.failures += 1
        circuit.failed_at = now
        # Failures of tries that were under way when it opened say nothing new.
        if circuit.failures >= _THRESHOLD and now >= circuit.open_until:
            circuit.pause = min(max(2 * circuit.pause, _SHORTEST), _LONGEST)
            circuit.open_until = now + circuit.pause
            circuit.probe_until = 0.0
        if len(self._circuits) > _MOST:
            self._forget(now)

    def _forget(self, now: float) -> None:
        old = [url for url, one in self._circuits.items() if now - one.failed_at > _FORGOTTEN]
        for url in old or list(self._circuits)[: _MOST // 10]:
            del self._circuits[url]
