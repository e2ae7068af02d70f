"""How jobs are submitted from here, and not by a client: by timers, objects, messages and destinations.

Their ids follow from what they are made of. So whoever died before it could write down that a job was made makes
it again, and it is the same one.
"""

from __future__ import annotations

from dataclasses import replace

from penstock.blobs import INLINE_LIMIT, Blobs
from penstock.errors import ConfigurationError, PenstockError
from penstock.function import Function
from penstock.ids import IdMint
from penstock.invocation import Request, Submission
from penstock.store import Store
from penstock.telemetry.sending import sending
from penstock.telemetry.traces import NOT_TRACED, Traces
from penstock.tracecontext import TraceContext

CHAIN_HEADER = "Penstock-Chain"
"""How many functions, one the destination of the other, led to a job. No client can send it."""

_TRIGGERS = {"timer": "timer", "destination": "pubsub", "topic": "pubsub", "objects": "datasource"}
"""What made a job, in the words of OpenTelemetry's conventions."""


class Submitting:
    def __init__(self, store: Store, blobs: Blobs, *, secret: str, traces: Traces = NOT_TRACED) -> None:
        """`secret` signs ids; it must be the gateways'."""
        self._store = store
        self._blobs = blobs
        self._traces = traces
        self._mint = IdMint(secret) if secret else None

    async def submit(
        self,
        function: Function,
        event: bytes,
        *,
        of: tuple[str, ...],
        at_ms: int,
        content_type: str = "application/json",
        chain: int = 0,
        trace: TraceContext | None = None,
    ) -> str:
        """The id of the job; one of the same function, `of` and `at_ms` is the same job. Raises QueueFull,
        FunctionNotFound, StoreUnavailable, and ConfigurationError without a secret."""
        if self._mint is None:
            raise ConfigurationError(
                "no secret for ids: set PENSTOCK_SECRET of the workers to the same text as the gateways'"
            )
        invocation_id = self._mint.derived(function.name, at_ms, *of)
        blob = await self._spool(f"{function.name}/{invocation_id}.request", event)
        spec = function.spec
        headers = (("Content-Type", content_type), *(((CHAIN_HEADER, str(chain)),) if chain else ()))
        submission = Submission(
            function=function.name,
            id=invocation_id,
            kind="job",
            request=Request(headers=headers, size=len(event), blob=blob),
            body=b"" if blob else event,
            max_age_ms=int(spec.queue.max_age * 1000),
            timeout_ms=int(spec.timeout * 1000),
            attempts=spec.retry.attempts,
            trace=trace,
            destinations=spec.callbacks.any,
        )
        return await self._send(submission, _TRIGGERS.get(of[0], "other"), depth=spec.queue.max_depth)

    async def _send(self, submission: Submission, trigger: str, *, depth: int) -> str:
        """In the trace that the submission names, or in one that it begins, if it is traced."""
        parent, span = submission.trace, None
        if self._traces.follows(parent) or (parent is None and self._traces.samples()):
            span = sending(self._traces, submission, parent=parent, trigger=trigger)
            submission = replace(submission, trace=span.context)
        try:
            return (await self._store.queue.submit(submission, depth=depth)).id
        except PenstockError as error:
            if span is not None:
                span.fail(error.code, str(error))
            raise
        finally:
            if span is not None:
                span.end()

    async def _spool(self, name: str, event: bytes) -> str | None:
        if len(event) <= INLINE_LIMIT:
            return None
        async with self._blobs.writer(name) as writer:
            await writer.write(event)
            await writer.commit()
        return name
