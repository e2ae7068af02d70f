"""Triggers over HTTP: what those of a function have done, and messages for topics."""

from __future__ import annotations

from aiohttp import web

from gateway import bodies, names
from gateway.context import GATEWAY
from gateway.rendering import json_response
from penstock import clock, triggerview
from penstock.blobs import INLINE_LIMIT
from penstock.errors import InvalidRequest

_TAG = "Penstock-Tag"
_LONGEST_TAG = 128


async def listing(request: web.Request) -> web.Response:
    """GET /v1/functions/{function}/triggers."""
    gateway = request.app[GATEWAY]
    function = await names.asked(request)
    pasts = await gateway.store.triggers.pasts(function.name) if function.spec.triggers else {}
    return json_response({"triggers": triggerview.listing(function, pasts, clock.now_ms())})


async def publish(request: web.Request) -> web.Response:
    """POST /v1/topics/{topic}/messages: the body is the message; 202 once it is written."""
    gateway, topic = request.app[GATEWAY], request.match_info["topic"]
    gateway.pressure.check()
    tag = request.headers.get(_TAG)
    if tag is not None and not (len(tag) <= _LONGEST_TAG and tag.isascii() and tag.isprintable()):
        raise InvalidRequest(f"{_TAG} {tag!r} is not at most {_LONGEST_TAG} visible ASCII characters")
    body = await bodies.receive(request, gateway.blobs, "", limit=INLINE_LIMIT)
    kind = request.headers.get("Content-Type")
    message = await gateway.store.topics.publish(topic, body.data, tag=tag, content_type=kind)
    return json_response({"id": message, "topic": topic}, status=202)
