"""Invoking a function: held, asynchronous, or as an HTTP trigger. One path, one record, one queue.

A held call is an async job with a client waiting: it is submitted like any other, and what the client gets is
how it ended. When the hold runs out, or this gateway stops, the same job goes on, and the client is told where to
look.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping

from aiohttp import web

from gateway import admission, bodies, calls, cloudevents, names, problems
from gateway.admission import Plan
from gateway.auth import CALLER, passed_on
from gateway.context import GATEWAY, Gateway, function_name
from gateway.measures import INVOKED
from gateway.names import Chosen
from gateway.proxies import told
from gateway.relay import relay
from gateway.rendering import json_response
from gateway.telling import tell
from gateway.tracing import traced
from gateway.waiters import News
from penstock import clock, views
from penstock.errors import InvalidRequest
from penstock.events import BEGINNING
from penstock.function import Function
from penstock.headers import crosses, crossing
from penstock.instance import START_STAGES
from penstock.invocation import Ending, FailureCode, Opening, Request, State, Submission

_LEFT = (asyncio.CancelledError, ConnectionResetError)
"""How a handler learns that its client has hung up: while it waits, or by a write."""
_CAPACITY_RETRY = 30
"""Seconds after which a place may be free."""


@traced
async def invoke(request: web.Request) -> web.StreamResponse:
    """POST /v1/functions/{function}/invocations: an event call, whose event may be a CloudEvent."""
    coding = request.headers.get("Content-Encoding", "identity")
    if coding.lower() != "identity":
        raise InvalidRequest(
            f"Content-Encoding {coding!r}: an event reaches its function as it is; send it uncompressed"
        )
    kind = request.headers.get("Content-Type", "")
    known = bool(kind) and crosses("Content-Type", kind)
    binary = not cloudevents.is_structured(kind) and cloudevents.is_binary(request.headers)
    own = crossing(cloudevents.attributes(request.headers)) if binary else ()
    call = Request(headers=(("Content-Type", kind if known else "application/octet-stream"), *own))
    chosen = await _chosen(request, cloudevents.of_headers(request.headers) if binary else None)
    return await _serve(request, chosen, call, triggered=False)


@traced
async def trigger(request: web.Request) -> web.StreamResponse:
    """ANY /fn/{function}/{path}: method, path, query, headers and body reach the container's own server."""
    if "upgrade" in request.headers.get("Connection", "").lower():
        return problems.problem(501, "not_implemented", "Upgrade (WebSocket) is not supported on /fn")
    return await reach(request, await _chosen(request), lambda path: "/" + "/".join(path.split("/")[3:]))


async def reach(request: web.Request, chosen: Chosen, at: Callable[[str], str]) -> web.StreamResponse:
    """The container's own server. `at`: where on it, from the path that the client asked for."""
    allowed = chosen.function.spec.methods
    if allowed is not None and request.method not in allowed:
        raise web.HTTPMethodNotAllowed(request.method, sorted(allowed))
    path, _, query = origin_form(request.raw_path).partition("?")
    call = Request(
        method=request.method,
        path=at(path),
        query=query,
        headers=told(request, crossing(passed_on(request))),
    )
    return await _serve(request, chosen, call, triggered=True)


async def _chosen(request: web.Request, event: str | None = None) -> Chosen:
    """`event`: under which key a CloudEvent is sent once, where that is known without its body."""
    key = admission.idempotency_key(request.headers) or event
    return await names.choose(request, function_name(request), key=key)


def origin_form(target: str) -> str:
    """A request's target without scheme and authority, which a client may send as to a proxy (RFC 9112, 3.2.2)."""
    return "/" + target.split("/", 3)[3] if target.lower().startswith(("http://", "https://")) else target


