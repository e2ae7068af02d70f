"""Published versions of functions and their aliases, over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from gateway import names
from gateway.context import GATEWAY, Gateway
from gateway.rendering import json_response
from penstock import clock
from penstock.errors import AliasNotFound, InvalidRequest, VersionInUse, VersionNotFound
from penstock.function import Function
from penstock.specfile import explain
from penstock.versions import Alias, is_alias, is_number, named

_LONGEST_DESCRIPTION = 1024
_HEARD = 2.0
"""Seconds after which a change is known to every gateway that lives."""


async def publish(request: web.Request) -> web.Response:
    """POST /v1/functions/{function}/versions, with {"description": …} or nothing: 201 and the next version; 200
    and the last one if that is what is deployed still."""
    gateway, function = request.app[GATEWAY], await base(request)
    fields = _object(await request.read())
    if unknown := sorted(fields.keys() - {"description"}):
        raise InvalidRequest(f"unknown field {unknown[0]!r}; allowed is description")
    last = (await gateway.store.versions.get(function.name)).last
    published = await release(gateway, function, fields.get("description"))
    status = 201 if int(published.version or 0) > last else 200
    return json_response(await _view(gateway, published), status=status)


async def listing(request: web.Request) -> web.Response:
    """GET /v1/functions/{function}/versions: the latest first."""
    gateway, function = request.app[GATEWAY], await base(request)
    found = await gateway.store.versions.published(function.name)
    views = await asyncio.gather(*(_view(gateway, one) for one in reversed(found)))
    return json_response({"versions": list(views)})


async def show(request: web.Request) -> web.Response:
    """GET /v1/functions/{function}/versions/{version}."""
    gateway, function = request.app[GATEWAY], await base(request)
    version = await names.find(request, function.name, _number(request, function))
    return json_response(await _view(gateway, version))


async def delete(request: web.Request) -> web.Response:
    """DELETE /v1/functions/{function}/versions/{version}: 409 while it is in use, and by what."""
    gateway, function = request.app[GATEWAY], await base(request)
    version = _number(request, function)
    await remove(gateway, function, version)
    return json_response({"deleted": named(function.name, version)})


async def put_alias(request: web.Request) -> web.Response:
    """PUT /v1/functions/{function}/aliases/{alias}, with {"version": "3", "weights": {"4": 0.1}}: 201 for a new
    one."""
    gateway, function = request.app[GATEWAY], await base(request)
    fields = _object(await request.read())
    name = request.match_info["alias"]
    known = name in (await gateway.store.versions.get(function.name)).aliases
    alias = await point(gateway, function, name, lambda old: parse(fields))
    return json_response(_alias(function, name, alias), status=200 if known else 201)


async def get_alias(request: web.Request) -> web.Response:
    """GET /v1/functions/{function}/aliases/{alias}."""
    function = await base(request)
    name, alias = await known(request, function)
    return json_response(_alias(function, name, alias))


async def aliases(request: web.Request) -> web.Response:
    """GET /v1/functions/{function}/aliases."""
    gateway, function = request.app[GATEWAY], await base(request)
    found = (await gateway.store.versions.get(function.name)).aliases
    return json_response({"aliases": [_alias(function, name, found[name]) for name in sorted(found)]})


async def delete_alias(request: web.Request) -> web.Response:
    """DELETE /v1/functions/{function}/aliases/{alias}."""
    gateway, function = request.app[GATEWAY], await base(request)
    name = request.match_info["alias"]
    await unpoint(gateway, function, name)
    return json_response({"deleted": named(function.name, name)})


# What other vendors' dialects do in their own words


async def release(
    gateway: Gateway, function: Function, description: object = None, *, number: int | None = None
) -> Function:
    """Publishes what is deployed. Raises InvalidRequest."""
    if not isinstance(description, (str, type(None))) or len(description or "") > _LONGEST_DESCRIPTION:
        raise InvalidRequest(f"description must be text of at most {_LONGEST_DESCRIPTION} characters")
    published = await gateway.store.versions.publish(function.name, description=description or "", number=number)
    gateway.directory.forget(function.name)
    return published


async def remove(gateway: Gateway, function: Function, version: str) -> None:
    """Removes a version that nobody uses. Raises VersionNotFound, VersionInUse."""
    name, queue = named(function.name, version), gateway.store.queue
    await _heard(gateway, function)
    waiting, running, _ = await queue.depth(name)
    if waiting or running:
        raise VersionInUse(f"{name} has work: {waiting} wait and {running} run; let them end, or purge its queue")
    await gateway.store.versions.remove(function.name, version)
    gateway.directory.forget(function.name)
    await gateway.store.controls.forget(name)
    await queue.cancel_waiting(name)  # what came in meanwhile


async def _heard(gateway: Gateway, function: Function) -> None:
    """Until every gateway knows where the function's aliases point: one that does not may yet send calls to a
    version that an alias has just left."""
    aliases = (await gateway.store.versions.get(function.name)).aliases.values()
    last = max((one.updated_at for one in aliases), default=0)
    await asyncio.sleep(min(max(last / 1000 + _HEARD - clock.now_ms() / 1000, 0.0), _HEARD))


async def point(gateway: Gateway, function: Function, name: str, change: Callable[[Alias | None], Alias]) -> Alias:
    """Puts an alias. Raises InvalidRequest, VersionNotFound."""
    if not is_alias(name):
        raise InvalidRequest(
            f"{name!r} is no name of an alias: letters, digits, - and _, at most 128, not only digits, not LATEST"
        )
    alias = await gateway.store.versions.put_alias(function.name, name, change)
    gateway.directory.forget(function.name)
    return alias


async def unpoint(gateway: Gateway, function: Function, name: str) -> None:
    """Removes an alias. Raises AliasNotFound."""
    await gateway.store.versions.remove_alias(function.name, name)
    gateway.directory.forget(function.name)
    await gateway.store.controls.unprovision(named(function.name, name))


def parse(fields: dict[str, Any]) -> Alias:
    """Raises InvalidRequest."""
    try:
        return Alias.model_validate({**fields, "created_at": 0, "updated_at": 0})
    except ValidationError as error:
        place, message = explain(error, Alias)
        raise InvalidRequest(f"{'.'.join(place) or 'alias'}: {message}") from None


async def known(request: web.Request, function: Function) -> tuple[str, Alias]:
    """The alias of a path. Raises AliasNotFound."""
    name = request.match_info["alias"]
    alias = (await request.app[GATEWAY].store.versions.get(function.name)).aliases.get(name)
    if alias is None:
        raise AliasNotFound(function.name, name)
    return name, alias


async def base(request: web.Request) -> Function:
    """The function of a path, which has versions and is none."""
    function = await names.asked(request)
    return await request.app[GATEWAY].directory.get(function.base)


def _number(request: web.Request, function: Function) -> str:
    version = request.match_info["version"]
    if not is_number(version):
        raise VersionNotFound(function.name, version)
    return version


async def _view(gateway: Gateway, one: Function) -> dict[str, Any]:
    unready, kept = await asyncio.gather(gateway.store.catalog.unready(), gateway.store.versions.get(one.base))
    return {
        "version": one.version,
        "function": one.name,
        "revision": one.revision,
        "description": one.description,
        "created_at": clock.rfc3339(one.created_at),
        "aliases": sorted(name for name, alias in kept.aliases.items() if one.version in alias.shares),
        "problem": unready.get(one.name),
        "spec": one.spec.model_dump(mode="json"),
    }


def _alias(function: Function, name: str, alias: Alias) -> dict[str, Any]:
    return {
        "alias": name,
        "function": named(function.name, name),
        "version": alias.version,
        "weights": alias.weights,
        "shares": alias.shares,
        "description": alias.description,
        "created_at": clock.rfc3339(alias.created_at),
        "updated_at": clock.rfc3339(alias.updated_at),
    }


def _object(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise InvalidRequest("the body must be a JSON object, or nothing")
    return fields
