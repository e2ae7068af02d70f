"""The queue of invocations: one method per transition, each one script of penstock/lua.

Every method raises StoreUnavailable when Redis cannot be reached or cannot serve. Each may be called again
after that: submit is idempotent by id, take by its nonce, finish, retry and release by the fencing token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from penstock import ids, keys
from penstock.errors import (
    BatchSealed,
    FunctionNotFound,
    IdempotencyConflict,
    InFlightLimited,
    QueueFull,
    RateLimited,
    Stale,
)
from penstock.invocation import (
    BANDS,
    Accepted,
    Event,
    Failure,
    FailureCode,
    Opening,
    Outcome,
    Run,
    State,
    Submission,
)
from penstock.limits import format_rate
from penstock.store import records
from penstock.store.connection import Connection

LEASE_MS = 10_000
"""How long a run belongs to its worker without a word from it. Renewed every 3 s."""


@dataclass(frozen=True, kw_only=True)
class Retention:
    """How long an ended invocation stays readable, in milliseconds."""

    job_ms: int = 24 * 3600 * 1000
    call_ms: int = 10 * 60 * 1000


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What a sweep found, and did, for one function."""

    queued: int
    held: int
    """How many of the queued have a client waiting."""
    running: int
    delayed: int
    """Waiting for a retry or a delayed start; not demand yet."""
    oldest_ms: int | None
    """How long the head of the queue has waited; None: the queue is empty."""
    expired: int
    requeued: int
    failed: int
    arrived: int | None = None
    """Submits since ever; None: not known."""
    dead: int = 0
    """Dead letters among the expired and the failed."""


_CANCELLED = Outcome(
    event=Event.CANCEL, failure=Failure(code=FailureCode.CANCELLED, message="cancelled on request")
)
_EXPIRED = Outcome(
    event=Event.EXPIRE,
    failure=Failure(code=FailureCode.EXPIRED, message="waited in the queue longer than its maximum age"),
)
_LOST = Outcome(
    event=Event.LOSE,
    failure=Failure(code=FailureCode.INSTANCE_LOST, message="the worker that ran it stopped without a word"),
)


