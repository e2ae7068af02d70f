"""Keeps the leases of what runs here, and gives up what is no longer ours or was cancelled."""

from __future__ import annotations

import asyncio

from penstock.store import Store
from workers.dispatcher import Dispatcher

RENEWAL = 3.0
"""Seconds; a third of the lease, so that two lost renewals cost nothing."""
_CANCELS = 1.0
"""Seconds between looks at the cancels, for when the hint was lost."""


class Heartbeat:
    def __init__(self, store: Store, dispatcher: Dispatcher) -> None:
        self._store = store
        self._dispatcher = dispatcher

    async def renew(self) -> None:
        """Loop: one call per function renews all its leases."""
        while True:
            runs = self._dispatcher.tokens()
            stale = await asyncio.gather(*(self._store.queue.renew(fn, tokens) for fn, tokens in runs.items()))
            for (function, tokens), lost in zip(runs.items(), stale, strict=True):
                for invocation_id in lost:
                    self._dispatcher.abort(function, invocation_id, tokens[invocation_id])
            await asyncio.sleep(RENEWAL)

    async def cancels(self) -> None:
        """Loop: aborts what was cancelled."""
        while True:
            await self.look_for_cancels()
            await asyncio.sleep(_CANCELS)

    async def look_for_cancels(self) -> None:
        for function, invocation_id, token in await self._store.queue.take_cancels():
            self._dispatcher.abort(function, invocation_id, token)
