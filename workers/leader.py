"""Holds the leader's lease: one workers process per deployment owns the pool and dispatches.

What this process believes about its lease is counted on its own monotonic clock from before it asked, with a
margin: when in doubt it does not lead.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from penstock import clock
from penstock.errors import Stale, StoreUnavailable
from penstock.store import LEASE_MS
from penstock.store.leadership import Leadership
from penstock.telemetry import catalogue as the
from penstock.telemetry.metrics import Gauge
from workers.contact import LEADER_PATIENCE, Contact

log = logging.getLogger(__name__)

_RENEWAL = 2.5
"""Seconds: often enough that contact counts as uninterrupted between two answers."""
_MARGIN = 1.0
_STANDBY = 0.25
"""Seconds between two looks of a standby: how long leadership lies idle once its lease is over."""
_POLL = 0.05


class Leader:
    def __init__(self, leadership: Leadership, owner: str, contact: Contact) -> None:
        self._leadership = leadership
        self._contact = contact
        self._owner = owner
        self._sure_until = 0.0
        self.epoch: int | None = None
        """The epoch under which this process leads; None: it does not."""
        self.elected = asyncio.Event()
        """Set when this process leads."""
        self.lost = asyncio.Event()
        """Set when leadership has gone to somebody else."""

    async def run(self) -> None:
        """Takes the lease when it is free, and keeps it. Never returns."""
        while True:
            asked = clock.monotonic()
            epoch = await self._ask()
            if self.epoch is not None and epoch != self.epoch:
                log.warning("no longer leading (epoch %d)", self.epoch)
                self.lost.set()
                return
            if epoch is not None:
                self._sure_until = asked + LEASE_MS / 1000 - _MARGIN
                if self.epoch is None:
                    log.info("leading (epoch %d)", epoch)
                    self.epoch = epoch
                    self.elected.set()
            await asyncio.sleep(_RENEWAL if epoch is not None else _STANDBY)

    async def gauges(self) -> Iterable[Gauge]:
        """For metrics: whether this process leads."""
        return [Gauge(the.LEADS, (), self.epoch is not None and not self.lost.is_set())]

    async def _ask(self) -> int | None:
        # After an outage of Redis every lease has run out, and the leader that lives comes first.
        patient = self._contact.seconds(clock.monotonic()) >= LEADER_PATIENCE
        try:
            epoch = await self._leadership.lead(self._owner, self.epoch, lapsed=patient)
        except StoreUnavailable:
            self._contact.lost()
            raise
        self._contact.answered(clock.monotonic())
        return epoch

    async def sure(self) -> None:
        """Returns once this process is certain to lead. Raises Stale when it no longer does."""
        while True:
            if self.lost.is_set():
                raise Stale(f"epoch {self.epoch} no longer leads")
            if clock.monotonic() < self._sure_until:
                return
            await asyncio.sleep(_POLL)

    async def resign(self) -> None:
        """Lets the next process lead at once."""
        try:
            await self._leadership.resign(self._owner)
        except StoreUnavailable as error:
            log.warning("cannot resign: %s", error)
