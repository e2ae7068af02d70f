"""Running again what has ended, and clearing a queue: retry, dead letters, redrive, purge.

A repeat is a new invocation with the same request, which names the old one in `retry_of`; what has ended never
changes.
"""

from __future__ import annotations

import json
from dataclasses import replace

from aiohttp import web

from gateway import admission, calls, names, tracing
from gateway.auth import CALLER
from gateway.context import GATEWAY
from gateway.invoke import accepted
from gateway.rendering import json_response
from gateway.results import find, named, page_limit
from gateway.tracing import ORIGIN, traced
from penstock import views
from penstock.errors import InvalidRequest, InvocationExpired, RateLimited
from penstock.function import Function
from penstock.invocation import Idempotency, Invocation, Submission

_REDRIVEN_AT_ONCE = 1_000


@traced
async def retry(request: web.Request) -> web.Response:
    """POST …/invocations/{id}/retry: 202 and the new job; the same one under the same Idempotency-Key."""
    gateway, name, invocation_id = await named(request)
    function = await gateway.directory.get(name)
    record = await find(gateway, name, invocation_id)
    if not record.state.terminal:
        raise InvalidRequest(f"invocation {record.id} is {record.state}: only what has ended can be run again")
    given = admission.idempotency_key(request.headers)
    key = admission.key_digest(f"retry {record.id} {given}", request[CALLER].owner) if given else None
    again = await repeat(request, function, record, key=key)
    return await accepted(gateway, function.name, again)


async def dead_letters(request: web.Request) -> web.Response:
    """GET …/dead-letters?limit=: jobs that ended without success, the latest first."""
    gateway = request.app[GATEWAY]
    function = await names.asked(request)
    limit = page_limit(request.query.get("limit"))
    records = await gateway.store.invocations.dead_letters(function.name, limit=limit)
    return json_response({"dead_letters": [views.invocation(record) for record in records]})


@traced
async def redrive(request: web.Request) -> web.Response:
    """POST …/dead-letters/redrive, with `{"ids": […]}` or for all: each is run again as a new job."""
    gateway = request.app[GATEWAY]
    function = await names.asked(request)
    wanted = _ids(await request.read())
    records = await gateway.store.invocations.dead_letters(function.name, limit=_REDRIVEN_AT_ONCE)
    items = []
    for record in records:
        if wanted is None or record.id in wanted:
            # Under a key of its own: whoever redrives it at the same time, or again after a crash, joins.
            key = admission.key_digest(f"redrive {record.id}", "")
            again = await repeat(request, function, record, key=key)
            await gateway.store.invocations.unlist_dead(function.name, record.id)
            items.append({"id": record.id, "retry": again})
    return json_response({"redriven": len(items), "items": items})


async def purge(request: web.Request) -> web.Response:
    """DELETE …/queue: cancels all that waits."""
    gateway = request.app[GATEWAY]
    function = await names.asked(request)
    return json_response({"removed": await gateway.store.queue.cancel_waiting(function.name)})


async def repeat(request: web.Request, function: Function, old: Invocation, *, key: str | None = None) -> str:
    """Submits it anew; the id of the new job. The same `key` again gives the same one."""
    gateway, caller = request.app[GATEWAY], request[CALLER]
    invocation_id = gateway.mint.new(function.name)
    body, blob = b"", None
    if old.request.blob is not None:
        blob = f"{function.name}/{invocation_id}.request"
        try:
            await gateway.blobs.copy(old.request.blob, blob)
        except FileNotFoundError:
            raise InvocationExpired(old.id) from None
    else:
        body = await gateway.store.invocations.body(function.name, old.id)
    submission = Submission(
        function=function.name,
        id=invocation_id,
        kind="job",
        request=replace(old.request, blob=blob),
        body=body,
        max_age_ms=old.max_age_ms,
        timeout_ms=old.timeout_ms,
        priority=old.priority,
        attempts=old.attempts,
        retry=old.retry,
        callback=old.callback,
        callback_events=old.callback_events,
        callback_payload=old.callback_payload,
        destinations=function.spec.callbacks.any,
        retry_of=old.id,
        key=Idempotency(key=key, request=old.id) if key else None,
        party=caller.party,
        limits=calls.limits(caller, function),
    )
    try:
        taken = await tracing.submit_apart(
            gateway, submission, request.get(ORIGIN), depth=function.spec.queue.max_depth, again=old.trace
        )
    except RateLimited:
        if blob is not None:
            await gateway.blobs.delete(blob)
        raise
    if taken.joined and blob is not None:
        await gateway.blobs.delete(blob)
    return taken.id


def _ids(body: bytes) -> frozenset[str] | None:
    """None: all of them."""
    if not body.strip():
        return None
    try:
        ids = json.loads(body)["ids"]
    except (ValueError, KeyError, TypeError, RecursionError):
        ids = None
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise InvalidRequest('the body must be empty, for all, or {"ids": ["…"]}')
    return frozenset(ids)
