"""Looks after the queues of active functions: each second, and at once where work arrives and finds no slot.

It takes back leases that ran out, but only after one full lease of uninterrupted contact with Redis of its
own: after an outage every lease has run out while the calls still run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from penstock import clock
from penstock.errors import StoreUnavailable
from penstock.store import LEASE_MS, Store, Sweep
from workers.contact import Contact

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
        self._looked: dict[str, float] = {}
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
            now = clock.monotonic()
            early = {fn for fn in wanted if now - self._looked.get(fn, 0.0) < _LOOKS_APART}
            await asyncio.gather(*(self._look(function) for function in wanted - early))
            if early:
                await asyncio.sleep(_LOOKS_APART)
                for function in early:
                    self.look_soon(function)

    async def _look(self, function: str) -> None:
        self._looked[function] = clock.monotonic()
        sweep = await self._store.queue.sweep(function, epoch=self._epoch, requeue=self._may_requeue())
        if sweep.requeued or sweep.failed:
            log.warning("%s: %d lost runs requeued, %d ended", function, sweep.requeued, sweep.failed)
        await self._consider(function, sweep)

    def _may_requeue(self) -> bool:
        return self._contact.seconds(clock.monotonic()) >= LEASE_MS / 1000
