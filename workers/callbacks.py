"""Callbacks: tells URLs what becomes of invocations, signed, until they say 2xx or the schedule is over.

What Redis holds is the truth: the scripts of an invocation write what is owed to the outbox; here it becomes a
delivery to each endpoint, in the ledger. Deliveries wait in a lane for each host. arq carries rounds: each takes
what is due to one host there (workers/courier.py). A try that is lost with its process is claimed again.
"""

from __future__ import annotations

import asyncio
import secrets

from penstock import clock
from penstock.blobs import Blobs
from penstock.errors import StoreUnavailable
from penstock.settings import CallbackSettings
from penstock.store import Store
from penstock.telemetry.metrics import Metrics
from penstock.telemetry.traces import NOT_TRACED, Traces
from penstock.webhooks import parse_secrets
from workers.courier import Courier
from workers.deferred import Deferred
from workers.handover import Handover
from workers.messages import Messages
from workers.rounds import MOST, Rounds
from workers.submitting import Submitting

_PERIOD = 0.5
"""Seconds between two looks, for want of a hint: as often as an update may be told."""
_CLAIM_MS = 5_000
"""How long what was claimed from the outbox has to become deliveries; done twice, it is done once."""
_BATCH = 200


class Callbacks:
    def __init__(
        self,
        store: Store,
        blobs: Blobs,
        submitting: Submitting,
        settings: CallbackSettings,
        metrics: Metrics,
        *,
        url: str,
        traces: Traces = NOT_TRACED,
    ) -> None:
        """`url` of Redis, for arq."""
        self._store = store
        self._messages = Messages(store, blobs, base_url=settings.base_url)
        self._rounds = Rounds()
        self._courier = Courier(
            store,
            self._messages,
            self._rounds,
            metrics,
            Handover(store, submitting),
            keys=parse_secrets(settings.secret),
            allowed=settings.egress,
            timeout=settings.timeout,
            traces=traces,
        )
        self._wake = asyncio.Event()
        # What arq still locks for a process that died must not keep its successor from serving the same host.
        self._run = secrets.token_hex(4)
        self._round = 0
        self.carrier = Deferred(url, "ps:arq", "serve", self._serve, timeout=self._courier.longest, at_once=MOST)

    def look(self) -> None:
        """A callback may be owed."""
        self._wake.set()

    async def run(self) -> None:
        """Loop: makes deliveries of what is owed, and hands hosts to which any are due to arq."""
        while True:
            self._wake.clear()
            claimed = self._store.outbox.claim(claim_ms=_CLAIM_MS, limit=_BATCH)
            owed, due = await asyncio.gather(claimed, self._store.deliveries.hosts_due())
            if owed:
                await asyncio.gather(*(self._owe(*one) for one in owed))
                due = await self._store.deliveries.hosts_due()
            for host in self._rounds.begin(due, clock.monotonic(), self._courier.longest):
                await self._begin(host)
            if len(owed) < _BATCH:
                await self._idle()

    async def close(self) -> None:
        await self.carrier.close()
        await self._courier.close()

    async def _owe(self, function: str, named: str, what: str) -> None:
        endpoints = await self._messages.endpoints(function, named, what)
        await self._store.deliveries.owe(function, named, what, endpoints)

    async def _begin(self, host: str) -> None:
        self._round += 1
        try:
            await self.carrier.put(f"{self._run}:{self._round}", host)
        except StoreUnavailable:
            self._rounds.ended(host)
            raise

    async def _serve(self, host: str) -> None:
        try:
            await self._courier.serve(host)
        finally:
            self._rounds.ended(host)
            self.look()

    async def _idle(self) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), _PERIOD)
        except TimeoutError:
            return