async def _serve(request: web.Request, chosen: Chosen, call: Request, *, triggered: bool) -> web.StreamResponse:
    gateway, function, call = request.app[GATEWAY], chosen.function, chosen.marked(call)
    request[INVOKED] = function.name
    prefer = admission.preferences(request.headers.getall("Prefer", ()))
    settings = gateway.settings
    if triggered and not function.spec.serves_http:
        raise InvalidRequest(
            f"{function.name} has no web server to be reached under /fn: "
            f"POST its event to /v1/functions/{function.name}/invocations"
        )
    plan = admission.plan(
        request.headers, prefer, hold=settings.hold, max_hold=settings.max_hold, egress=gateway.egress
    )
    if triggered and plan.hold and plan.delay >= plan.hold and not plan.preferred:
        raise InvalidRequest(
            f"Penstock-Delay {plan.delay:g} s is longer than this connection is held ({plan.hold:g} s): "
            f"send Prefer: respond-async to have it run later"
        )
    calls.admit(gateway, function, plan)
    followed = plan.events and not triggered
    submission = await calls.receive(request, gateway, function, call, plan, followed=followed)
    if not triggered and (key := await _event_key(request, gateway, submission)) is not None:
        plan, submission = calls.under_key(plan, submission, key, request[CALLER].owner)
    if followed:
        return await _tell(request, gateway, function, submission, plan)
    with gateway.waiters.expect(function.name, submission.id, openings=True) as news:
        taken = await calls.submit(gateway, function, submission)
        if not taken.joined:
            return await _hold(request, gateway, submission, plan, news, triggered=triggered)
    return await _join(request, gateway, function.name, taken.id, plan, triggered=triggered)


async def _event_key(request: web.Request, gateway: Gateway, submission: Submission) -> str | None:
    """Under which a CloudEvent is sent once; None: it is none. Raises InvalidRequest for an incomplete one."""
    if not cloudevents.is_structured(request.headers.get("Content-Type", "")):
        return cloudevents.of_headers(request.headers) if cloudevents.is_binary(request.headers) else None
    if submission.request.blob is None:
        return cloudevents.of_body(submission.body)
    whole = await gateway.blobs.read(submission.request.blob)
    return await asyncio.to_thread(cloudevents.of_body, whole)  # parsing takes a while, in which others are served


async def _tell(
    request: web.Request, gateway: Gateway, function: Function, submission: Submission, plan: Plan
) -> web.StreamResponse:
    """The client holds its connection for the events instead of the answer."""
    taken = await calls.submit(gateway, function, submission)
    try:
        return await tell(request, gateway, function.name, taken.id, BEGINNING)
    except _LEFT:
        if not taken.joined:
            calls.client_left(gateway, submission, plan)
        raise


async def _hold(
    request: web.Request,
    gateway: Gateway,
    submission: Submission,
    plan: Plan,
    news: News,
    *,
    triggered: bool,
) -> web.StreamResponse:
    """The answer if it comes in time; else where to look for it."""
    if not plan.hold:
        return await accepted(gateway, submission.function, submission.id, applied=True)
    try:
        answered = await _answered(request, gateway, submission.function, submission.id, news, plan.hold)
    except _LEFT:
        calls.client_left(gateway, submission, plan)
        raise
    if answered is not None:
        return answered
    if not (plan.preferred or plan.key):  # whoever gave a key asks again under it, and wants to find the call
        refused = await _no_capacity(gateway, submission)
        if refused is not None:
            return refused
    if triggered and not (plan.preferred or plan.key):
        return await _trigger_timed_out(gateway, submission, plan.hold)
    return await _let_go(request, gateway, submission.function, submission.id, plan, triggered=triggered)


async def _join(
    request: web.Request, gateway: Gateway, function: str, invocation_id: str, plan: Plan, *, triggered: bool
) -> web.StreamResponse:
    """The same request under the same key: it gets what the first one gets, and nothing is run again."""
    if not plan.hold:
        await gateway.store.queue.detach(function, invocation_id)
        return await accepted(gateway, function, invocation_id, applied=True)
    with gateway.waiters.expect(function, invocation_id, openings=True) as news:
        state = await gateway.store.queue.watch(function, invocation_id, gateway.waiters.gateway)
        if state is not None and not state.terminal:
            answered = await _answered(request, gateway, function, invocation_id, news, plan.hold)
            if answered is not None:
                return answered
    return await _let_go(request, gateway, function, invocation_id, plan, triggered=triggered)


async def _answered(
    request: web.Request, gateway: Gateway, function: str, invocation_id: str, news: News, hold: float
) -> web.StreamResponse | None:
    """The function's answer, as soon as it begins or has ended; None if neither happens while the hold lasts."""
    until = clock.monotonic() + hold
    await asyncio.wait([news], timeout=hold)
    found = news.result() if news.done() else None
    if isinstance(found, Opening):
        with gateway.waiters.expect(function, invocation_id) as ending:
            extra = _headers(invocation_id, found.cold_start, found.timeline)
            relayed = await relay(request, gateway.inner, found, extra, ending)
            if relayed is not None:
                return relayed
            await asyncio.wait([ending], timeout=max(until - clock.monotonic(), 0.0))
            found = ending.result() if ending.done() else None
    return await answer(request, invocation_id, found) if isinstance(found, Ending) else None


