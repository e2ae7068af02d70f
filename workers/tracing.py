"""The traces of what workers do: the wait of an invocation, its runs, the starts of instances, callbacks.

A run's spans hang below the context in its record. Its wait, and the cold start in it, are told afterwards, from
what the record and the instance say, so that a process that dies in between loses nothing but the span of its run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from penstock import clock
from penstock.delivery import Delivery
from penstock.instance import START_STAGES
from penstock.invocation import Failure, FailureCode, Invocation, Outcome, Run, State, move
from penstock.telemetry import genai
from penstock.telemetry.traces import Span, Traces, Value, now_ns
from penstock.tracecontext import TraceContext
from workers import facts
from workers.engines import Endpoint
from workers.instances import Instance
from workers.retries import Answer
from workers.verdict import Finish, HandBack, TryAgain, Verdict

Headers = tuple[tuple[str, str], ...]

_MS = 1_000_000
"""Nanoseconds."""


class RunTrace(Protocol):
    """What is told of one run."""

    @property
    def headers(self) -> Headers:
        """What tells of the run's own context; empty if it is not traced, and its client sent none."""

    @property
    def ids(self) -> Mapping[str, str]:
        """What lines of its log carry."""

    def asks(self, method: str, endpoint: Endpoint, path: str, template: str | None) -> Headers:
        """Its instance is about to be asked; the headers that tell it of the trace. `template`: the path, if it is
        the same for all calls."""

    def answered(self, status: int) -> None:
        """The head of the answer came."""

    def ended(self, decision: Verdict | None) -> None:
        """None: it was aborted."""

    def broke(self, error: BaseException) -> None:
        """It ended by an error of our own."""


class Untraced:
    """A run that nothing is told of: the context that its client sent, if it did, passes through."""

    def __init__(self, context: TraceContext | None = None) -> None:
        self.ids: Mapping[str, str] = {}
        self.headers: Headers = context.headers() if context is not None else ()

    def asks(self, method: str, endpoint: Endpoint, path: str, template: str | None) -> Headers:
        return self.headers

    def answered(self, status: int) -> None:
        pass

    def ended(self, decision: Verdict | None) -> None:
        pass

    def broke(self, error: BaseException) -> None:
        pass


UNTRACED = Untraced()


class Traced:
    def __init__(self, traces: Traces, run: Run, instance: Instance) -> None:
        """It begins."""
        one = run.invocation
        self._traces = traces
        self._run = run
        known = facts.of_run(instance, one, clock.monotonic())
        waited = _told_of_wait(traces, one, instance, cold=known.cold_start)
        self._span = traces.start(
            f"process {one.function}",
            "consumer",
            parent=one.trace,
            # Redis's clock may be a little before ours: a run does not begin before its wait is over.
            at=max(now_ns(), waited),
            attributes={
                **_of(one),
                "messaging.system": "penstock",
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.destination.name": one.function,
                "messaging.message.id": one.id,
                "messaging.message.body.size": one.request.size,
                "faas.trigger": "pubsub" if one.kind == "job" else "http",
                "faas.coldstart": known.cold_start,
                "faas.instance": instance.id,
                "faas.version": str(instance.function.revision),
                "faas.max_memory": instance.function.spec.resources.memory,
                "penstock.attempt": one.attempt,
                "penstock.deferrals": one.deferrals,
            },
        )
        context = self._span.context
        self.headers = context.headers()
        self.ids = {"trace_id": context.trace_id, "span_id": context.span_id}
        self._request: Span | None = None
        self._answered = False

    def asks(self, method: str, endpoint: Endpoint, path: str, template: str | None) -> Headers:
        attributes: dict[str, Value] = {
            "http.request.method": method,
            "url.scheme": "http",
            "url.path": path,
            "server.address": endpoint.host,
            "server.port": endpoint.port,
        }
        if template is not None:
            attributes["url.template"] = template
        name = method if template is None else f"{method} {template}"
        self._request = self._traces.start(name, "client", parent=self._span.context, attributes=attributes)
        return self._request.context.headers()

    def answered(self, status: int) -> None:
        self._answered = True
        if self._request is not None:
            self._request.set({"http.response.status_code": status})
            if status >= 400:
                self._request.fail(str(status))

    def ended(self, decision: Verdict | None) -> None:
        match decision:
            case None:
                self._end("aborted")
            case HandBack():
                self._end("handed_back")
            case TryAgain(outcome, delay_ms):
                self._span.set({"penstock.retry.delay": delay_ms / 1000})
                self._end("retry", outcome.failure)
            case Finish(outcome):
                self._span.set(_said(self._run, outcome))
                self._end(move(State.RUNNING, outcome.event), outcome.failure)

    def broke(self, error: BaseException) -> None:
        self._span.fail(type(error).__name__)
        self._end("aborted")

    def _end(self, outcome: str, failure: Failure | None = None) -> None:
        at = now_ns()
        self._span.set({"penstock.outcome": outcome})
        if failure is not None:
            self._span.fail(failure.code, failure.message)
        if self._request is not None:
            if failure is not None and not self._answered:
                self._request.fail(failure.code)
            self._request.end(at)
        self._span.end(at)