class Queue:
    def __init__(self, connection: Connection, retention: Retention | None = None) -> None:
        keep = retention or Retention()
        self._connection = connection
        self._keep = (keep.job_ms, keep.call_ms)
        self.on_cancelled: Callable[[str], None] = lambda function: None
        """Hears of the function of each invocation that was cancelled here."""

    async def submit(self, submission: Submission, *, depth: int) -> Accepted:
        """Durable when this returns. `depth` bounds how many of its kind may wait.

        Raises FunctionNotFound, QueueFull, RateLimited, IdempotencyConflict and BatchSealed; nothing is written
        then.
        """
        fn, invocation_id, key = submission.function, submission.id, submission.key
        member = submission.member
        code, *rest = await self._connection.script(
            "submit",
            [
                keys.record(fn, invocation_id),
                keys.queued(fn),
                keys.delayed(fn),
                keys.deadlines(fn),
                keys.jobs(fn),
                keys.calls(fn),
                keys.memory(fn),
                keys.idempotency(fn, key.key if key else ""),
                keys.record_prefix(fn),
            ],
            self._connection.clock_offset,
            fn,
            invocation_id,
            submission.kind,
            BANDS[submission.priority],
            submission.max_age_ms,
            submission.delay_ms,
            depth,
            *records.encode_request(submission),
            submission.gateway or "",
            records.encode_wanted(submission),
            submission.attempts,
            ids.created_ms(invocation_id),
            key.request if key else "",
            submission.observer or "",
            member.batch if member else "",
            member.index if member else "",
            submission.party or "",
            records.encode_limits(submission),
        )
        if code == b"unknown":
            raise FunctionNotFound(fn)
        if code == b"full":
            raise QueueFull(f"{rest[0]} invocations already wait for {fn}; its limit is {depth}")
        if code == b"limited":
            raise _limited(submission, *rest)
        if code == b"conflict":
            raise IdempotencyConflict(rest[0].decode())
        if code == b"sealed" and member:
            raise BatchSealed(member.batch)
        if code == b"joined":
            return Accepted(id=rest[0].decode(), joined=True)
        return Accepted(id=invocation_id, joined=False, ahead=int(rest[0]) if code == b"ok" else 0)

    async def take(self, function: str, *, epoch: int, slot: str, nonce: str, instance: str) -> Run | None:
        """Leases the next ready invocation; None when there is none. Raises Stale for a deposed leader."""
        reply = await self._connection.script(
            "take",
            [
                keys.queued(function),
                keys.running(function),
                keys.slots(function),
                keys.deadlines(function),
                keys.calls(function),
                keys.record_prefix(function),
            ],
            self._connection.clock_offset,
            epoch,
            slot,
            nonce,
            LEASE_MS,
            instance,
            function,
        )
        if reply[0] == b"stale":
            raise Stale(f"epoch {epoch} no longer leads")
        return records.decode_run(function, reply[1:]) if reply[0] == b"run" else None

    async def renew(self, function: str, tokens: Mapping[str, int]) -> list[str]:
        """Extends the leases of these runs (id -> token). Returns the ids that are no longer the caller's."""
        pairs = [part for invocation_id, token in tokens.items() for part in (invocation_id, token)]
        stale = await self._connection.script(
            "renew",
            [keys.running(function), keys.record_prefix(function)],
            self._connection.clock_offset,
            LEASE_MS,
            *pairs,
        )
        return [invocation_id.decode() for invocation_id in stale]

    async def finish(
        self,
        function: str,
        invocation_id: str,
        token: int,
        outcome: Outcome,
        *,
        told: Callable[[State, bool], None] = lambda state, dead: None,
    ) -> State | None:
        """Ends it. Returns the state that it ended in, by this call or an earlier one of the same token; None
        if the token is stale: nothing was written. `told` hears of the state, and of whether it is a dead letter
        now, if this very call ended it."""
        code, state, *dead = await self._connection.script(
            "finish",
            [keys.record(function, invocation_id), keys.running(function)],
            self._connection.clock_offset,
            function,
            invocation_id,
            token,
            outcome.event,
            records.encode_outcome(outcome),
            outcome.body,
            *self._keep,
        )
        if code == b"ok":
            told(State(state.decode()), bool(dead[0]))
        return None if code == b"stale" else State(state.decode())

    async def retry(
        self, function: str, invocation_id: str, token: int, *, delay_ms: int, outcome: Outcome
    ) -> bool:
        """Sends it back for another attempt after the delay; False if the token is stale."""
        reply = await self._connection.script(
            "retry",
            [
                keys.record(function, invocation_id),
                keys.running(function),
                keys.delayed(function),
                keys.deadlines(function),
            ],
            self._connection.clock_offset,
            function,
            invocation_id,
            token,
            delay_ms,
            records.encode_outcome(outcome),
        )
        return bool(reply == b"ok")

    async def release(self, function: str, invocation_id: str, token: int, *, epoch: int) -> bool:
        """Hands it back untouched, at its old place; False if the token or the epoch is stale."""
        reply = await self._connection.script(
            "release",
            [
                keys.record(function, invocation_id),
                keys.running(function),
                keys.queued(function),
                keys.deadlines(function),
                keys.calls(function),
            ],
            self._connection.clock_offset,
            function,
            invocation_id,
            token,
            epoch,
        )
        return bool(reply == b"ok")

    async def cancel(
        self, function: str, invocation_id: str, *, only_queued: bool = False
    ) -> tuple[bool, State | None]:
        """Ends it as cancelled. Returns whether it did, and the state that it was in (None: no record)."""
        code, *rest = await self._connection.script(
            "cancel",
            [
                keys.record(function, invocation_id),
                keys.queued(function),
                keys.delayed(function),
                keys.deadlines(function),
                keys.calls(function),
                keys.running(function),
            ],
            self._connection.clock_offset,
            function,
            invocation_id,
            "queued" if only_queued else "any",
            records.encode_outcome(_CANCELLED),
            *self._keep,
        )
        if code == b"ok":
            self.on_cancelled(function)
        return code == b"ok", State(rest[0].decode()) if rest else None

    async def depth(self, function: str) -> tuple[int, int, int]:
        """How many wait (for a slot, a retry or a delayed start), run, and are dead letters."""
        kinds = (keys.deadlines(function), keys.running(function), keys.dead(function))
        waiting, running, dead = await asyncio.gather(*(self._connection.command("ZCARD", kind) for kind in kinds))
        return int(waiting), int(running), int(dead)

    async def active(self) -> list[str]:
        """Functions that something is due for, now or later."""
        names: list[bytes] = await self._connection.command("ZRANGE", keys.ACTIVE, 0, -1)
        return [name.decode() for name in names]

    async def depths(self, functions: Sequence[str]) -> list[tuple[int, int, int]]:
        """How much is ready, is delayed and runs, of each of them."""
        kinds = (keys.queued, keys.delayed, keys.running)
        commands = (self._connection.command("ZCARD", kind(name)) for name in functions for kind in kinds)
        counts = [int(count) for count in await asyncio.gather(*commands)]
        return list(zip(counts[::3], counts[1::3], counts[2::3], strict=True))

    async def cancel_waiting(self, function: str) -> int:
        """Cancels all that waits for a function; returns how many."""
        waiting: list[bytes] = await self._connection.command("ZRANGE", keys.deadlines(function), 0, -1)
        cancelled = 0
        for invocation_id in waiting:
            done, _ = await self.cancel(function, invocation_id.decode(), only_queued=True)
            cancelled += done
        return cancelled

    async def take_cancels(self) -> list[tuple[str, str, int]]:
        """The running invocations that were cancelled since the last call: function, id, token."""
        members: Sequence[bytes] = await self._connection.command("SPOP", keys.CANCELS, 1000)
        parts = [member.decode().split() for member in members or ()]
        return [(function, invocation_id, int(token)) for function, invocation_id, token in parts]

    async def reject_held(self, function: str, *, epoch: int, failure: Failure) -> int:
        """Ends the held calls that wait for a function which cannot be started; returns how many. Raises Stale
        for a deposed leader."""
        rejected = await self._connection.script(
            "reject",
            [
                keys.queued(function),
                keys.deadlines(function),
                keys.calls(function),
                keys.record_prefix(function),
            ],
            self._connection.clock_offset,
            function,
            epoch,
            records.encode_outcome(Outcome(event=Event.FAIL, failure=failure)),
            self._keep[1],
        )
        if rejected < 0:
            raise Stale(f"epoch {epoch} no longer leads")
        return int(rejected)

    async def due(self) -> tuple[float, list[str]]:
        """Functions to sweep now, and the seconds until the next one is due (infinite: none is)."""
        wait_ms, *functions = await self._connection.script(
            "due", [keys.ACTIVE], self._connection.clock_offset, 1_000
        )
        return (wait_ms / 1000 if wait_ms >= 0 else float("inf")), [name.decode() for name in functions]

    async def sweep(self, function: str, *, epoch: int, requeue: bool) -> Sweep:
        """Moves what is due, expires what is too old and, if `requeue`, takes back leases that ran out.

        Raises Stale for a deposed leader.
        """
        reply = await self._connection.script(
            "sweep",
            [
                keys.queued(function),
                keys.delayed(function),
                keys.deadlines(function),
                keys.running(function),
                keys.calls(function),
                keys.record_prefix(function),
                keys.jobs(function),
                keys.memory(function),
                keys.filling(function),
            ],
            self._connection.clock_offset,
            function,
            epoch,
            "1" if requeue else "0",
            *self._keep,
            records.encode_outcome(_EXPIRED),
            records.encode_outcome(_LOST),
        )
        if reply[0] == b"stale":
            raise Stale(f"epoch {epoch} no longer leads")
        queued, held, running, delayed, oldest, expired, requeued, failed, arrived, dead = reply
        return Sweep(
            queued=queued,
            held=held,
            running=running,
            delayed=delayed,
            oldest_ms=oldest if oldest >= 0 else None,
            expired=expired,
            requeued=requeued,
            failed=failed,
            arrived=arrived,
            dead=dead,
        )

    async def watch(
        self, function: str, invocation_id: str, gateway: str, *, everything: bool = False
    ) -> State | None:
        """Has a gateway told when it ends, or of all that happens to it. Returns the state; None if there is no
        record."""
        told = "observers" if everything else "gateways"
        return _state(
            await self._connection.script("watch", [keys.record(function, invocation_id)], gateway, told)
        )

    async def open(self, function: str, invocation_id: str, token: int, opening: Opening) -> bool:
        """Tells waiting gateways that a run's answer has begun, and where it can be read while it comes. False if
        none waits, or the token is stale."""
        told = await self._connection.script(
            "open",
            [keys.record(function, invocation_id)],
            invocation_id,
            token,
            records.encode_opening(opening),
        )
        return int(told) > 0

    async def detach(self, function: str, invocation_id: str) -> State | None:
        """Makes a held call a job. Returns the state; None if there is no record."""
        return _state(
            await self._connection.script(
                "detach",
                [keys.record(function, invocation_id), keys.calls(function), keys.jobs(function)],
                invocation_id,
                ids.created_ms(invocation_id),
            )
        )


def _limited(submission: Submission, whose: bytes, what: bytes, figure: int) -> RateLimited:
    of, limits = next(one for one in submission.limits if (one[0] or "-") == whose.decode())
    whom = f"key {of}" if of else submission.function
    if what == b"rate":
        assert limits.rate is not None, "it is limited"
        after = -(-figure // 1000)
        return RateLimited(f"{whom} is limited to {format_rate(limits.rate)}: come again in {after} s", after)
    return InFlightLimited(f"{whom} is limited to {limits.in_flight} calls in flight, and has {figure}")


def _state(reply: bytes | None) -> State | None:
    return State(reply.decode()) if reply else None
