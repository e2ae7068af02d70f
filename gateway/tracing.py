"""The traces of calls: begun where a request comes in, passed on with what is submitted.

A handler that submits calls is `traced`. Its request is a span of the gateway, and the writing to the queue one
below it, whose context goes into the record: what workers do is told below that. Of a call that is not traced
nothing is made; the context that its client sent, if it did, passes through to the function.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import wraps

from aiohttp import web

from gateway.context import GATEWAY, Gateway
from penstock import tracecontext
from penstock.errors import PenstockError
from penstock.invocation import Accepted, Submission
from penstock.telemetry.sending import sending
from penstock.telemetry.traces import Span, Traces, Value
from penstock.tracecontext import TraceContext

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Origin:
    """The trace of one request."""

    context: TraceContext
    """Of the request's own span, or as the client sent it if there is none."""
    span: Span | None
    asked: bool
    """Its client said that it is to be traced."""


ORIGIN = web.RequestKey("origin", Origin)
"""Absent: the request is not traced, and its client sent no context."""


def traced(handler: _Handler) -> _Handler:
    """A handler that submits calls."""

    @wraps(handler)
    async def serve(request: web.Request) -> web.StreamResponse:
        traces = request.app[GATEWAY].traces
        caller = _caller(request) if tracecontext.PARENT in request.headers else None
        if traces.samples(caller):
            return await _told(request, handler, traces, caller)
        if caller is not None:
            request[ORIGIN] = Origin(traces.passes(caller), None, asked=False)
        return await handler(request)

    return serve


def origin(request: web.Request) -> TraceContext | None:
    """What is submitted for a request belongs to this trace; None: to none."""
    found = request.get(ORIGIN)
    return found.context if found is not None else None


def ids(request: web.Request) -> Mapping[str, str]:
    """What a line of the log says of a request's trace; empty if it has none."""
    found = request.get(ORIGIN)
    if found is None or found.span is None:
        return {}
    return {"trace_id": found.context.trace_id, "span_id": found.context.span_id}


async def submit(
    gateway: Gateway, submission: Submission, *, depth: int, again: TraceContext | None = None
) -> Accepted:
    """To the queue, in the trace that the submission names. `again`: the context of what it runs again."""
    if not gateway.traces.follows(submission.trace):
        return await gateway.store.queue.submit(submission, depth=depth)
    span = sending(gateway.traces, submission, parent=submission.trace, links=(again,))
    return await _sent(gateway, submission, span, depth)


async def submit_apart(
    gateway: Gateway,
    submission: Submission,
    source: Origin | None,
    *,
    depth: int,
    again: TraceContext | None = None,
) -> Accepted:
    """One of many that come with one request: each has a trace of its own, or none, and links to the request's."""
    if source is not None and source.span is None:
        return await gateway.store.queue.submit(replace(submission, trace=source.context), depth=depth)
    if not (gateway.traces.samples() or (source is not None and source.asked)):
        return await gateway.store.queue.submit(submission, depth=depth)
    links = (source.context if source is not None else None, again)
    return await _sent(gateway, submission, sending(gateway.traces, submission, parent=None, links=links), depth)


def sign(request: web.Request, response: web.StreamResponse) -> None:
    """Says in the answer which trace its request belongs to, as browsers and their tools read it."""
    found = request.get(ORIGIN)
    if found is not None and found.span is not None:
        response.headers.add("Server-Timing", f'traceparent;desc="{found.context.parent}"')


def _caller(request: web.Request) -> TraceContext | None:
    parents = request.headers.getall(tracecontext.PARENT)
    state = ",".join(request.headers.getall(tracecontext.STATE, ()))
    return tracecontext.parse(parents[0], state) if len(parents) == 1 else None


async def _told(
    request: web.Request, handler: _Handler, traces: Traces, caller: TraceContext | None
) -> web.StreamResponse:
    parent, links = traces.restart(caller)
    route = request.match_info.route.resource
    path = route.canonical if route is not None else ""
    span = traces.start(
        f"{request.method} {path}", "server", parent=parent, links=links, attributes=_attributes(request, path)
    )
    request[ORIGIN] = Origin(span.context, span, asked=caller is not None and parent is not None)
    try:
        response = await handler(request)
    except PenstockError as error:
        _answered(span, error.status, error.code)
        raise
    except BaseException as error:
        span.fail(type(error).__name__)
        raise
    else:
        _answered(span, response.status)
        return response
    finally:
        span.end()


def _attributes(request: web.Request, route: str) -> dict[str, Value]:
    """Of the request's line and head: no query, which may hold secrets, and no header but one."""
    attributes: dict[str, Value] = {
        "http.request.method": request.method,
        "http.route": route,
        "url.scheme": request.scheme,
        "url.path": request.path,
        "server.address": request.url.host or "",
        "network.protocol.version": f"{request.version.major}.{request.version.minor}",
        "faas.trigger": "http",
    }
    if (port := request.url.port) is not None:
        attributes["server.port"] = port
    if agent := request.headers.get("User-Agent"):
        attributes["user_agent.original"] = agent
    if length := request.content_length:
        attributes["http.request.body.size"] = length
    if name := request.match_info.get("function"):
        attributes["faas.name"] = name
    return attributes


def _answered(span: Span, status: int, code: str | None = None) -> None:
    span.set({"http.response.status_code": status})
    if status >= 500:
        span.fail(code or str(status))


async def _sent(gateway: Gateway, submission: Submission, span: Span, depth: int) -> Accepted:
    try:
        taken = await gateway.store.queue.submit(replace(submission, trace=span.context), depth=depth)
    except PenstockError as error:
        span.fail(error.code, str(error))
        raise
    else:
        if taken.joined:
            span.set({"penstock.joined": taken.id})
        return taken
    finally:
        span.end()
