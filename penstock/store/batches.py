"""Batches in Redis: opened, filled by submits, sealed, counted by whatever ends their jobs.

field        what                                                     written by
created      ms since 1970                                            open
lines        lines of its request                                     open
callback     JSON of who is told when it has ended; absent: nobody    open
idem         its idempotency key, which lives as long as it           open
sealed       see penstock.batch.Seal; absent: it may take more jobs   seal, sweep
accepted     jobs that it took                                        seal, sweep
<state>      jobs that ended so                                       the end of a job
ended        jobs that have ended                                     the end of a job
finished     ms since 1970                                            the end of the last job, or seal

Which lines were accepted is a bitmap beside it, written by submit. There is no list of ids: see penstock/ids.py.
Every method raises StoreUnavailable when Redis cannot be reached or cannot serve.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from penstock import keys
from penstock.batch import FILL_MS, Batch, Opened, Seal
from penstock.errors import FunctionNotFound, IdempotencyConflict
from penstock.invocation import Idempotency, State
from penstock.store.connection import Connection
from penstock.store.queue import Retention


class Batches:
    def __init__(self, connection: Connection, retention: Retention | None = None) -> None:
        self._connection = connection
        self._keep_ms = (retention or Retention()).job_ms

    async def open(
        self, function: str, batch_id: str, *, lines: int, callback: str | None, key: Idempotency | None
    ) -> Opened:
        """A batch that takes jobs until it is sealed. Raises FunctionNotFound and IdempotencyConflict."""
        code, *rest = await self._connection.script(
            "open_batch",
            [
                keys.batch(function, batch_id),
                keys.filling(function),
                keys.idempotency(function, key.key if key else ""),
            ],
            self._connection.clock_offset,
            function,
            batch_id,
            lines,
            json.dumps({"url": callback}) if callback else "",
            FILL_MS,
            key.request if key else "",
        )
        if code == b"unknown":
            raise FunctionNotFound(function)
        if code == b"conflict":
            raise IdempotencyConflict(rest[0].decode(), "batch")
        return Opened(id=rest[0].decode(), joined=code == b"joined")

    async def seal(self, function: str, batch_id: str, why: Seal) -> Seal | None:
        """It takes no more jobs. Returns why: the first reason stays; None if there is no such batch."""
        sealed = await self._connection.script(
            "seal_batch",
            [keys.filling(function)],
            self._connection.clock_offset,
            function,
            batch_id,
            why,
            self._keep_ms,
        )
        return Seal(sealed.decode()) if sealed else None

    async def accepted(self, function: str, batch_id: str) -> list[int]:
        """Which of its lines became jobs, in rising order, the first is 0."""
        bits: bytes = await self._connection.command("GET", keys.batch_accepted(function, batch_id)) or b""
        return [
            8 * place + bit for place, byte in enumerate(bits) if byte for bit in range(8) if byte & 0x80 >> bit
        ]

    async def get(self, function: str, batch_id: str, is_member: Callable[[str], bool]) -> Batch | None:
        """How it stands; None if there is none. `is_member` tells an invocation of it by its id."""
        stored, accepted, running = await self._connection.script(
            "tally",
            [keys.batch(function, batch_id), keys.batch_accepted(function, batch_id), keys.running(function)],
        )
        fields = {name.decode(): value.decode() for name, value in zip(stored[::2], stored[1::2], strict=True)}
        if "created" not in fields:
            return None
        runs = sum(is_member(invocation_id.decode()) for invocation_id in running)
        counts = {state: int(fields.get(state, 0)) for state in State}
        counts[State.RUNNING] = runs
        counts[State.QUEUED] = accepted - runs - int(fields.get("ended", 0))
        return Batch(
            function=function,
            id=batch_id,
            created_at=int(fields["created"]),
            finished_at=int(fields["finished"]) if "finished" in fields else None,
            lines=int(fields["lines"]),
            accepted=accepted,
            seal=Seal(fields["sealed"]) if "sealed" in fields else None,
            counts=counts,
            callback=json.loads(fields["callback"])["url"] if "callback" in fields else None,
        )
