"""Requests that no handler is to see, though aiohttp's parser lets them pass."""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import web

from gateway.context import Handler
from gateway.problems import problem
from penstock.errors import InvalidRequest

_NEVER = frozenset({"TRACE", "CONNECT"})
"""They would show a client's headers to a page that may not see them, or ask for a tunnel."""


@web.middleware
async def strict(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.method in _NEVER:
        return problem(405, "method_not_allowed", f"{request.method} is not served")
    target = request.raw_path
    if not target.isascii() and not _is_text(target):
        raise InvalidRequest("the request's target is not UTF-8; percent-encode it")
    if target.lower().startswith(("http://", "https://")) and _host(target) != _host(f"//{request.host}"):
        raise InvalidRequest("the request's target names another host than its Host header")
    return await handler(request)


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _is_text(target: str) -> bool:
    """Bytes that are not UTF-8 arrive as lone surrogates."""
    try:
        target.encode()
    except UnicodeEncodeError:
        return False
    return True
