"""Reading invocations, and ending them: poll, long poll, result, list, cancel."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from gateway import admission, calls, names
from gateway.context import GATEWAY, Gateway, function_name
from gateway.invoke import answer
from gateway.rendering import json_response
from penstock import views
from penstock.errors import (
    AlreadyFinished,
    InvalidRequest,
    InvocationExpired,
    InvocationNotFound,
)
from penstock.invocation import Invocation, State

_LIMIT, _MOST = 20, 100
_PAGES = 50
"""Pages that a filtered list reads before it answers with what it has and where to go on."""


async def show(request: web.Request) -> web.Response:
    """GET …/invocations/{id}[?wait=N]: the record, at its end or when the wait is over."""
    gateway, function, invocation_id = await named(request)
    wait = admission.wait_parameter(request.query.get("wait"), longest=gateway.settings.max_hold)
    if wait:
        await calls.wait(gateway, function, invocation_id, wait)
    record = await find(gateway, function, invocation_id)
    if record.state.terminal:
        return json_response(views.invocation(record))
    position = await gateway.store.invocations.position(function, invocation_id)
    pool = await gateway.store.pools.get(function)
    return json_response(views.invocation(record, position=position, pool=pool))


async def result(request: web.Request) -> web.StreamResponse:
    """GET …/invocations/{id}/result: the function's own answer; 202 and the record while there is none."""
    gateway, function, invocation_id = await named(request)
    ending = await gateway.store.invocations.ending(function, invocation_id)
    if ending is not None:
        return await answer(request, invocation_id, ending)
    record = await find(gateway, function, invocation_id)
    return json_response(views.invocation(record), status=202, headers={"Retry-After": "1"})


async def cancel(request: web.Request) -> web.Response:
    """DELETE …/invocations/{id}: 200 if it had not started, 202 if it ran, 409 if it had ended."""
    gateway, function, invocation_id = await named(request)
    done, state = await gateway.store.queue.cancel(function, invocation_id)
    record = await find(gateway, function, invocation_id)
    if not done:
        raise AlreadyFinished(invocation_id, record.state)
    return json_response(views.invocation(record), status=200 if state is State.QUEUED else 202)


async def listing(request: web.Request) -> web.Response:
    """GET …/invocations?state=&limit=&cursor=: async jobs, newest first."""
    gateway, function = request.app[GATEWAY], (await names.asked(request)).name
    limit = page_limit(request.query.get("limit"))
    state = state_filter(request.query.get("state"))
    cursor = request.query.get("cursor")
    if cursor is not None and not gateway.mint.is_ours(function, cursor):
        raise InvalidRequest(f"cursor {cursor!r} is not one that a list of this function gave")
    wanted = (lambda record: record.state is state) if state else None
    found, following = await matching(gateway, function, wanted, limit=limit, cursor=cursor)
    body = {"invocations": [views.invocation(record) for record in found], "next_cursor": following}
    return json_response(body)


async def matching(
    gateway: Gateway,
    function: str,
    wanted: Callable[[Invocation], bool] | None,
    *,
    limit: int,
    cursor: str | None,
    oldest_first: bool = False,
) -> tuple[list[Invocation], str | None]:
    """Async jobs beyond the one called `cursor`, newest first unless told otherwise, and where to go on; None:
    there are no more. `wanted` None: all of them."""
    found: list[Invocation] = []
    for _ in range(_PAGES):
        size = _MOST if wanted else limit
        page = await gateway.store.invocations.list_jobs(
            function, beyond=cursor, limit=size, oldest_first=oldest_first
        )
        found += [record for record in page if wanted is None or wanted(record)][: limit - len(found)]
        full = len(found) == limit
        cursor = found[-1].id if full else page[-1].id if page else None
        if full or cursor is None:
            break
    return found, cursor


async def named(request: web.Request) -> tuple[Gateway, str, str]:
    """Gateway, function and id of the path. An id outlives its function, so that this need not be deployed."""
    gateway, invocation_id = request.app[GATEWAY], request.match_info["id"]
    function = await names.owner(
        request, function_name(request), lambda name: gateway.mint.is_ours(name, invocation_id)
    )
    return gateway, function, invocation_id


async def find(gateway: Gateway, function: str, invocation_id: str) -> Invocation:
    """Raises InvocationExpired for an id that we gave out, InvocationNotFound for any other."""
    if not gateway.mint.is_ours(function, invocation_id):
        raise InvocationNotFound(invocation_id)
    record = await gateway.store.invocations.get(function, invocation_id)
    if record is None:
        raise InvocationExpired(invocation_id)
    return record


def page_limit(text: str | None) -> int:
    if text is None:
        return _LIMIT
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:9]) <= _MOST:
        raise InvalidRequest(f"limit={text!r} is not a number from 1 to {_MOST}")
    return int(text)


def flag(request: web.Request, name: str, *, default: bool) -> bool:
    """A parameter that is true or false. Raises InvalidRequest."""
    text = request.query.get(name)
    if text is not None and text.lower() not in ("true", "false", "1", "0"):
        raise InvalidRequest(f"{name}={text!r} is neither true nor false")
    return default if text is None else text.lower() in ("true", "1")


def state_filter(text: str | None) -> State | None:
    if text is None:
        return None
    try:
        return State(text)
    except ValueError:
        allowed = ", ".join(State)
        raise InvalidRequest(f"state={text!r} is none of {allowed}") from None
