"""Versions and aliases as Function Compute's official SDKs publish and point them: of a function in 2023-03-30,
of a whole service in 2016-08-15 and 2021-04-06, where a number means the same moment in each of its functions."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from aiohttp import web

from gateway import bodies, names, paging, versions
from gateway.access import LATE_DEPLOY, LATE_READ
from gateway.auth import needs, permit
from gateway.context import GATEWAY, Gateway
from gateway.dialects.fc import FUNCTIONS
from gateway.rendering import json_response
from penstock import clock
from penstock.errors import AlreadyExists, FunctionNotFound, InvalidRequest, RequestError, VersionNotFound
from penstock.function import Function
from penstock.versions import Alias, is_number, named


class _AliasExists(AlreadyExists):
    code = "AliasAlreadyExists"


class _NoService(RequestError):
    code = "ServiceNotFound"
    status = 404


async def publish(request: web.Request) -> web.Response:
    """POST …/versions: of a service whose functions all are what was published last, that number."""
    gateway, found, given = await _asked(request)
    kept = [await gateway.store.versions.get(one.name) for one in found]
    last = max(one.last for one in kept)
    newest = [await _version(gateway, one, str(last)) for one in found]
    same = all(new is not None and new.source == one.digest for new, one in zip(newest, found, strict=True))
    number = None if same or len(found) == 1 else last + 1
    released = [
        await versions.release(gateway, one, given.get("description"), number=number)
        for one in (found if not same else found[:1])
    ]
    return json_response(_shown(released[0]))


async def listing(request: web.Request) -> web.Response:
    """GET …/versions?direction=&limit=&nextToken=: the latest first (BACKWARD), or the other way."""
    gateway, found, _ = await _asked(request)
    direction = (request.query.get("direction") or "BACKWARD").upper()
    if direction not in ("BACKWARD", "FORWARD"):
        raise InvalidRequest(f"direction {direction!r} is neither BACKWARD nor FORWARD")
    every = {int(one.version or 0): one for it in found for one in await gateway.store.versions.published(it.name)}
    numbers = sorted(every, reverse=direction == "BACKWARD")
    page, following = paging.page(request, [str(number) for number in numbers])
    listed = [_shown(every[int(number)]) for number in page]
    return json_response({"versions": listed, "nextToken": following, "direction": direction})


async def delete(request: web.Request) -> web.Response:
    """DELETE …/versions/{version}"""
    gateway, found, _ = await _asked(request)
    number = request.match_info["version"]
    having = [one for one in found if await _version(gateway, one, number) is not None]
    if not having:
        raise VersionNotFound(found[0].name, number)
    for one in having:
        await versions.remove(gateway, one, number)
    return web.Response(status=204)


async def create_alias(request: web.Request) -> web.Response:
    """POST …/aliases"""
    gateway, found, given = await _asked(request)
    name = given.get("aliasName")
    if not isinstance(name, str):
        raise InvalidRequest("aliasName: missing")

    def new(old: Alias | None) -> Alias:
        if old is not None:
            raise _AliasExists(f"there is an alias {name} already: update it instead")
        return versions.parse(_fields(given))

    return json_response(_shown_alias(name, await _point(gateway, found, name, new)))


async def update_alias(request: web.Request) -> web.Response:
    """PUT …/aliases/{alias}: what is given changes, and nothing else."""
    gateway, found, given = await _asked(request)
    name, _ = await versions.known(request, found[0])

    def changed(old: Alias | None) -> Alias:
        return versions.parse((old.model_dump() if old is not None else {}) | _fields(given))

    return json_response(_shown_alias(name, await _point(gateway, found, name, changed)))


async def get_alias(request: web.Request) -> web.Response:
    """GET …/aliases/{alias}"""
    _, found, _ = await _asked(request)
    return json_response(_shown_alias(*await versions.known(request, found[0])))


async def aliases(request: web.Request) -> web.Response:
    """GET …/aliases?prefix=&limit=&nextToken="""
    gateway, found, _ = await _asked(request)
    every = (await gateway.store.versions.get(found[0].name)).aliases
    prefix = request.query.get("prefix", "")
    page, following = paging.page(request, sorted(name for name in every if name.startswith(prefix)))
    listed = [_shown_alias(name, every[name]) for name in page]
    return json_response({"aliases": listed, "nextToken": following})


async def delete_alias(request: web.Request) -> web.Response:
    """DELETE …/aliases/{alias}"""
    gateway, found, _ = await _asked(request)
    name, _ = await versions.known(request, found[0])
    for one in found:
        if name in (await gateway.store.versions.get(one.name)).aliases:
            await versions.unpoint(gateway, one, name)
    return web.Response(status=204)


async def _asked(request: web.Request) -> tuple[Gateway, list[Function], dict[str, Any]]:
    """What versions are of: a function, or all functions of a service; and the body of a request that has one."""
    gateway, match = request.app[GATEWAY], request.match_info
    if "service" not in match:
        found = [await gateway.directory.get((await names.find(request, match["function"])).base)]
    else:
        found = await _service(request, match["service"])
    given = {}
    if request.method in ("POST", "PUT") and request.body_exists:
        given = await bodies.receive_object(request, limit=gateway.settings.max_body)
    return gateway, found, given


async def _service(request: web.Request, service: str) -> list[Function]:
    """Its functions that the caller knows of, as files of the vendor's have deployed them."""
    gateway = request.app[GATEWAY]
    members = [
        name
        for original, name in sorted((await gateway.store.aliases.all()).items())
        if original.partition("/")[0] == service and "/" in original
    ]
    found = []
    for name in members:
        with suppress(FunctionNotFound):
            await permit(request, name)
            found.append(await gateway.directory.get(name))
    if not found:
        raise _NoService(f"no function of a service {service!r} is deployed here")
    return found


