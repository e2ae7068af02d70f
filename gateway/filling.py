"""Fills a batch: submits its lines, and says of each what became of it.

What was accepted is read from the store when the batch is sealed, so that every answer is true, whoever submitted
a line before and whatever reply was lost. Submitting a line twice makes one job: its id follows from the batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gateway import admission, bodies, calls, tracing
from gateway.access import Caller
from gateway.admission import Plan
from gateway.callbacks import told
from gateway.context import Gateway
from gateway.ndjson import Lines
from gateway.tracing import Origin
from penstock.batch import Seal
from penstock.errors import (
    BatchExpired,
    BatchSealed,
    InFlightLimited,
    InvalidRequest,
    PenstockError,
    QueueFull,
    RateLimited,
    StoreUnavailable,
)
from penstock.function import Function
from penstock.invocation import FailureCode, Member, Request, Submission

_CHUNK_JOBS, _CHUNK_BYTES = 250, 2**20
"""What goes to Redis in one pipeline; longer ones would keep other clients of this gateway waiting."""
_JSON = (("Content-Type", "application/json"),)


class Filling:
    def __init__(
        self,
        gateway: Gateway,
        function: Function,
        plan: Plan,
        batch_id: str,
        lines: Lines,
        caller: Caller,
        origin: Origin | None = None,
    ) -> None:
        self._gateway = gateway
        self._function = function
        self._batch_id = batch_id
        self._lines = lines
        self._origin = origin
        self._template = _template(function, plan, caller)
        self._stopped: PenstockError | None = None
        """Why the lines behind it were not submitted; None: they were."""
        self._sealed: Seal | None = None
        self._errors: dict[int, PenstockError] = {
            index: InvalidRequest(problem) for index, problem in lines.problems.items()
        }

    async def run(self) -> None:
        """Submits all lines and seals the batch; one that is sealed already stays as it is."""
        for chunk in self._chunks():
            outcomes = await asyncio.gather(*map(self._submit, chunk))
            failed = {index: error for index, error in zip(chunk, outcomes, strict=True) if error is not None}
            self._errors |= failed
            self._stopped = next(filter(_stops, failed.values()), None)
            if self._stopped is not None:
                break
        try:
            self._sealed = await self._gateway.store.batches.seal(
                self._function.name, self._batch_id, Seal.SUBMITTED
            )
        except StoreUnavailable as error:
            raise StoreUnavailable(
                f"{error}; batch {self._batch_id} keeps what it took so far, and the same request under the same "
                f"Idempotency-Key goes on with it"
            ) from error

    async def items(self) -> list[dict[str, Any]]:
        """What became of each line, after `run`."""
        if self._sealed is None:
            raise BatchExpired(self._batch_id)
        store, name = self._gateway.store, self._function.name
        accepted, pool = await asyncio.gather(store.batches.accepted(name, self._batch_id), store.pools.get(name))
        taken = frozenset(accepted)
        after = admission.retry_after(self._function.spec.queue.max_depth, pool.drain_rate)
        for error in self._errors.values():
            if isinstance(error, InFlightLimited):
                error.retry_after = admission.next_end(pool.drain_rate)
        return [
            {"index": index, "id": self._id(index)}
            if index in taken
            else {"index": index, "error": _refusal(self._errors.get(index, self._stopped), self._sealed, after)}
            for index in range(len(self._lines.bodies))
        ]

    def _chunks(self) -> Iterator[list[int]]:
        chunk, size = list[int](), 0
        for index, body in enumerate(self._lines.bodies):
            if index in self._lines.problems:
                continue
            if chunk and (len(chunk) == _CHUNK_JOBS or size + len(body) > _CHUNK_BYTES):
                yield chunk
                chunk, size = [], 0
            chunk.append(index)
            size += len(body)
        if chunk:
            yield chunk

    async def _submit(self, index: int) -> PenstockError | None:
        """Why this line was refused; None if it was not."""
        invocation_id = self._id(index)
        blob = f"{self._function.name}/{invocation_id}.request"
        body = await bodies.keep(self._lines.bodies[index], self._gateway.blobs, blob)
        submission = replace(
            self._template,
            id=invocation_id,
            request=Request(headers=_JSON, size=body.size, blob=body.blob),
            body=body.data,
            member=Member(batch=self._batch_id, index=index),
        )
        try:
            # A blob that is refused is left to the sweep of blobs: the same line, submitted by another gateway at
            # this moment, may be accepted and refer to it.
            depth = self._function.spec.queue.max_depth
            await tracing.submit_apart(self._gateway, submission, self._origin, depth=depth)
        except PenstockError as error:
            return error
        return None

    def _id(self, index: int) -> str:
        return self._gateway.mint.member(self._function.name, self._batch_id, index)


def _template(function: Function, plan: Plan, caller: Caller) -> Submission:
    """What the headers say of every job."""
    spec = function.spec
    retry = spec.retry.model_copy(update=dict(plan.retry or {}))
    return Submission(
        function=function.name,
        id="",
        kind="job",
        request=Request(),
        body=b"",
        max_age_ms=int((plan.max_queue or spec.queue.max_age) * 1000),
        timeout_ms=int((plan.timeout or spec.timeout) * 1000),
        priority=plan.priority,
        delay_ms=int(plan.delay * 1000),
        attempts=plan.attempts or retry.attempts,
        retry=retry if plan.retry else None,
        **told(None, function),
        party=caller.party,
        limits=calls.limits(caller, function),
    )


def _stops(error: PenstockError) -> bool:
    """True if the next line would fare no better."""
    return isinstance(error, (StoreUnavailable, BatchSealed))


def _refusal(error: PenstockError | None, sealed: Seal, retry_after: int) -> dict[str, Any]:
    """Why a line was refused. Without an error of our own another gateway had it, and only its seal is known."""
    if error is not None and not isinstance(error, BatchSealed):
        status, code, detail, retryable = error.status, error.code, str(error), error.retryable
    elif sealed is Seal.CANCELLED:
        status, code, retryable = FailureCode.CANCELLED.status, FailureCode.CANCELLED, False
        detail = "the batch was cancelled before this line was submitted"
    elif sealed is Seal.ABANDONED:
        status, code, retryable = FailureCode.EXPIRED.status, FailureCode.EXPIRED, True
        detail = "the gateway did not come to this line in time: send it again in another batch"
    else:
        status, code, retryable = QueueFull.status, QueueFull.code, True
        detail = f"there was no room when its turn came: send it again in {retry_after} s"
    refusal = {"status": status, "code": code, "detail": detail, "retryable": retryable}
    if isinstance(error, RateLimited):
        retry_after = error.retry_after
    return refusal | {"retry_after": retry_after} if code in (QueueFull.code, RateLimited.code) else refusal
