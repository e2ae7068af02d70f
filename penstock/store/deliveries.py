"""The ledger of callbacks: every delivery to an endpoint, what became of each attempt, and when the next is due.

A delivery is a hash:
field     what
of        id of the invocation or batch that it tells of
what      started, progress, output, completed, batch
url       where to, a URL or function:NAME; with `what` and `of` it makes the delivery's name
payload   see penstock.invocation.Payload
created   ms since 1970 at which it was first owed
turn      how often it was owed: an update that comes again is the same delivery with another turn
state     pending, delivered, dead, disabled
due       ms of the next attempt; absent: none follows
claimed   ms until which somebody attempts it; absent: nobody does
ended     ms of the end; absent: it is pending
made      attempts so far
spent     attempts of this turn, since it was last redelivered by hand
manual    '1' while somebody has asked for the attempt by hand
attempts  JSON of the last attempts, one a line

Every method raises StoreUnavailable when Redis cannot be reached or cannot serve.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import cast

from penstock import keys
from penstock.delivery import Attempt, Delivery, DeliveryState, Endpoint, digest, lane
from penstock.invocation import Payload
from penstock.store.connection import Connection
from penstock.store.known import known

GONE_MS = 24 * 3600 * 1000
"""How long an endpoint that answered 410 is left alone."""

_HOSTS = 10_000
_PAGE = 500


class Deliveries:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def owe(self, function: str, of: str, what: str, endpoints: Sequence[Endpoint]) -> bool:
        """Has each endpoint told of what the outbox said. False if somebody else has done so."""
        parts = [
            part
            for endpoint in endpoints
            for part in (
                f"{of}-{what}-{digest(endpoint.url)}",
                lane(endpoint.url),
                endpoint.url,
                endpoint.payload,
            )
        ]
        owed = await self._connection.script(
            "owe",
            [keys.deliveries(function), keys.delivery_prefix(function)],
            self._connection.clock_offset,
            f"{function} {of} {what}",
            *parts,
        )
        return bool(owed)

    async def hosts_due(self) -> list[str]:
        """Hosts to which something is due."""
        _, *hosts = await self._connection.script("due", [keys.LANES], self._connection.clock_offset, _HOSTS)
        return [host.decode() for host in hosts]

    async def collect(self, host: str, *, claim_ms: int, limit: int) -> list[Delivery]:
        """Claims what is due to a host. Each is due again when the claim runs out, unless `attempted` says
        what became of it."""
        due = await self._connection.script("collect", [], self._connection.clock_offset, host, claim_ms, limit)
        named = [member.decode().split() for member in due]
        found = await asyncio.gather(*(self.get(function, name) for function, name in named))
        return [delivery for delivery in found if delivery is not None]

    async def attempted(
        self, delivery: Delivery, state: DeliveryState, attempt: Attempt | None, *, delay_ms: int = 0
    ) -> DeliveryState | None:
        """Writes down an attempt (None: it was put off) and what follows: `pending` is due again after the delay.
        Returns the state that it is in; None if the ledger has forgotten it."""
        function = delivery.function
        now = await self._connection.script(
            "attempted",
            [
                keys.delivery_prefix(function) + delivery.name,
                keys.ended_deliveries(function),
                keys.deliveries(function),
                keys.delivery_prefix(function),
                (keys.batch if delivery.what == "batch" else keys.record)(function, delivery.of),
            ],
            self._connection.clock_offset,
            function,
            delivery.name,
            lane(delivery.url),
            delivery.turn,
            state,
            delay_ms,
            json.dumps(asdict(attempt)) if attempt is not None else "",
        )
        return now.decode() or None

    async def redeliver(self, delivery: Delivery) -> bool:
        """Makes it due at once, with all its tries before it; False if the ledger has forgotten it."""
        function = delivery.function
        found = await self._connection.script(
            "redeliver",
            [keys.delivery_prefix(function) + delivery.name, keys.ended_deliveries(function)],
            self._connection.clock_offset,
            function,
            delivery.name,
            lane(delivery.url),
        )
        return bool(found)

    async def get(self, function: str, name: str) -> Delivery | None:
        """One of the ledger; None if it has none of this name."""
        stored: Mapping[bytes, bytes] = await self._connection.command(
            "HGETALL", keys.delivery_prefix(function) + name
        )
        return _decode(function, name, stored) if b"turn" in stored and b"created" in stored else None

    async def names(self, function: str, *, since_ms: int, until_ms: int, skip: int = 0) -> list[tuple[str, int]]:
        """Names of what was first owed in that time, both ends included, and when, newest first: 500 at most,
        after as many as are skipped."""
        found = await self._connection.command(
            "ZREVRANGEBYSCORE", keys.deliveries(function), until_ms, since_ms, "WITHSCORES", "LIMIT", skip, _PAGE
        )
        return [(name.decode(), int(score)) for name, score in zip(found[::2], found[1::2], strict=True)]

    async def ended_since(self, function: str, since_ms: int) -> list[str]:
        """Names of those that ended then or later, whatever the end."""
        found: list[bytes] = await self._connection.command(
            "ZRANGEBYSCORE", keys.ended_deliveries(function), since_ms, "+inf"
        )
        return [name.decode() for name in found]

    async def is_gone(self, function: str, url: str) -> bool:
        """True while an endpoint is left alone."""
        return bool(await self._connection.command("EXISTS", keys.gone(function, digest(url))))

    async def set_gone(self, function: str, url: str, gone: bool) -> None:
        """Leaves an endpoint alone for a day, or no longer."""
        key = keys.gone(function, digest(url))
        if gone:
            await self._connection.command("SET", key, url, "PX", GONE_MS)
        else:
            await self._connection.command("DEL", key)

    async def backlog(self) -> tuple[int, int | None]:
        """How many deliveries are owed, now or later, and when the first of them is due (ms since 1970; None: none
        is owed)."""
        lanes = await self._connection.command("ZRANGE", keys.LANES, 0, -1, "WITHSCORES")
        commands = [self._connection.command("ZCARD", keys.LANE + host.decode()) for host in lanes[::2]]
        counts = await asyncio.gather(self._connection.command("ZCARD", keys.OUTBOX), *commands)
        return sum(map(int, counts)), int(float(lanes[1])) if lanes else None

    async def hosts_owed(self) -> int:
        """To how many hosts anything is owed, now or later."""
        return int(await self._connection.command("ZCARD", keys.LANES))


def _decode(function: str, name: str, stored: Mapping[bytes, bytes]) -> Delivery:
    fields = {key.decode(): value.decode() for key, value in stored.items()}

    def number(field: str) -> int | None:
        return int(fields[field]) if field in fields else None

    return Delivery(
        function=function,
        name=name,
        of=fields["of"],
        what=fields["what"],
        url=fields["url"],
        payload=cast("Payload", fields["payload"]),
        created_at=int(fields["created"]),
        turn=int(fields["turn"]),
        state=cast("DeliveryState", fields["state"]),
        due_at=number("due"),
        ended_at=number("ended"),
        made=number("made") or 0,
        spent=number("spent") or 0,
        manual="manual" in fields,
        claimed="claimed" in fields,
        attempts=tuple(
            Attempt(**known(Attempt, json.loads(line))) for line in fields.get("attempts", "").split("\n") if line
        ),
    )
