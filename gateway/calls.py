"""A call, in whatever wire format it came: admitted, submitted, waited for, let go.

The native handlers and those of the dialects (gateway/dialects) differ in how they read a request and how they say
what became of it. What happens in between is here, and knows no response.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

from aiohttp import web

from gateway import admission, bodies, tracing
from gateway.access import Caller
from gateway.admission import Plan
from gateway.auth import CALLER
from gateway.bodies import Body
from gateway.callbacks import told
from gateway.context import Gateway
from gateway.measures import INVOKED
from penstock.errors import FunctionPaused, InFlightLimited, QueueFull, StoreUnavailable
from penstock.events import BEGINNING
from penstock.function import Function
from penstock.invocation import Accepted, Ending, Idempotency, Request, Submission
from penstock.limits import Limits
from penstock.tracecontext import HEADERS, TraceContext


def admit(gateway: Gateway, function: Function, plan: Plan) -> None:
    """Raises StoreUnavailable or FunctionPaused for what is not even read."""
    gateway.pressure.check()
    if function.name in gateway.directory.paused and not plan.is_job:
        raise FunctionPaused(function.name)


async def receive(
    request: web.Request,
    gateway: Gateway,
    function: Function,
    call: Request,
    plan: Plan,
    *,
    followed: bool = False,
) -> Submission:
    """The call with the request's body as its own. `followed`: this gateway hears of all that happens to it,
    instead of how it ends and of how an answer begins, which then waits for somebody who reads along."""
    request[INVOKED] = function.name
    invocation_id = gateway.mint.new(function.name)
    name = _blob(function, invocation_id)
    body = await bodies.receive(request, gateway.blobs, name, limit=gateway.settings.max_body)
    return _submission(request, gateway, function, invocation_id, call, plan, body, followed=followed)


async def enclose(
    request: web.Request, gateway: Gateway, function: Function, call: Request, plan: Plan, event: bytes
) -> Submission:
    """The call with this body, which came inside of the request's; followed."""
    invocation_id = gateway.mint.new(function.name)
    body = await bodies.keep(event, gateway.blobs, _blob(function, invocation_id))
    return _submission(request, gateway, function, invocation_id, call, plan, body, followed=True)


def under_key(plan: Plan, submission: Submission, key: str, owner: str) -> tuple[Plan, Submission]:
    """With this key of what was sent itself, unless the client gave one: another body under it is no conflict."""
    if plan.key is not None:
        return plan, submission
    # As for whoever gives a key: what is sent again must be found done, not cancelled.
    leaves = "continue" if plan.on_disconnect == "continue-if-started" else plan.on_disconnect
    same = Idempotency(key=admission.key_digest(key, owner), request="any")
    return replace(plan, key=key, on_disconnect=leaves), replace(submission, key=same)


async def submit(gateway: Gateway, function: Function, submission: Submission) -> Accepted:
    """Raises QueueFull and RateLimited, which say when to come again, IdempotencyConflict, StoreUnavailable."""
    taken: Accepted | None = None
    depth = gateway.settings.held_depth if submission.kind == "call" else function.spec.queue.max_depth
    try:
        taken = await tracing.submit(gateway, submission, depth=depth)
    except QueueFull as error:
        pool = await gateway.store.pools.get(function.name)
        error.retry_after = admission.retry_after(depth, pool.drain_rate)
        raise
    except InFlightLimited as error:
        pool = await gateway.store.pools.get(function.name)
        error.retry_after = admission.next_end(pool.drain_rate)
        raise
    except StoreUnavailable:
        taken = Accepted(id=submission.id, joined=False)  # perhaps: the sweep of blobs will know
        raise
    finally:
        if submission.request.blob is not None and (taken is None or taken.joined):
            await gateway.blobs.delete(submission.request.blob)  # nothing refers to it
    return taken


async def run(
    gateway: Gateway, function: Function, submission: Submission, plan: Plan
) -> tuple[Accepted, Ending | None]:
    """Submits a followed one, and how it ended if that was within the hold. None: it goes on, as a job."""
    with gateway.waiters.expect(function.name, submission.id) as ending:
        taken = await submit(gateway, function, submission)
        if plan.hold and not taken.joined:
            try:
                await asyncio.wait([ending], timeout=plan.hold)
            except asyncio.CancelledError:
                client_left(gateway, submission, plan)
                raise
            if ending.done() and isinstance(found := ending.result(), Ending):
                return taken, found
    if taken.joined and plan.hold:
        await wait(gateway, function.name, taken.id, plan.hold, followed=True)
    if taken.joined or plan.hold:
        return taken, await let_go(gateway, function.name, taken.id)
    return taken, None


