"""Custom domains as Function Compute's official SDKs create, show, change and delete them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiohttp import web

from gateway import bodies, paging
from gateway.access import OBSERVE, OPERATE
from gateway.auth import needs
from gateway.context import GATEWAY, Gateway
from gateway.rendering import json_response
from penstock.domains import Domain, Route, check_name
from penstock.errors import AlreadyExists, ConfigurationError, DomainNotFound, InvalidRequest
from penstock.fc.domains import read_domain, translate
from penstock.fc.notes import Notes

_BODY = Path("body")


class _Exists(AlreadyExists):
    code = "DomainNameAlreadyExists"


async def create(request: web.Request) -> web.Response:
    """POST …/custom-domains"""
    gateway, given = request.app[GATEWAY], await _given(request)
    name, domain = _read(given)
    if not await gateway.store.domains.put(name, domain, new=True):
        raise _Exists(f"{name} is routed already: update it instead")
    gateway.directory.forget_domains()
    return json_response(_shown(name, domain))


async def update(request: web.Request) -> web.Response:
    """PUT …/custom-domains/{name}: its routes are replaced, if there are any given."""
    gateway, given = request.app[GATEWAY], await _given(request)
    name, domain = await _known(request, gateway)
    if given.get("routeConfig"):
        _, domain = _read({**given, "domainName": name})
        await gateway.store.domains.put(name, domain)
        gateway.directory.forget_domains()
    return json_response(_shown(name, domain))


async def show(request: web.Request) -> web.Response:
    """GET …/custom-domains/{name}"""
    return json_response(_shown(*await _known(request, request.app[GATEWAY])))


async def listing(request: web.Request) -> web.Response:
    """GET …/custom-domains?prefix=&limit=&nextToken="""
    every = await request.app[GATEWAY].store.domains.all()
    prefix = request.query.get("prefix", "")
    page, following = paging.page(request, [name for name in every if name.startswith(prefix)])
    return json_response({"customDomains": [_shown(name, every[name]) for name in page], "nextToken": following})


async def delete(request: web.Request) -> web.Response:
    """DELETE …/custom-domains/{name}"""
    gateway = request.app[GATEWAY]
    name, _ = await _known(request, gateway)
    await gateway.store.domains.remove(name)
    gateway.directory.forget_domains()
    return web.Response(status=204)


def _read(given: dict[str, Any]) -> tuple[str, Domain]:
    """As an s.yaml has it. Raises InvalidRequest."""
    notes = Notes(_BODY, {})
    try:
        found = translate([read_domain(given, (), notes)], {}, notes)
    except ConfigurationError as error:
        raise InvalidRequest(str(error).partition(": ")[2]) from None
    if not found:
        raise InvalidRequest("domainName and routeConfig.routes: give a name of your own, and one route at least")
    return next(iter(found.items()))


async def _given(request: web.Request) -> dict[str, Any]:
    return await bodies.receive_object(request, limit=request.app[GATEWAY].settings.max_body)


async def _known(request: web.Request, gateway: Gateway) -> tuple[str, Domain]:
    try:
        name = check_name(request.match_info["name"])
    except ValueError as error:
        raise InvalidRequest(str(error)) from None
    domain = (await gateway.store.domains.all()).get(name)
    if domain is None:
        raise DomainNotFound(name)
    return name, domain


def _shown(name: str, domain: Domain) -> dict[str, Any]:
    routes = [_route(one) for one in domain.routes]
    return {"domainName": name, "protocol": "HTTP", "routeConfig": {"routes": routes}}


def _route(one: Route) -> dict[str, Any]:
    service, slash, function = one.function.rpartition("/")
    shown: dict[str, Any] = {
        "path": one.path,
        "functionName": function,
        "qualifier": one.qualifier or "LATEST",
        "methods": list(one.methods),
    }
    if slash:
        shown["serviceName"] = service
    if one.rewrite:
        shown["rewriteConfig"] = {
            kind: [rule.model_dump() for rule in one.rewrite if rule.match.endswith("*") == wild]
            for kind, wild in (("equalRules", False), ("wildcardRules", True))
        }
    return shown


_DOMAINS = tuple(f"/{version}/custom-domains" for version in ("2023-03-30", "2016-08-15", "2021-04-06"))
ROUTES = (
    *needs(
        OPERATE,
        *(web.post(base, create) for base in _DOMAINS),
        *(web.put(f"{base}/{{name}}", update) for base in _DOMAINS),
        *(web.delete(f"{base}/{{name}}", delete) for base in _DOMAINS),
    ),
    *needs(
        OBSERVE,
        *(web.get(base, listing) for base in _DOMAINS),
        *(web.get(f"{base}/{{name}}", show) for base in _DOMAINS),
    ),
)