async def _version(gateway: Gateway, function: Function, number: str) -> Function | None:
    if not is_number(number):
        return None
    try:
        return await gateway.directory.get(named(function.name, number))
    except FunctionNotFound:
        return None


async def _point(gateway: Gateway, found: list[Function], name: str, change: Any) -> Alias:
    """Of a service's functions those that have the version; one that came later has it not."""
    first = change(None) if len(found) > 1 and name not in await _all_aliases(gateway, found) else None
    wanted = first.version if first is not None else None
    able = [one for one in found if wanted is None or await _version(gateway, one, wanted) is not None]
    if not able:
        raise VersionNotFound(found[0].name, str(wanted))
    pointed = [await versions.point(gateway, one, name, change) for one in able]
    return pointed[0]


async def _all_aliases(gateway: Gateway, found: list[Function]) -> set[str]:
    return {name for one in found for name in (await gateway.store.versions.get(one.name)).aliases}


def _fields(given: dict[str, Any]) -> dict[str, Any]:
    """What of the vendor's body is known here, in our own words."""
    ours = {"versionId": "version", "additionalVersionWeight": "weights", "description": "description"}
    return {ours[name]: value for name, value in given.items() if name in ours and value is not None}


def _shown(one: Function) -> dict[str, Any]:
    at = clock.rfc3339(one.created_at)
    return {
        "versionId": one.version,
        "description": one.description,
        "createdTime": at,
        "lastModifiedTime": at,
    }


def _shown_alias(name: str, alias: Alias) -> dict[str, Any]:
    return {
        "aliasName": name,
        "versionId": alias.version,
        "description": alias.description,
        "additionalVersionWeight": alias.weights,
        "createdTime": clock.rfc3339(alias.created_at),
        "lastModifiedTime": clock.rfc3339(alias.updated_at),
    }


_OWNERS = (FUNCTIONS[0], "/2016-08-15/services/{service}", "/2021-04-06/services/{service}")
ROUTES = (
    *needs(
        LATE_DEPLOY,
        *(web.post(f"{base}/versions", publish) for base in _OWNERS),
        *(web.delete(f"{base}/versions/{{version}}", delete) for base in _OWNERS),
        *(web.post(f"{base}/aliases", create_alias) for base in _OWNERS),
        *(web.put(f"{base}/aliases/{{alias}}", update_alias) for base in _OWNERS),
        *(web.delete(f"{base}/aliases/{{alias}}", delete_alias) for base in _OWNERS),
    ),
    *needs(
        LATE_READ,
        *(web.get(f"{base}/versions", listing) for base in _OWNERS),
        *(web.get(f"{base}/aliases", aliases) for base in _OWNERS),
        *(web.get(f"{base}/aliases/{{alias}}", get_alias) for base in _OWNERS),
    ),
)
