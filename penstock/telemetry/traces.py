"""Traces: which invocations are traced, and spans of those that are.

Whether one is traced is decided once, where its call comes in, before anything is made for it: what is not costs a
random number. What the decision was travels in the trace context (penstock/tracecontext.py); nobody decides again,
so the SDK's own sampler lets everything through.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from penstock.settings import TelemetrySettings
from penstock.tracecontext import TraceContext

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.trace import Span as OtelSpan
    from opentelemetry.trace import Tracer

    from penstock.telemetry.export import Pipeline

Value = str | bool | int | float | Sequence[str]
Kind = Literal["server", "client", "producer", "consumer", "internal"]

now_ns = time.time_ns
"""What spans are timed with: nanoseconds since 1970."""

_KINDS: Mapping[Kind, SpanKind] = {
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
    "internal": SpanKind.INTERNAL,
}
_LONGEST_MESSAGE = 500
"""Characters of an error's text."""


class Span:
    """One that is recorded; told when it has ended."""

    def __init__(self, span: OtelSpan) -> None:
        self._span = span
        self.context = _ours(span.get_span_context())

    def set(self, attributes: Mapping[str, Value]) -> None:
        self._span.set_attributes(attributes)

    def fail(self, kind: str, message: str | None = None) -> None:
        """`kind` is a code, a status or a class. `message`: one line of it is told, which must hold no body and no
        secret; None: there is none that could be told."""
        self._span.set_attribute("error.type", kind)
        line = (message or "").partition("\n")[0][:_LONGEST_MESSAGE]
        self._span.set_status(StatusCode.ERROR, line or kind)
        if message is not None:
            self._span.add_event("exception", {"exception.type": kind, "exception.message": line})

    def end(self, at: int | None = None) -> None:
        """`at` in nanoseconds since 1970; None: now."""
        self._span.end(at)


class Traces:
    def __init__(
        self,
        tracer: Tracer | None = None,
        *,
        ratio: float = 0.0,
        trust_caller: bool = True,
        pipeline: Pipeline | None = None,
    ) -> None:
        """Without a tracer nothing is traced."""
        self._tracer = tracer
        self._ratio = ratio if tracer is not None else 0.0
        self._trust = trust_caller
        self._pipeline = pipeline

    def samples(self, caller: TraceContext | None = None) -> bool:
        """Whether what begins now is traced: as its caller says, or by chance."""
        if caller is not None and self._trust:
            return caller.sampled and self._tracer is not None
        return random.random() < self._ratio

    def follows(self, context: TraceContext | None) -> bool:
        """Whether there are spans of what belongs to this trace."""
        return context is not None and context.sampled and self._tracer is not None

    @property
    def recording(self) -> bool:
        """False: spans would go nowhere."""
        return self._tracer is not None

    def start(
        self,
        name: str,
        kind: Kind,
        *,
        parent: TraceContext | None = None,
        attributes: Mapping[str, Value] | None = None,
        links: Iterable[TraceContext | None] = (),
        at: int | None = None,
    ) -> Span:
        """Of something that is traced; call it only if there are spans. Without a parent it begins a trace."""
        assert self._tracer is not None, "nothing is traced"
        return Span(
            self._tracer.start_span(
                name,
                set_span_in_context(NonRecordingSpan(_theirs(parent))) if parent is not None else _NOWHERE,
                _KINDS[kind],
                attributes,
                [Link(_theirs(link)) for link in links if link is not None],
                at,
            )
        )

    def restart(self, caller: TraceContext | None) -> tuple[TraceContext | None, tuple[TraceContext | None, ...]]:
        """Parent and links of the first span of what a caller sent: a caller that is not trusted is no parent."""
        return (caller, ()) if self._trust else (None, (caller,))

    def passes(self, caller: TraceContext) -> TraceContext:
        """What goes on of the context of a caller whose call is not traced: nobody behind us records for one that
        is not trusted."""
        return caller if self._trust else replace(caller, flags=caller.flags & ~TraceFlags.SAMPLED)

    async def close(self) -> None:
        """Sends what has not been sent yet, if that is possible within two seconds."""
        if self._pipeline is not None:
            await self._pipeline.close()


NOT_TRACED = Traces()
"""Nothing is."""


def open_traces(settings: TelemetrySettings, resource: Callable[[], Resource]) -> Traces:
    """The traces that the settings ask for. `resource` is asked if there are any."""
    if not (settings.enabled and settings.otlp_endpoint):
        return NOT_TRACED
    # Only then: what exports takes 100 ms to import, and some megabytes.
    from penstock.telemetry.export import Pipeline

    pipeline = Pipeline(settings.otlp_endpoint, resource())
    return Traces(
        pipeline.tracer,
        ratio=settings.sample_ratio,
        trust_caller=settings.trust_caller,
        pipeline=pipeline,
    )


_NOWHERE = set_span_in_context(NonRecordingSpan(SpanContext(0, 0, is_remote=False)))
"""No parent, whatever context the library thinks that this task has."""


def _theirs(context: TraceContext) -> SpanContext:
    return SpanContext(
        int(context.trace_id, 16),
        int(context.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(context.flags),
        trace_state=TraceState.from_header([context.state]) if context.state else None,
    )


def _ours(context: SpanContext) -> TraceContext:
    state = context.trace_state.to_header() if context.trace_state else ""
    return TraceContext(f"{context.trace_id:032x}", f"{context.span_id:016x}", int(context.trace_flags), state)
