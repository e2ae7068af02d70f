"""Takes callbacks to their endpoints, in rounds of one host or function each: claims what is due there, posts it
or makes a job of it, and writes down what came of it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterable
from urllib.parse import urlsplit

import aiohttp

from penstock import clock, webhooks
from penstock.delivery import Attempt, Delivery, lane
from penstock.egress import Egress
from penstock.errors import StoreUnavailable
from penstock.function import named_function
from penstock.headers import retry_after
from penstock.outbound import Refused, open_session
from penstock.store import Store
from penstock.tasks import cancel
from penstock.telemetry import catalogue as the
from penstock.telemetry.metrics import Metrics
from penstock.telemetry.traces import NOT_TRACED, Traces
from workers import tracing
from workers.circuits import Circuits
from workers.handover import Handover
from workers.messages import Message, Messages
from workers.retries import Answer, settle
from workers.rounds import Rounds

log = logging.getLogger(__name__)

_ROUND = 10.0
"""Seconds after which a round claims nothing more: it is bounded, so that who carries it can be."""
_CLAIM_MARGIN = 15.0
"""Seconds beyond the timeout after which a try that nobody reported on is made again."""
_ANSWER_LIMIT = 64 * 1024
_EXCERPT = 200
"""Characters of an answer that says no which the ledger remembers."""


class Courier:
    def __init__(
        self,
        store: Store,
        messages: Messages,
        rounds: Rounds,
        metrics: Metrics,
        handover: Handover,
        *,
        keys: tuple[bytes, ...],
        allowed: Egress,
        timeout: float,
        traces: Traces = NOT_TRACED,
    ) -> None:
        """`keys` sign; `timeout` in seconds bounds one try."""
        self._store = store
        self._messages = messages
        self._rounds = rounds
        self._metrics = metrics
        self._handover = handover
        self._keys = keys
        self._timeout = timeout
        self._traces = traces
        self._circuits = Circuits(probe=timeout)
        self._http = open_session(allowed, timeout=timeout)
        self.longest = _ROUND + timeout + _CLAIM_MARGIN / 2
        """Seconds that a round takes at most."""

    async def serve(self, host: str) -> None:
        """One round: all that is due to this host, until nothing is or the time is over."""
        over = clock.monotonic() + _ROUND
        claim_ms = int((self._timeout + _CLAIM_MARGIN) * 1000)
        under_way: set[asyncio.Task[None]] = set()
        try:
            while True:
                room = self._rounds.connections(host) - len(under_way)
                if room > 0 and clock.monotonic() < over:
                    due = await self._store.deliveries.collect(host, claim_ms=claim_ms, limit=room)
                    under_way |= {asyncio.create_task(self._deliver(one)) for one in due}
                if not under_way:
                    return
                done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        except StoreUnavailable as error:
            log.info("callbacks to %s: %s; they are tried again", host, error)
        finally:
            await cancel(under_way)

    async def close(self) -> None:
        await self._http.close()

    async def _deliver(self, delivery: Delivery) -> None:
        """One attempt, unless the endpoint is to be left alone. Raises StoreUnavailable."""
        ledger = self._store.deliveries
        if not delivery.manual:
            if await ledger.is_gone(delivery.function, delivery.url):
                await ledger.attempted(delivery, "disabled", None)
                return
            if (wait := self._circuits.wait(delivery.url, clock.monotonic())) is not None:
                await ledger.attempted(delivery, "pending", None, delay_ms=int(wait * 1000))
                return
        message = await self._messages.message(delivery)
        if message is None:
            error = "what it tells of is past its retention"
            gone = Attempt(at=clock.now_ms(), ms=0, status=None, error=error, sha256="")
            await ledger.attempted(delivery, "dead", gone)
            self._metrics.counter(the.CALLBACKS, "dead").add()
            return
        began = clock.monotonic()
        answer = await self._told(delivery, message)
        took = clock.monotonic() - began
        self._learn(delivery, answer, took)
        await self._settle(delivery, answer, took, hashlib.sha256(message.body).hexdigest())

    def _learn(self, delivery: Delivery, answer: Answer, took: float) -> None:
        self._rounds.answered(lane(delivery.url), None if answer.sick or answer.refused else took)
        if answer.sick:
            self._circuits.failed(delivery.url, clock.monotonic())
        elif not answer.refused:
            self._circuits.succeeded(delivery.url)

    async def _settle(self, delivery: Delivery, answer: Answer, took: float, sha256: str) -> None:
        ledger = self._store.deliveries
        state, delay = settle(answer, delivery.spent + 1, delivery.what)
        if state == "disabled" or (state == "delivered" and delivery.manual):
            await ledger.set_gone(delivery.function, delivery.url, state == "disabled")
        attempt = Attempt(
            at=clock.now_ms(), ms=int(took * 1000), status=answer.status, error=answer.error, sha256=sha256
        )
        if state != "delivered":
            follows = f"again in {delay:.0f} s" if state == "pending" else "given up"
            level = logging.INFO if state == "pending" else logging.WARNING
            # What the ledger has beside that may hold the secret of a URL, or what its server said.
            said = "did not answer" if answer.status is None else f"answered {answer.status}"
            why = f"{lane(delivery.url)} {said}"
            log.log(level, "%s/%s: callback %s: %s", delivery.function, delivery.of, follows, why)
        await ledger.attempted(delivery, state, attempt, delay_ms=int(delay * 1000))
        self._metrics.counter(the.CALLBACKS, state).add()

    async def _told(self, delivery: Delivery, message: Message) -> Answer:
        """Posts it, in the trace of what it tells of; for a function, makes a job of it."""
        if (target := named_function(delivery.url)) is not None:
            return await self._handover.give(delivery, target, message.body)
        parts = urlsplit(delivery.url)
        place = {"url.scheme": parts.scheme, "server.address": parts.hostname or ""}
        span = tracing.of_delivery(self._traces, delivery, message.trace, place)
        if span is None:
            return await self._post(delivery, message.body)
        answer = Answer(error="broken off")
        try:
            answer = await self._post(delivery, message.body, span.context.headers())
        finally:
            tracing.delivered(span, answer)
        return answer

    async def _post(self, delivery: Delivery, body: bytes, more: Iterable[tuple[str, str]] = ()) -> Answer:
        url = delivery.url
        signed = webhooks.headers(self._keys, delivery.message, body)
        headers = {"content-type": "application/json", "user-agent": "Penstock", **signed, **dict(more)}
        try:
            async with self._http.post(url, data=body, headers=headers, allow_redirects=False) as reply:
                if 200 <= reply.status < 300:
                    return Answer(status=reply.status)
                after = retry_after(reply.headers.items(), clock.now_ms())
                error = f"{url} answered {reply.status}{await _said(reply)}"
                return Answer(status=reply.status, error=error, retry_after=after)
        except aiohttp.InvalidURL as error:
            return Answer(error=f"{url} is not a URL: {error}", refused=True)
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, Refused):
                return Answer(error=f"{url} {error.os_error.strerror}", refused=True)
            return Answer(error=f"{url}: {error}")
        except TimeoutError:
            return Answer(error=f"{url} did not answer within {self._timeout:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return Answer(error=f"{url}: {str(error) or type(error).__name__}")


async def _said(reply: aiohttp.ClientResponse) -> str:
    """What stands in an answer that says no; a redirect would say where to."""
    if 300 <= reply.status < 400:
        return f" and would redirect to {reply.headers.get('Location', 'nowhere')}: give the final URL"
    try:
        text = (await reply.content.read(_ANSWER_LIMIT)).decode(errors="replace")[:_EXCERPT]
    except (aiohttp.ClientError, OSError):
        return ""
    printable = "".join(character if character.isprintable() else " " for character in text).strip()
    return f": {printable}" if printable else ""