def of_run(traces: Traces, run: Run, instance: Instance) -> RunTrace:
    """What is told of a run that begins."""
    context = run.invocation.trace
    if context is None:
        return UNTRACED
    return Traced(traces, run, instance) if traces.follows(context) else Untraced(context)


def of_start(traces: Traces, instance: Instance, failure: str | None = None) -> None:
    """An instance is ready, or never will be (`failure` says why): a trace of its own, that the calls which waited
    for it link to. Starts are few, and all are told."""
    if not traces.recording or instance.adopted:
        return
    timeline = instance.view().timeline
    ready = now_ns() if instance.ready_since is None else _at(instance.ready_since)
    stages = list(_stages(timeline, ready))
    function = instance.function
    span = traces.start(
        f"start {function.name}",
        "internal",
        at=stages[0][1] if stages else ready,
        attributes={
            "faas.name": function.name,
            "faas.version": str(function.revision),
            "faas.instance": instance.id,
            "penstock.start.reason": instance.reason,
            **({"penstock.card": instance.card} if instance.card is not None else {}),
        },
    )
    for name, begin, end in stages:
        traces.start(name, "internal", parent=span.context, at=begin).end(end)
    if failure is not None:
        # What follows a colon may quote what its container said.
        span.fail(FailureCode.START_FAILED, failure.partition(": ")[0])
    span.end(ready)
    instance.trace = span.context


def of_delivery(
    traces: Traces, delivery: Delivery, context: TraceContext | None, url: Mapping[str, Value]
) -> Span | None:
    """A callback is about to be posted; `url`: of its address what is no secret. None: it is not traced."""
    if context is None or not traces.follows(context):
        return None
    return traces.start(
        f"callback {delivery.what}",
        "client",
        parent=context,
        attributes={
            "http.request.method": "POST",
            **url,
            "faas.name": delivery.function,
            "faas.invocation_id": delivery.of,
            "penstock.callback.event": delivery.what,
            "penstock.callback.attempt": delivery.spent + 1,
        },
    )


def delivered(span: Span, answer: Answer) -> None:
    """What came of it. An error's text may hold the URL, and so is not told."""
    if answer.status is not None:
        span.set({"http.response.status_code": answer.status})
    if answer.error is not None:
        span.fail(str(answer.status or ("refused" if answer.refused else "unreachable")))
    span.end()


def _told_of_wait(traces: Traces, one: Invocation, instance: Instance, *, cold: bool) -> int:
    """The stay in the queue that a run ends, in Redis's own milliseconds, and the cold start in it. When it ended,
    in nanoseconds since 1970."""
    assert one.started_at is not None, "it was taken"
    began = max(one.sent_back_at or 0, one.created_at) * _MS
    ended = max(one.started_at * _MS, began)
    wait = traces.start(f"wait {one.function}", "internal", parent=one.trace, at=began, attributes=_of(one))
    if cold and instance.ready_since is not None:
        stages = [
            (name, max(begin, began), min(end, ended))
            for name, begin, end in _stages(instance.timeline, _at(instance.ready_since))
            if end > began and begin < ended
        ]
        if stages:
            start = traces.start(
                f"cold start {one.function}",
                "internal",
                parent=wait.context,
                links=(instance.trace,),
                at=stages[0][1],
                attributes={"faas.coldstart": True, "faas.instance": instance.id},
            )
            for name, begin, end in stages:
                traces.start(name, "internal", parent=start.context, at=begin).end(end)
            start.end(stages[-1][2])
    wait.end(ended)
    return ended


def _stages(timeline: Mapping[str, float], ready: int) -> Iterator[tuple[str, int, int]]:
    """Name, begin and end of each stage of a start, which follow each other until it was ready."""
    begin = ready - round(sum(timeline.get(name, 0.0) for name in START_STAGES) * _MS)
    for name in START_STAGES:
        if name in timeline:
            end = begin + round(timeline[name] * _MS)
            yield name, begin, end
            begin = end


def _at(monotonic: float) -> int:
    """Nanoseconds since 1970 of a moment of this process's monotonic clock."""
    return now_ns() - round((clock.monotonic() - monotonic) * 1e9)


def _of(one: Invocation) -> dict[str, Value]:
    attributes: dict[str, Value] = {
        "faas.name": one.function,
        "faas.invocation_id": one.id,
        "penstock.kind": one.kind,
        "penstock.priority": one.priority,
    }
    if one.batch is not None:
        attributes["penstock.batch"] = one.batch
    return attributes


def _said(run: Run, outcome: Outcome) -> Mapping[str, Value]:
    """What a model's server says of its work, in calls of OpenAI's shape."""
    response, path = outcome.response, run.invocation.request.path
    if response is None or path is None:
        return {}
    return genai.attributes(path, run.body, outcome.body)
