"""Around every request: errors become problem+json."""

from __future__ import annotations

import logging

from aiohttp import web

from gateway import dialects, problems, tracing
from gateway.context import GATEWAY, Handler
from gateway.measures import REFUSAL
from penstock.errors import PayloadTooLarge, PenstockError

log = logging.getLogger(__name__)


@web.middleware
async def measured(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Stands around all others: what a client gets is what is counted."""
    measures = request.app[GATEWAY].measures
    response, began = None, measures.begin()
    try:
        response = await handler(request)
        return response
    finally:
        measures.end(request, response, began)


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Nothing that goes wrong reaches a client as a stack trace, and a dialect's client reads it as its own."""
    shape = dialects.shape(request.path)
    try:
        return await handler(request)
    except PenstockError as error:
        request[REFUSAL] = error
        return problems.of_error(error, shape)
    except web.HTTPRequestEntityTooLarge:
        request[REFUSAL] = too_large = PayloadTooLarge(request.client_max_size)
        return problems.of_error(too_large, shape)
    except web.HTTPException as error:
        detail = f"{request.method} {request.path}: {error.reason}"
        response = shape(error.status, error.reason.lower().replace(" ", "_"), detail)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except web.RequestPayloadError:
        detail = "the request's body is not framed as HTTP/1.1 has it, or is not whole"
        return shape(400, "invalid_request", detail)
    except Exception as error:
        if isinstance(error, ConnectionResetError) and _left(request):
            return web.Response(status=499)  # nobody is there to be told, nor is it an error of ours
        facts = {"function": request.match_info.get("function"), **tracing.ids(request)}
        log.exception("%s %s", request.method, request.path, extra={"facts": facts})
        return shape(500, "internal_error", "the gateway failed; its log says why")


def _left(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()
