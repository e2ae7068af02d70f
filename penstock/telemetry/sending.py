"""The span of an invocation's writing to its queue: what all that becomes of it hangs below."""

from __future__ import annotations

from collections.abc import Iterable

from penstock.invocation import Submission
from penstock.telemetry.traces import Span, Traces
from penstock.tracecontext import TraceContext


def sending(
    traces: Traces,
    submission: Submission,
    *,
    parent: TraceContext | None,
    links: Iterable[TraceContext | None] = (),
    trigger: str = "http",
) -> Span:
    """Begins it; without a parent it begins a trace. `trigger`: what made it, in the words of `faas.trigger`."""
    return traces.start(
        f"send {submission.function}",
        "producer",
        parent=parent,
        links=links,
        attributes={
            "messaging.system": "penstock",
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.name": submission.function,
            "messaging.message.id": submission.id,
            "messaging.message.body.size": submission.request.size,
            "faas.name": submission.function,
            "faas.invocation_id": submission.id,
            "faas.trigger": trigger,
            "penstock.kind": submission.kind,
            "penstock.priority": submission.priority,
        },
    )