async def accepted(gateway: Gateway, function: str, invocation_id: str, *, applied: bool = False) -> web.Response:
    """202 with the record: the work goes on, and this is where to look. `applied`: as the client preferred."""
    record, position, pool = await asyncio.gather(
        gateway.store.invocations.get(function, invocation_id),
        gateway.store.invocations.position(function, invocation_id),
        gateway.store.pools.get(function),
    )
    assert record is not None, "it was just written"
    body = views.invocation(record, position=position, pool=pool)
    headers = {"Location": body["links"]["self"], "Penstock-Invocation-Id": invocation_id}
    if applied:
        headers["Preference-Applied"] = "respond-async"
    return json_response(body, status=202, headers=headers)


async def answer(request: web.Request, invocation_id: str, ending: Ending) -> web.StreamResponse:
    """What the function answered, byte for byte; a problem if it did not."""
    headers = _headers(invocation_id, ending.cold_start, ending.timeline)
    if ending.response is not None:
        gateway = request.app[GATEWAY]
        return await bodies.send(request, ending.response, ending.body, gateway.blobs, headers)
    assert ending.failure is not None, "it ended without an answer"
    response = problems.of_failure(ending.failure, invocation_id)
    response.headers.update(headers)
    return response


def _headers(invocation_id: str, cold_start: bool, timeline: Mapping[str, float]) -> dict[str, str]:
    return {
        "Penstock-Invocation-Id": invocation_id,
        "Penstock-Cold-Start": json.dumps(cold_start),
        "Server-Timing": _server_timing(timeline),
    }


def _server_timing(timeline: Mapping[str, float]) -> str:
    """An answer that still comes has no `run` yet."""
    start = sum(timeline.get(stage, 0.0) for stage in START_STAGES)
    stages = {"queue": timeline.get("queued", 0.0), "start": start}
    if "running" in timeline:
        stages["run"] = timeline["running"]
    return ", ".join(f"{name};dur={ms:.1f}" for name, ms in stages.items())


async def _let_go(
    request: web.Request, gateway: Gateway, function: str, invocation_id: str, plan: Plan, *, triggered: bool
) -> web.StreamResponse:
    """The hold is over: the call becomes a job, unless it has ended by now. A client of the function's own
    protocol knows no 202, unless it says so."""
    ending = await calls.let_go(gateway, function, invocation_id)
    if ending is not None:
        return await answer(request, invocation_id, ending)
    if triggered and not plan.preferred:
        detail = f"no answer came within {plan.hold:g} s; the same request under the same key waits for it"
        return problems.problem(504, FailureCode.RUN_TIMEOUT, detail, retryable=True, invocation=invocation_id)
    return await accepted(gateway, function, invocation_id)


async def _no_capacity(gateway: Gateway, submission: Submission) -> web.Response | None:
    """The call is not kept where it could not begin. None: there is a place, or the call has begun."""
    blocked = await calls.no_capacity(gateway, submission)
    if blocked is None:
        return None
    gateway.measures.no_capacity(submission.function)
    return problems.problem(
        503,
        "no_capacity",
        f"{blocked}; it was not run (send Prefer: respond-async to have it wait as a job)",
        retryable=True,
        retry_after=_CAPACITY_RETRY,
        invocation=submission.id,
    )


async def _trigger_timed_out(gateway: Gateway, submission: Submission, hold: float) -> web.Response:
    """A client of the function's own protocol knows no 202: it is told that its time is over."""
    waited = f"{hold:g} s, the longest that a connection is held"
    cancelled, state = await gateway.store.queue.cancel(submission.function, submission.id, only_queued=True)
    if cancelled or state is State.QUEUED:
        code, detail = FailureCode.EXPIRED, f"no instance was free within {waited}; it was not run"
    else:
        code, detail = FailureCode.RUN_TIMEOUT, f"the function did not answer within {waited}; its run goes on"
    return problems.problem(504, code, detail, retryable=True, invocation=submission.id)
