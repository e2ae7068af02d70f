"""Versions and aliases as boto3's `lambda` client publishes and points them."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from gateway import bodies, names, versions
from gateway.access import LATE_DEPLOY, LATE_READ
from gateway.auth import needs
from gateway.context import GATEWAY, Gateway, function_name
from gateway.dialects.aws_lambda import parse
from gateway.rendering import json_response
from penstock import clock
from penstock.errors import AlreadyExists, InvalidRequest
from penstock.function import Function
from penstock.versions import LATEST, Alias, is_number

_LATEST = "$LATEST"
_ARN = "arn:aws:lambda:local:000000000000:function:"


async def publish(request: web.Request) -> web.Response:
    """POST /2015-03-31/functions/{name}/versions"""
    gateway, function, given = await _asked(request)
    return json_response(_shown(await versions.release(gateway, function, given.get("Description"))), status=201)


async def listing(request: web.Request) -> web.Response:
    """GET /2015-03-31/functions/{name}/versions: `$LATEST` first."""
    gateway, function, _ = await _asked(request)
    found = await gateway.store.versions.published(function.name)
    return json_response({"Versions": [_shown(one) for one in (function, *found)]})


async def delete(request: web.Request) -> web.Response:
    """DELETE /2015-03-31/functions/{name}?Qualifier=: a version. Functions are deleted where they come from."""
    gateway, function, _ = await _asked(request)
    _, version = parse(function_name(request), request.query.get("Qualifier"))
    if version is None or not is_number(version):
        raise InvalidRequest(
            "Qualifier: give the number of a version; functions are deleted with DELETE /v1/functions"
        )
    await versions.remove(gateway, function, version)
    return web.Response(status=204)


async def create_alias(request: web.Request) -> web.Response:
    """POST /2015-03-31/functions/{name}/aliases"""
    gateway, function, given = await _asked(request)
    name = given.get("Name")
    if not isinstance(name, str):
        raise InvalidRequest("Name: missing")

    def new(old: Alias | None) -> Alias:
        if old is not None:
            raise AlreadyExists(f"Alias already exists: {_ARN}{function.name}:{name}")
        return versions.parse(_fields(given))

    return json_response(
        _shown_alias(function, name, await versions.point(gateway, function, name, new)), status=201
    )


async def update_alias(request: web.Request) -> web.Response:
    """PUT /2015-03-31/functions/{name}/aliases/{alias}: what is given changes, and nothing else."""
    gateway, function, given = await _asked(request)
    name, _ = await versions.known(request, function)

    def changed(old: Alias | None) -> Alias:
        return versions.parse((old.model_dump() if old is not None else {}) | _fields(given))

    return json_response(_shown_alias(function, name, await versions.point(gateway, function, name, changed)))


async def get_alias(request: web.Request) -> web.Response:
    """GET /2015-03-31/functions/{name}/aliases/{alias}"""
    _, function, _ = await _asked(request)
    return json_response(_shown_alias(function, *await versions.known(request, function)))


async def aliases(request: web.Request) -> web.Response:
    """GET /2015-03-31/functions/{name}/aliases?FunctionVersion="""
    gateway, function, _ = await _asked(request)
    only = request.query.get("FunctionVersion")
    found = (await gateway.store.versions.get(function.name)).aliases
    shown = [_shown_alias(function, name, found[name]) for name in sorted(found)]
    return json_response({"Aliases": [one for one in shown if only in (None, one["FunctionVersion"])]})


async def delete_alias(request: web.Request) -> web.Response:
    """DELETE /2015-03-31/functions/{name}/aliases/{alias}"""
    gateway, function, _ = await _asked(request)
    name, _ = await versions.known(request, function)
    await versions.unpoint(gateway, function, name)
    return web.Response(status=204)


async def _asked(request: web.Request) -> tuple[Gateway, Function, dict[str, Any]]:
    gateway = request.app[GATEWAY]
    name, _ = parse(function_name(request), None)
    function = await gateway.directory.get((await names.find(request, name)).base)
    given = {}
    if request.method in ("POST", "PUT") and request.body_exists:
        given = await bodies.receive_object(request, limit=gateway.settings.max_body)
    return gateway, function, given


def _fields(given: dict[str, Any]) -> dict[str, Any]:
    found = {"version": given.get("FunctionVersion"), "description": given.get("Description")}
    routing = given.get("RoutingConfig")
    if isinstance(routing, dict):
        found["weights"] = routing.get("AdditionalVersionWeights") or {}
    return {name: value for name, value in found.items() if value is not None}


def _shown(one: Function) -> dict[str, Any]:
    version = one.version or _LATEST
    return {
        "FunctionName": one.base,
        "FunctionArn": f"{_ARN}{one.base}:{version}",
        "Version": version,
        "Description": one.description,
        "Handler": (one.spec.handler or "").replace(":", "."),
        "Timeout": int(one.spec.timeout),
        "MemorySize": one.spec.resources.memory // 2**20,
        "CodeSha256": one.code,
        "RevisionId": one.digest,
        "LastModified": clock.rfc3339(one.created_at),
        "State": "Active",
    }


def _shown_alias(function: Function, name: str, alias: Alias) -> dict[str, Any]:
    shown = {
        "AliasArn": f"{_ARN}{function.name}:{name}",
        "Name": name,
        "FunctionVersion": _LATEST if alias.version == LATEST else alias.version,
        "Description": alias.description,
    }
    return shown | ({"RoutingConfig": {"AdditionalVersionWeights": alias.weights}} if alias.weights else {})


_FUNCTION = "/2015-03-31/functions/{function}"
ROUTES = (
    *needs(
        LATE_DEPLOY,
        web.post(f"{_FUNCTION}/versions", publish),
        web.delete(_FUNCTION, delete),
        web.post(f"{_FUNCTION}/aliases", create_alias),
        web.put(f"{_FUNCTION}/aliases/{{alias}}", update_alias),
        web.delete(f"{_FUNCTION}/aliases/{{alias}}", delete_alias),
    ),
    *needs(
        LATE_READ,
        web.get(f"{_FUNCTION}/versions", listing),
        web.get(f"{_FUNCTION}/aliases", aliases),
        web.get(f"{_FUNCTION}/aliases/{{alias}}", get_alias),
    ),
)
