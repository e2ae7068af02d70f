"""Custom domains: a request whose Host is one reaches a function's own server, and nothing else of this gateway.

So a known name in Host opens nothing to a page that rebinds its name to this machine: our own interface is not
there.
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from gateway import admission, invoke, names, problems
from gateway.access import INVOKE
from gateway.auth import enter
from gateway.context import GATEWAY, Handler, host
from gateway.cors import allowed
from gateway.local import is_local
from gateway.measures import REFUSAL
from gateway.rendering import json_response
from penstock.domains import Domain, Route, check_name, normal
from penstock.errors import AlreadyExists, DomainNotFound, Forbidden, InvalidRequest, PenstockError
from penstock.specfile import explain


@web.middleware
async def serve(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Passes on what is for no domain of a user's."""
    named = host(request)
    domain = await request.app[GATEWAY].directory.domain(named) if named is not None else None
    if domain is None:
        return await handler(request)
    try:
        return await _reach(request, domain)
    except PenstockError as error:
        request[REFUSAL] = error
        return problems.of_error(error)  # whatever dialect its path looks like


async def _reach(request: web.Request, domain: Domain) -> web.StreamResponse:
    await _check_origin(request)
    if "upgrade" in request.headers.get("Connection", "").lower():
        return problems.problem(501, "not_implemented", "Upgrade (WebSocket) is not supported")
    path = invoke.origin_form(request.raw_path).partition("?")[0]
    route = domain.route(request.method, path)
    if route is None:
        return problems.problem(404, "route_not_found", f"{host(request)} leads nowhere at {path}")
    if not isinstance(route, Route):
        allowed = ", ".join(sorted(route))
        refused = problems.problem(405, "method_not_allowed", f"{path} takes {allowed}, not {request.method}")
        refused.headers["Allow"] = allowed
        return refused
    await enter(request, INVOKE)
    key = admission.idempotency_key(request.headers)
    chosen = await names.choose(request, route.function, route.qualifier, key=key)
    return await invoke.reach(request, chosen, lambda raw: route.rewritten(normal(raw)) if route.rewrite else raw)


async def _check_origin(request: web.Request) -> None:
    """As `local_only` does for our own interface: without keys, no page of elsewhere may call from a browser
    here."""
    gateway, origin = request.app[GATEWAY], request.headers.get("Origin")
    if origin is None or gateway.settings.insecure or is_local(origin) or allowed(gateway.settings, origin):
        return
    if await gateway.directory.domain(origin.rpartition("/")[2]) is None:
        raise Forbidden(f"Origin {origin!r} is no domain of this deployment: without keys only those call it")


async def put(request: web.Request) -> web.Response:
    """PUT /v1/domains/{name}, with {"routes": [{"path": "/api/*", "function": "chat"}]}: 201 for a new one, 200
    for a changed one, 409 for one that is there if `If-None-Match: *`."""
    gateway, name = request.app[GATEWAY], _name(request)
    domain = parse(await request.read())
    only_new = request.headers.get("If-None-Match", "").strip() == "*"
    added = await gateway.store.domains.put(name, domain, new=only_new)
    gateway.directory.forget_domains()
    if only_new and not added:
        raise AlreadyExists(f"{name} is routed already: PUT without If-None-Match replaces its routes")
    return json_response(view(name, domain), status=201 if added else 200)


async def get(request: web.Request) -> web.Response:
    """GET /v1/domains/{name}."""
    name = _name(request)
    domain = (await request.app[GATEWAY].store.domains.all()).get(name)
    if domain is None:
        raise DomainNotFound(name)
    return json_response(view(name, domain))


async def listing(request: web.Request) -> web.Response:
    """GET /v1/domains."""
    found = await request.app[GATEWAY].store.domains.all()
    return json_response({"domains": [view(name, domain) for name, domain in found.items()]})


async def delete(request: web.Request) -> web.Response:
    """DELETE /v1/domains/{name}."""
    gateway, name = request.app[GATEWAY], _name(request)
    if not await gateway.store.domains.remove(name):
        raise DomainNotFound(name)
    gateway.directory.forget_domains()
    return json_response({"deleted": name})


def parse(body: bytes) -> Domain:
    """Raises InvalidRequest."""
    try:
        given = json.loads(body)
        if not isinstance(given, dict):
            raise InvalidRequest('the body must be an object: {"routes": [{"path": "/*", "function": NAME}]}')
        return Domain.model_validate(given)
    except ValidationError as error:
        place, message = explain(error, Domain)
        raise InvalidRequest(f"{'.'.join(place) or 'domain'}: {message}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the body must be a domain as JSON: {error}") from None


def view(name: str, domain: Domain) -> dict[str, Any]:
    return {"domain": name, **domain.model_dump(mode="json")}


def _name(request: web.Request) -> str:
    try:
        return check_name(request.match_info["name"])
    except ValueError as error:
        raise InvalidRequest(str(error)) from None
