"""Delivers callbacks: tells a URL how an invocation ended, signed, until it says 2xx or the schedule is over.

The outbox in Redis is the truth: `finish` writes an entry in the same script as the outcome, and it stays
until the delivery is settled. arq carries each try; a try that it loses is claimed again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random

import aiohttp

from penstock import clock, views, webhooks
from penstock.blobs import Blobs
from penstock.headers import retry_after
from penstock.invocation import Ending
from penstock.store import Store
from workers.deferred import Deferred

log = logging.getLogger(__name__)

_MINUTE, _HOUR = 60.0, 3600.0
SCHEDULE = (
    *(5.0, 5 * _MINUTE, 30 * _MINUTE),
    *(2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 14 * _HOUR, 20 * _HOUR, 24 * _HOUR),
)
"""Seconds from one try to the next: ten tries over 75 h."""
_RETRIED = frozenset({408, 425, 429})
_CLAIM_MARGIN = 15.0
"""Seconds beyond the timeout after which a try that nobody reported on is made again."""
_PERIOD = 1.0
_BATCH = 200
_ANSWER_LIMIT = 64 * 1024
_LONGEST_RETRY_AFTER = 86_400.0
"""Seconds; a receiver that asks for more is asked again sooner."""


def next_delay(tries: int) -> float | None:
    """Seconds until the next try after this many, with up to a tenth of jitter; None: that was the last."""
    if tries > len(SCHEDULE):
        return None
    return SCHEDULE[tries - 1] * random.uniform(1.0, 1.1)


def worth_retrying(status: int) -> bool:
    """True for a status that says: later, perhaps."""
    return status in _RETRIED or status >= 500


class Callbacks:
    def __init__(self, store: Store, blobs: Blobs, *, url: str, keys: tuple[bytes, ...], timeout: float) -> None:
        """`url` of Redis, for arq; `keys` sign; `timeout` in seconds bounds one try."""
        self._store = store
        self._blobs = blobs
        self._keys = keys
        self._timeout = timeout
        self._wake = asyncio.Event()
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=timeout), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )
        self.carrier = Deferred(url, "deliver", self._deliver, timeout=timeout + _CLAIM_MARGIN / 2)

    def look(self) -> None:
        """A callback may be owed."""
        self._wake.set()

    async def run(self) -> None:
        """Loop: hands what is due to arq."""
        claim_ms = int((self._timeout + _CLAIM_MARGIN) * 1000)
        while True:
            due = await self._store.outbox.claim(claim_ms=claim_ms, limit=_BATCH)
            for function, invocation_id, tries in due:
                await self.carrier.put(f"{invocation_id}:{tries}", function, invocation_id, tries)
            if len(due) < _BATCH:
                try:
                    await asyncio.wait_for(self._wake.wait(), _PERIOD)
                except TimeoutError:
                    continue
                self._wake.clear()

    async def close(self) -> None:
        await self.carrier.close()
        await self._http.close()

    async def _deliver(self, function: str, invocation_id: str, tries: int) -> None:
        """One try."""
        record = await self._store.invocations.get(function, invocation_id)
        ending = await self._store.invocations.ending(function, invocation_id)
        if record is None or ending is None or record.callback is None:
            log.warning("%s/%s: its callback is dropped, since its record is gone", function, invocation_id)
            await self._store.outbox.settle(function, invocation_id)
            return
        body = json.dumps(views.callback(record, ending, await self._body(ending))).encode()
        problem, retry, at_least = await self._post(record.callback, f"msg_{invocation_id}", body)
        if problem is None:
            await self._store.outbox.settle(function, invocation_id)
            return
        delay = next_delay(tries + 1) if retry else None
        if delay is None:
            log.warning("%s/%s: callback given up: %s", function, invocation_id, problem)
            await self._store.outbox.settle(function, invocation_id)
            return
        delay = max(delay, min(at_least or 0.0, _LONGEST_RETRY_AFTER))
        log.info("%s/%s: callback: %s; again in %.0f s", function, invocation_id, problem, delay)
        await self._store.outbox.postpone(function, invocation_id, int(delay * 1000))

    async def _post(self, url: str, message_id: str, body: bytes) -> tuple[str | None, bool, float | None]:
        """What went wrong, None if nothing did; whether another try may help; and in how many seconds at the
        earliest the receiver wants it."""
        headers = {"content-type": "application/json", **webhooks.headers(self._keys, message_id, body)}
        try:
            async with self._http.post(url, data=body, headers=headers, allow_redirects=False) as reply:
                await reply.content.read(_ANSWER_LIMIT)
                if 200 <= reply.status < 300:
                    return None, False, None
                at_least = retry_after(reply.headers.items(), clock.now_ms())
                return f"{url} answered {reply.status}", worth_retrying(reply.status), at_least
        except aiohttp.InvalidURL as error:
            return f"{url} is not a URL: {error}", False, None
        except (aiohttp.ClientError, OSError) as error:
            return f"{url}: {str(error) or type(error).__name__}", True, None

    async def _body(self, ending: Ending) -> bytes:
        if ending.response is not None and ending.response.blob is not None:
            return await self._blobs.read(ending.response.blob)
        return ending.body
