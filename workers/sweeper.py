"""Looks after the queues of active functions: each second, and at once where work arrives and finds no slot.

It takes back leases that ran out, but only after a while of uninterrupted contact with Redis of its own:
after an outage every lease has run out while the calls still run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from penstock import clock
from penstock.errors import StoreUnavailable
from penstock.store import Store, Sweep
from workers.contact import RENEWAL_PATIENCE, Contact

log = logging.getLogger(__name__)

_PERIOD = 1.0
_LOOKS_APART = 0.05
"""Seconds between two looks at one function."""


class Sweeper:
    def __init__(
        self, store: Store, consider: Callable[[str, Sweep], Awaitable[None]], contact: Contact, *, epoch: int
    ) -> None:
        """`consider` hears what a sweep found."""
        self._store = store
        self._consider = consider
        self._epoch = epoch
        self._contact = contact
        self._looked: dict[str, tuple[float, float]] = {}
        """The last two looks at a function that was asked for."""
        self._paused: set[str] = set()
        self._wanted: set[str] = set()
        self._wake = asyncio.Event()

    def look_soon(self, function: str) -> None:
        """Work may wait there and find no slot."""
        self._wanted.add(function)
        self._wake.set()

    async def run(self) -> None:
        """Loop: sweeps what is due."""
        while True:
            try:
                wait, due = await self._store.queue.due()
                await asyncio.gather(*(self._look(function) for function in due))
            except StoreUnavailable:
                self._contact.lost()
                raise
            self._contact.answered(clock.monotonic())
            if len(due) < 1_000:
                await asyncio.sleep(max(min(wait, _PERIOD), _LOOKS_APART))

    async def looks(self) -> None:
        """Loop: sweeps what was asked for, 20 times a second per function at most."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            wanted, self._wanted = self._wanted, set()
            await asyncio.gather(*(self._look(function) for function in wanted if self._may_look(function)))

    def _may_look(self, function: str) -> bool:
        """True now, or again after a pause. Two in a row are let through: what follows a change must not wait."""
        before_last, last = self._looked.get(function, (0.0, 0.0))
        now = clock.monotonic()
        pause = before_last + 2 * _LOOKS_APART - now
        if pause <= 0:
            self._looked[function] = (last, now)
            return True
        if function not in self._paused:
            self._paused.add(function)
            asyncio.get_running_loop().call_later(pause, self._look_again, function)
        return False

    def _look_again(self, function: str) -> None:
        self._paused.discard(function)
        self.look_soon(function)

    async def _look(self, function: str) -> None:
        sweep = await self._store.queue.sweep(function, epoch=self._epoch, requeue=self._may_requeue())
        if sweep.requeued or sweep.failed:
            log.warning("%s: %d lost runs requeued, %d ended", function, sweep.requeued, sweep.failed)
        await self._consider(function, sweep)

    def _may_requeue(self) -> bool:
        return self._contact.seconds(clock.monotonic()) >= RENEWAL_PATIENCE
