"""Reading along: the events of one invocation, and the feed of a function."""

from __future__ import annotations

from contextlib import aclosing

from aiohttp import web

from gateway import names
from gateway.context import GATEWAY
from gateway.results import find, flag, named
from gateway.telling import HEADERS, encode, tell
from penstock.events import parse_id


async def events(request: web.Request) -> web.StreamResponse:
    """GET …/invocations/{id}/events[?follow=false]: all that happened and happens to it, until it has ended."""
    gateway, function, invocation_id = await named(request)
    after = parse_id(request.headers.get("Last-Event-ID") or request.query.get("last_event_id"))
    on = flag(request, "follow", default=True)
    record = await find(gateway, function, invocation_id)
    if record.state.terminal and after == parse_id(f"{record.token}-{record.state}"):
        # It has had everything; to a browser this status alone says that it need not come back.
        return web.Response(status=204)
    return await tell(request, gateway, function, invocation_id, after, on=on)


async def feed(request: web.Request) -> web.StreamResponse:
    """GET /v1/functions/{function}/events: what happens to all its invocations from now on; nothing is resumed."""
    gateway = request.app[GATEWAY]
    function = await names.asked(request)
    response = web.StreamResponse(headers=HEADERS)
    await response.prepare(request)
    async with aclosing(gateway.feeds.follow(function.name)) as following:
        async for event in following:
            await response.write(encode(event))
    await response.write_eof()
    return response