async def wait(
    gateway: Gateway, function: str, invocation_id: str, seconds: float, *, followed: bool = False
) -> None:
    """Until it has ended, or the time is over."""
    me = gateway.waiters.gateway
    with gateway.waiters.expect(function, invocation_id) as ending:
        state = await gateway.store.queue.watch(function, invocation_id, me, everything=followed)
        if state is not None and not state.terminal:
            await asyncio.wait([ending], timeout=seconds)


async def let_go(gateway: Gateway, function: str, invocation_id: str) -> Ending | None:
    """The hold is over: the call becomes a job, unless it has ended by now."""
    state = await gateway.store.queue.detach(function, invocation_id)
    if state is None or not state.terminal:
        return None
    return await gateway.store.invocations.ending(function, invocation_id)


async def no_capacity(gateway: Gateway, submission: Submission) -> str | None:
    """Why it was cancelled: the whole hold over no place was free for an instance, and nobody knows when one will
    be. None: there is a place, or it has begun."""
    pool = await gateway.store.pools.get(submission.function)
    if pool.blocked is None or pool.serving:
        return None
    cancelled, _ = await gateway.store.queue.cancel(submission.function, submission.id, only_queued=True)
    return pool.blocked if cancelled else None


async def log_tail(gateway: Gateway, function: str, invocation_id: str, limit: int) -> bytes:
    """The last bytes of what it has logged."""
    story = await gateway.store.events.since(function, invocation_id, BEGINNING)
    lines = [json.loads(one.data)["line"] for one in (story.said if story else ()) if one.kind == "log"]
    return "".join(f"{line}\n" for line in lines).encode()[-limit:]


def client_left(gateway: Gateway, submission: Submission, plan: Plan) -> None:
    """A client that hung up. Unless it said otherwise: what has not started is not worth starting; what has is
    finished and readable. A job goes on whoever hangs up."""
    if submission.kind == "job" or plan.on_disconnect == "continue":
        return

    async def cancel() -> None:
        only_queued = plan.on_disconnect == "continue-if-started"
        await gateway.store.queue.cancel(submission.function, submission.id, only_queued=only_queued)

    gateway.tasks.spawn(f"cancel {submission.id}", cancel())


def limits(caller: Caller, function: Function) -> tuple[tuple[str | None, Limits], ...]:
    """What a call must keep to: the limits of the caller's key, and of the function."""
    both = ((caller.key_id, caller.limits), (None, function.spec.limits))
    return tuple(one for one in both if one[1].some)


def _submission(
    request: web.Request,
    gateway: Gateway,
    function: Function,
    invocation_id: str,
    call: Request,
    plan: Plan,
    body: Body,
    *,
    followed: bool,
) -> Submission:
    spec, caller, trace = function.spec, request[CALLER], tracing.origin(request)
    retry = spec.retry.model_copy(update=dict(plan.retry or {}))
    return Submission(
        function=function.name,
        id=invocation_id,
        kind="job" if plan.is_job else "call",
        request=replace(call, size=body.size, blob=body.blob, headers=_untraced(call.headers, trace)),
        body=body.data,
        max_age_ms=int((plan.max_queue or spec.queue.max_age) * 1000),
        timeout_ms=int((plan.timeout or spec.timeout) * 1000),
        priority=plan.priority,
        delay_ms=int(plan.delay * 1000),
        attempts=plan.attempts or retry.attempts,
        retry=retry if plan.retry else None,
        **told(plan.callback, function),
        gateway=gateway.waiters.gateway if plan.hold and not followed else None,
        observer=gateway.waiters.gateway if plan.hold and followed else None,
        key=_idempotency(call, plan.key, body, caller.owner) if plan.key else None,
        trace=trace,
        party=caller.party,
        limits=limits(caller, function),
    )


def _idempotency(call: Request, key: str, body: Body, owner: str) -> Idempotency:
    kind = next((value for name, value in call.headers if name.lower() == "content-type"), "")
    request = admission.fingerprint(call.method, call.path or "", call.query, kind, body.digest)
    return Idempotency(key=admission.key_digest(key, owner), request=request)


def _untraced(headers: tuple[tuple[str, str], ...], trace: TraceContext | None) -> tuple[tuple[str, str], ...]:
    """Without those of the trace, which the record keeps apart."""
    if trace is None:
        return headers
    return tuple((name, value) for name, value in headers if name.lower() not in HEADERS)


def _blob(function: Function, invocation_id: str) -> str:
    return f"{function.name}/{invocation_id}.request"
