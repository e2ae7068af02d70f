"""Requests that no handler is to see, though aiohttp's parser lets them pass."""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import web

from gateway.context import Handler, host
from gateway.problems import problem
from penstock.errors import InvalidRequest

_NEVER = frozenset({"TRACE", "CONNECT"})
"""They would show a client's headers to a page that may not see them, or ask for a tunnel."""

_SERVED = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
"""Where a function's own server decides."""


@web.middleware
async def strict(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.method in _NEVER:
        refusal = problem(405, "method_not_allowed", f"{request.method} is not served")
        elsewhere = request.match_info.http_exception
        served = elsewhere.allowed_methods if isinstance(elsewhere, web.HTTPMethodNotAllowed) else _SERVED
        refusal.headers["Allow"] = ",".join(sorted(served))
        refusal.force_close()  # what follows may be meant for whom it asked to be connected to
        return refusal
    target = request.raw_path
    if target.lower().startswith(("http://", "https://")) and _host(target) != _host(f"//{host(request)}"):
        raise InvalidRequest("the request's target names another host than its Host header")
    return await handler(request)


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
