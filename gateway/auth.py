"""Around every handler: who calls is found out, and whether they may."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from aiohttp import web

from gateway import access, credentials
from gateway.access import ANYBODY, METRICS, NOBODY, OPEN, Caller, Known, Need, Target
from gateway.context import GATEWAY, Gateway, Handler, host
from gateway.cors import allowed
from gateway.local import is_local
from penstock import apikey
from penstock.errors import Forbidden, FunctionNotFound, InvalidRequest, PenstockError, Unauthorized
from penstock.settings import GatewaySettings

CALLER = web.RequestKey("caller", Caller)
_NEED = web.RequestKey("need", Need)
_CARRIERS = web.RequestKey("carriers", frozenset[str])
NEEDS = web.AppKey("needs", dict[web.AbstractRoute, Need])


class Route:
    """A route and what it asks of its callers: there is none without."""

    def __init__(self, need: Need, route: web.RouteDef) -> None:
        self.need = need
        self.definition = route


def needs(need: Need, *routes: web.RouteDef) -> tuple[Route, ...]:
    """A part of a table of routes."""
    return tuple(Route(need, route) for route in routes)


def add_routes(app: web.Application, routes: Iterable[Route]) -> None:
    """Has the application serve them, each for whom it is."""
    table = app[NEEDS] = {}
    for route in routes:
        for added in route.definition.register(app.router):
            table[added] = route.need
            for beside in added.resource or ():  # a GET brings a HEAD along
                table.setdefault(beside, route.need)


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Lets through who may: with a key what its scopes say; without one what is open to everybody, and on loopback
    everything as long as there are no keys. Without a key a web page of elsewhere is turned away."""
    gateway = request.app[GATEWAY]
    matched = request.match_info
    need = OPEN if matched.http_exception is not None else request.app[NEEDS][matched.route]
    if need is METRICS and gateway.settings.open_metrics:
        need = OPEN
    caller = await enter(request, need)
    if caller.key_id is None and not gateway.settings.insecure:
        _turn_away_pages(request, gateway.settings)
    if caller is ANYBODY:
        return await handler(request)
    if need.late:
        if caller is NOBODY and not need.may_be_open:
            raise Unauthorized(access.NO_KEY)
    elif need.target in (Target.FUNCTION, Target.NAME) and need is not OPEN:
        # Versions and aliases are their function's, and another vendor's name of it is as good as ours.
        await permit(request, await gateway.directory.base(matched["function"].partition("@")[0]))
    else:
        access.admit(caller, need)
    return await handler(request)


async def enter(request: web.Request, need: Need) -> Caller:
    """Who calls, for something of which this is needed. Raises Unauthorized, StoreUnavailable, and InvalidRequest
    for a key where it does not belong."""
    gateway = request.app[GATEWAY]
    key, carriers = credentials.find(request.headers, gateway.keyring.is_ours)
    request[CALLER] = caller = await _caller(gateway, key, need)
    request[_NEED], request[_CARRIERS] = need, carriers
    if caller is not ANYBODY and need is not OPEN and apikey.in_text(request.raw_path):
        raise InvalidRequest("an API key goes into a header, never into an address: revoke it, it is in logs now")
    return caller


async def permit(request: web.Request, name: str) -> None:
    """Whether the caller may do with this function what the route does. Raises Unauthorized, Forbidden and
    FunctionNotFound."""
    caller = request[CALLER]
    if caller is not ANYBODY:
        access.permit(caller, request[_NEED], name, await _known(request.app[GATEWAY], name))


def passed_on(request: web.Request) -> Iterable[tuple[str, str]]:
    """The headers of a request but those that carry a key of ours: a function's own pass."""
    carriers = request[_CARRIERS]
    return ((name, value) for name, value in request.headers.items() if name.lower() not in carriers)


async def visible(request: web.Request) -> Callable[[str], bool]:
    """Which functions a caller is shown, by name."""
    caller = request[CALLER]
    if caller.operates:
        return lambda name: True
    gateway = request.app[GATEWAY]
    tenants = {**gateway.keyring.owners, **{one.name: one.tenant for one in await gateway.store.catalog.list()}}

    def sees(name: str) -> bool:
        function = name.partition("@")[0]
        return caller.sees(function, tenants.get(function))

    return sees


async def _caller(gateway: Gateway, key: str | None, need: Need) -> Caller:
    try:
        return await gateway.keyring.caller(key)
    except PenstockError:
        if need is OPEN:  # a probe is answered whatever it carries, and when Redis is away
            return NOBODY
        raise


async def _known(gateway: Gateway, name: str) -> Known | None:
    try:
        function = await gateway.directory.get(name)
    except FunctionNotFound:
        owner = gateway.keyring.owners.get(name)
        return None if owner is None else Known(tenant=owner)
    return Known(tenant=function.tenant, anonymous=function.spec.auth == "anonymous")


def _turn_away_pages(request: web.Request, settings: GatewaySettings) -> None:
    """A browser on this machine would carry any page's requests across loopback: there the names in Host and
    Origin must be local (DNS rebinding, cross-site requests), but for origins that a setting names. Elsewhere a
    page may call where it comes from, too."""
    name, local = host(request), is_local(settings.host)
    if local and name is not None and not is_local(name):
        raise Forbidden(f"Host {name!r} is not local: without a key only this machine is served")
    origin = request.headers.get("Origin")
    if origin is None or is_local(origin) or allowed(settings, origin):
        return
    if local or urlsplit(origin).netloc != name:
        raise Forbidden(f"Origin {origin!r} is not local: without a key only pages of this machine are served")
