"""A line for each request: what was asked for and what became of it. Never a query, a header or a body."""

from __future__ import annotations

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from gateway import tracing
from gateway.auth import CALLER


class AccessLog(AbstractAccessLogger):
    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """`time` in seconds."""
        matched = request.match_info if isinstance(request, web.Request) else None
        resource = matched.route.resource if matched is not None else None
        # A path that no route has may be anything that somebody sent.
        route = resource.canonical if resource is not None else "-"
        function = matched.get("function") if matched is not None else None
        facts = {
            "method": request.method,
            "route": route,
            "status": response.status,
            "ms": round(time * 1000, 1),
            "bytes": response.body_length,
            "function": function,
            "invocation": response.headers.get("Penstock-Invocation-Id"),
            "key": request[CALLER].key_id if CALLER in request else None,
            **(tracing.ids(request) if isinstance(request, web.Request) else {}),
        }
        self.logger.info(
            "%s %s %d %.1f ms %d B%s",
            request.method,
            route,
            response.status,
            time * 1000,
            response.body_length,
            f" {function}" if function else "",
            extra={"facts": facts},
        )
