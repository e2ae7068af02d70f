"""Pages of a list that is short enough to be read as a whole."""

from __future__ import annotations

from aiohttp import web

from gateway.results import page_limit
from penstock.errors import InvalidRequest


def page(request: web.Request, every: list[str]) -> tuple[list[str], str | None]:
    """Names from `nextToken` on, `limit` of them at most, and the token of the next page. Raises
    InvalidRequest."""
    limit = page_limit(request.query.get("limit"))
    token = request.query.get("nextToken") or request.query.get("startKey")
    if token and token not in every:
        raise InvalidRequest(f"nextToken {token!r} is not one that this list gave")
    start = every.index(token) if token else 0
    following = every[start + limit] if start + limit < len(every) else None
    return every[start : start + limit], following
