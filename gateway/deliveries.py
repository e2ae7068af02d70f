"""The ledger of a function's callbacks over HTTP: list, show, deliver again."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from aiohttp import web

from gateway import names
from gateway.context import GATEWAY, Gateway, function_name
from gateway.rendering import json_response
from gateway.results import page_limit
from penstock import clock, views
from penstock.delivery import STATES, Delivery
from penstock.errors import DeliveryNotFound, InvalidRequest, InvocationExpired
from penstock.function import QUALIFIED

_CURSOR = re.compile(r"(?P<created>[0-9]{1,15})\.(?P<name>[0-9a-z-]{1,100})")
_AT_ONCE = 200
_FAILED = ("dead", "disabled")


async def listing(request: web.Request) -> web.Response:
    """GET …/deliveries?endpoint=&state=&since=&until=&invocation=&limit=&cursor=: newest first."""
    gateway, function = await _named(request)
    query = request.query
    limit = page_limit(query.get("limit"))
    since = _moment("since", query.get("since")) or 0
    until = _moment("until", query.get("until")) or clock.now_ms() + 86_400_000
    matches = _filter(query.get("endpoint"), query.get("state"), query.get("invocation"))
    after = _cursor(query.get("cursor"))
    found: list[Delivery] = []
    skip = 0
    while len(found) < limit:
        page = await gateway.store.deliveries.names(
            function, since_ms=since, until_ms=min(until, after[0]) if after else until, skip=skip
        )
        if not page:
            break
        skip += len(page)
        # Those of one millisecond are listed by name, descending.
        names = [name for name, created in page if after is None or (created, name) < after]
        found += [one for one in await _read(gateway, function, names) if matches(one)]
    found, more = found[:limit], len(found) >= limit
    cursor = f"{found[-1].created_at}.{found[-1].name}" if more else None
    return json_response({"deliveries": [views.delivery(one) for one in found], "next_cursor": cursor})


async def show(request: web.Request) -> web.Response:
    """GET …/deliveries/{id}."""
    gateway, function = await _named(request)
    return json_response(views.delivery(await _find(gateway, function, request.match_info["id"])))


async def redeliver(request: web.Request) -> web.Response:
    """POST …/deliveries/{id}/redeliver: 202; told again at once, under the same webhook-id."""
    gateway, function = await _named(request)
    delivery = await _find(gateway, function, request.match_info["id"])
    if not await _again(gateway, delivery):
        raise InvocationExpired(delivery.of)
    return json_response(views.delivery(await _find(gateway, function, delivery.name)), status=202)


async def redeliver_failed(request: web.Request) -> web.Response:
    """POST …/deliveries/redeliver with {"since": "…"}: all that were given up since then are told again."""
    gateway, function = await _named(request)
    names = await gateway.store.deliveries.ended_since(function, _since(await request.read()))
    failed = [one for one in await _read(gateway, function, names) if one.state in _FAILED]
    again: list[str] = []
    for start in range(0, len(failed), _AT_ONCE):
        some = failed[start : start + _AT_ONCE]
        done = await asyncio.gather(*(_again(gateway, one) for one in some))
        again += [one.name for one, told in zip(some, done, strict=True) if told]
    # What is past its retention can be told no more.
    return json_response(
        {"redelivered": len(again), "expired": len(failed) - len(again), "ids": again}, status=202
    )


async def _again(gateway: Gateway, delivery: Delivery) -> bool:
    """False if what it tells of is gone."""
    if delivery.what != "batch" and not await gateway.store.invocations.exists(delivery.function, delivery.of):
        return False
    return await gateway.store.deliveries.redeliver(delivery)


async def _find(gateway: Gateway, function: str, name: str) -> Delivery:
    delivery = await gateway.store.deliveries.get(function, name)
    if delivery is None:
        raise DeliveryNotFound(name)
    return delivery


async def _read(gateway: Gateway, function: str, names: Sequence[str]) -> list[Delivery]:
    found: list[Delivery] = []
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        read = await asyncio.gather(*(gateway.store.deliveries.get(function, name) for name in some))
        found += [one for one in read if one is not None]
    return found


async def _named(request: web.Request) -> tuple[Gateway, str]:
    """A ledger outlives its function. Of an alias that of its main version."""
    gateway, name = request.app[GATEWAY], function_name(request)
    return gateway, name if QUALIFIED.fullmatch(name) else (await names.asked(request)).name


def _filter(endpoint: str | None, state: str | None, invocation: str | None) -> Callable[[Delivery], bool]:
    if state is not None and state not in STATES:
        raise InvalidRequest(f"state={state!r} is none of {', '.join(STATES)}")
    return lambda one: endpoint in (None, one.url) and state in (None, one.state) and invocation in (None, one.of)


def _cursor(text: str | None) -> tuple[int, str] | None:
    if text is None:
        return None
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise InvalidRequest(f"cursor {text!r} is not one that a list of this function gave")
    return int(match["created"]), match["name"]


def _moment(name: str, text: str | None) -> int | None:
    """Milliseconds since 1970."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise InvalidRequest(f"{name}={text!r} is not a time as 2026-01-31T12:00:00Z") from None


def _since(body: bytes) -> int:
    try:
        given = json.loads(body)["since"]
    except (ValueError, KeyError, TypeError, RecursionError):
        given = None
    if not isinstance(given, str):
        raise InvalidRequest('the body must be {"since": "2026-01-31T12:00:00Z"}')
    moment = _moment("since", given)
    assert moment is not None, "it was given"
    return moment
