"""Web pages of elsewhere: which may call this gateway from a browser, by the setting gateway.cors_origins.

A preflight is answered here, before keys are asked for, since a browser sends none with it. Pages of other origins
get no header that would let them read an answer.
"""

from __future__ import annotations

import re

from aiohttp import hdrs, web

from gateway.context import GATEWAY, Handler
from penstock.settings import GatewaySettings

_NAMES = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(\s*,\s*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
_KEPT = "7200"
"""Seconds for which a browser may remember a preflight."""
_SHOWN = (
    "Location, Link, Preference-Applied, Retry-After, Server-Timing, Penstock-Invocation-Id, Penstock-Cold-Start"
)


def allowed(settings: GatewaySettings, origin: str) -> bool:
    """True for an origin that the settings name; `*` names none."""
    return origin in settings.cors_origins and origin != "*"


@web.middleware
async def preflight(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers the question whether a page may; all else goes on."""
    method = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_METHOD)
    if request.method != "OPTIONS" or method is None or _grant(request) is None:
        return await handler(request)
    asked = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, "")
    headers = {"Access-Control-Max-Age": _KEPT, "Vary": "Access-Control-Request-Method"}
    if _NAMES.fullmatch(method):
        headers["Access-Control-Allow-Methods"] = method
    if _NAMES.fullmatch(asked):
        headers["Access-Control-Allow-Headers"] = asked
    return web.Response(status=204, headers=headers)


async def sign(request: web.Request, response: web.StreamResponse) -> None:
    """On every answer, that of a function, too: its page may read it."""
    origin = _grant(request)
    if origin is None:
        return
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Access-Control-Expose-Headers"] = _SHOWN
    if request.app[GATEWAY].settings.cors_credentials:
        response.headers["Access-Control-Allow-Credentials"] = "true"
    response.headers.add("Vary", "Origin")


def _grant(request: web.Request) -> str | None:
    """The origin that is allowed, as it is told to the browser; None: there is none."""
    settings, origin = request.app[GATEWAY].settings, request.headers.get(hdrs.ORIGIN)
    if origin is None:
        return None
    if "*" in settings.cors_origins:
        return "*"
    return origin if allowed(settings, origin) else None
