"""Batches: many jobs in one request, looked at, listed and cancelled as one."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from gateway import admission, names, ndjson
from gateway.auth import CALLER
from gateway.context import GATEWAY, Gateway, function_name
from gateway.filling import Filling
from gateway.rendering import json_response
from gateway.results import page_limit, state_filter
from gateway.tracing import ORIGIN, traced
from penstock import clock, views
from penstock.batch import MOST_JOBS, Batch, Seal
from penstock.errors import BatchExpired, BatchNotFound, InvalidRequest
from penstock.invocation import Idempotency

_AT_ONCE = 250
"""Commands that go to Redis in one pipeline."""
_LOOK_AGAIN = 0.5
"""Seconds between two looks of a long poll."""


@traced
async def submit(request: web.Request) -> web.Response:
    """POST …/invocations:batch: 202 and what became of each line."""
    gateway, caller = request.app[GATEWAY], request[CALLER]
    given = admission.idempotency_key(request.headers)
    # All of them on one version: the ids of its jobs follow from that of the batch.
    chosen = await names.choose(request, function_name(request), key=f"batch {given}" if given else None)
    function = chosen.function
    prefer = admission.Preferences(respond_async=True)
    plan = admission.plan(request.headers, prefer, hold=0.0, max_hold=0.0, egress=gateway.egress)
    gateway.pressure.check()
    lines = await ndjson.receive(request, limit=gateway.settings.max_body)
    same = admission.fingerprint("POST", "batch", "", request.headers.get("Content-Type", ""), lines.digest)
    opened = await gateway.store.batches.open(
        function.name,
        gateway.mint.new_batch(function.name),
        lines=len(lines.bodies),
        callback=plan.callback.url if plan.callback else None,
        # Not the name under which a single call keeps its key.
        key=Idempotency(key=admission.key_digest(f"batch {plan.key}", caller.owner), request=same)
        if plan.key
        else None,
    )
    filling = Filling(gateway, function, plan, opened.id, lines, caller, request.get(ORIGIN))
    # All of it has been read: it is submitted whoever hangs up.
    await asyncio.shield(gateway.tasks.spawn(f"batch {opened.id}", filling.run()))
    items = await filling.items()
    accepted = sum("id" in item for item in items)
    base = f"/v1/functions/{function.name}/batches/{opened.id}"
    return json_response(
        {"batch": opened.id, "accepted": accepted, "refused": len(items) - accepted, "items": items},
        status=202,
        headers={"Location": base},
    )


async def show(request: web.Request) -> web.Response:
    """GET …/batches/{id}[?wait=N]: its counts, when all have ended or when the wait is over."""
    gateway, function, batch_id = await _named(request)
    wait = admission.wait_parameter(request.query.get("wait"), longest=gateway.settings.max_hold)
    until = clock.monotonic() + wait
    one = await _find(gateway, function, batch_id)
    while one.finished_at is None and (left := until - clock.monotonic()) > 0 and not gateway.waiters.closed:
        await asyncio.sleep(min(left, _LOOK_AGAIN))
        one = await _find(gateway, function, batch_id)
    return json_response(views.batch(one))


async def invocations(request: web.Request) -> web.Response:
    """GET …/batches/{id}/invocations?state=&limit=&cursor=: its jobs in the order of their lines. Refused ones
    and those past their retention are left out."""
    gateway, function, batch_id = await _named(request)
    limit = page_limit(request.query.get("limit"))
    state = state_filter(request.query.get("state"))
    cursor = _cursor(request.query.get("cursor"))
    await _find(gateway, function, batch_id)
    left = [index for index in await gateway.store.batches.accepted(function, batch_id) if index >= cursor]
    found = list[dict[str, Any]]()
    size = _AT_ONCE if state else limit
    for page in (left[start : start + size] for start in range(0, len(left), size)):
        ids = [gateway.mint.member(function, batch_id, index) for index in page]
        records = await asyncio.gather(*(gateway.store.invocations.get(function, one) for one in ids))
        for index, record in zip(page, records, strict=True):
            if record is not None and state in (None, record.state):
                found.append({"index": index, **views.invocation(record)})
            if len(found) == limit:
                following = None if index == left[-1] else str(index + 1)
                return json_response({"invocations": found, "next_cursor": following})
    return json_response({"invocations": found, "next_cursor": None})


async def cancel(request: web.Request) -> web.Response:
    """DELETE …/batches/{id}: cancels all that have not ended, and what is still being submitted is refused."""
    gateway, function, batch_id = await _named(request)
    await gateway.store.batches.seal(function, batch_id, Seal.CANCELLED)
    await _find(gateway, function, batch_id)
    accepted = await gateway.store.batches.accepted(function, batch_id)
    cancelled = 0
    for start in range(0, len(accepted), _AT_ONCE):
        ids = [gateway.mint.member(function, batch_id, index) for index in accepted[start : start + _AT_ONCE]]
        ends = await asyncio.gather(*(gateway.store.queue.cancel(function, one) for one in ids))
        cancelled += sum(done for done, _ in ends)
    return json_response({"cancelled": cancelled})


async def _named(request: web.Request) -> tuple[Gateway, str, str]:
    """Gateway, function and id of the path. A batch outlives its function. Raises BatchNotFound for an id that
    is not ours."""
    gateway, batch_id = request.app[GATEWAY], request.match_info["id"]
    function = await names.owner(
        request, function_name(request), lambda name: gateway.mint.is_our_batch(name, batch_id)
    )
    if not gateway.mint.is_our_batch(function, batch_id):
        raise BatchNotFound(batch_id)
    return gateway, function, batch_id


async def _find(gateway: Gateway, function: str, batch_id: str) -> Batch:
    """Raises BatchExpired."""

    def is_member(invocation_id: str) -> bool:
        return gateway.mint.index(function, batch_id, invocation_id) is not None

    found = await gateway.store.batches.get(function, batch_id, is_member)
    if found is None:
        raise BatchExpired(batch_id)
    return found


def _cursor(text: str | None) -> int:
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit()) or int(text[:9]) >= MOST_JOBS:
        raise InvalidRequest(f"cursor={text!r} is not one that a list of this batch gave")
    return int(text)
