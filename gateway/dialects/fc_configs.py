"""A function's configs and instances, as Function Compute's official SDKs ask for them.

A config that is part of a spec here is put by deploying the spec with it, which makes a new revision.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from gateway import bodies, names, provision
from gateway.access import LATE_ADMIN, LATE_DEPLOY, LATE_READ, LIST
from gateway.auth import needs
from gateway.context import GATEWAY, Gateway
from gateway.dialects.fc import FUNCTIONS, asked, named
from gateway.names import Holder
from gateway.rendering import json_response
from penstock import clock
from penstock.errors import InvalidRequest, RequestError
from penstock.fc import destinations
from penstock.fc.names import native, original
from penstock.function import (
    DESTINATION,
    Destinations,
    Function,
    FunctionSpec,
    Queue,
    Retry,
    named_function,
)
from penstock.instance import InstanceState
from penstock.vendors.fc import arn
from penstock.versions import LATEST, split

_MOST_RETRIES = 8
_MOST_AGE = 604_800
_MOST_CONCURRENCY = 100_000
_STATES = {InstanceState.DRAINING: "Destroying", InstanceState.GONE: "Destroyed"}
"""Of an instance; any other is Running."""


class _NoConfig(RequestError):
    code = "ConfigNotFound"
    status = 404


async def instances(request: web.Request) -> web.Response:
    """GET …/functions/{f}/instances"""
    function = await named(request)
    pool = await request.app[GATEWAY].store.pools.get(function.name)
    found = [
        {
            "instanceId": one.id,
            "versionId": function.version or LATEST,
            "qualifier": function.version or LATEST,
            "status": _STATES.get(one.state, "Running"),
            "createdTimeMs": one.started_at,
        }
        for one in pool.instances
    ]
    return json_response({"instances": found})


async def put_provision(request: web.Request) -> web.Response:
    """PUT …/functions/{f}/provision-config"""
    holder = await _holder(request)
    given = await _given(request)
    said = await provision.keep(request.app[GATEWAY], holder, given)
    return json_response(_provision(said))


async def get_provision(request: web.Request) -> web.Response:
    """GET …/functions/{f}/provision-config"""
    return json_response(_provision(await provision.show(request.app[GATEWAY], await _holder(request))))


async def delete_provision(request: web.Request) -> web.Response:
    """DELETE …/functions/{f}/provision-config"""
    await request.app[GATEWAY].store.controls.unprovision((await _holder(request)).name)
    return web.Response(status=204)


async def list_provision(request: web.Request) -> web.Response:
    """GET /{version}/provision-configs[?functionName=]"""
    only = request.query.get("functionName")
    wanted = (await names.find(request, only)).name if only else None
    found = [
        _provision(said)
        for holder, said in await provision.shown(request)
        if wanted in (None, holder.functions[0].base)
    ]
    return json_response({"provisionConfigs": found, "nextToken": None})


async def put_concurrency(request: web.Request) -> web.Response:
    """PUT …/functions/{f}/concurrency: so many instances as hold no more calls than that."""
    function = await named(request)
    reserved = _whole(await _given(request), "reservedConcurrency", 1, _MOST_CONCURRENCY)
    slots = function.spec.slots
    if reserved is None or reserved % slots:
        raise InvalidRequest(f"reservedConcurrency must be a multiple of {slots}, the calls of an instance")
    scaling = function.spec.scaling.model_copy(update={"max": reserved // slots})
    return json_response(_concurrency(await _deploy(request, function, {"scaling": scaling})))


async def get_concurrency(request: web.Request) -> web.Response:
    """GET …/functions/{f}/concurrency"""
    return json_response(_concurrency(await named(request)))


async def delete_concurrency(request: web.Request) -> web.Response:
    """DELETE …/functions/{f}/concurrency"""
    function = await named(request)
    scaling = function.spec.scaling.model_copy(update={"max": None})
    await _deploy(request, function, {"scaling": scaling})
    return web.Response(status=204)


async def put_async(request: web.Request) -> web.Response:
    """PUT …/functions/{f}/async-invoke-config; what it leaves out has Function Compute's own defaults."""
    gateway, function, given = request.app[GATEWAY], await named(request), await _given(request)
    retries = _whole(given, "maxAsyncRetryAttempts", 0, _MOST_RETRIES)
    age = _whole(given, "maxAsyncEventAgeInSeconds", 1, _MOST_AGE)
    # There what failed in the function's own code is run again, too.
    on = tuple(sorted({*function.spec.retry.on, 500}))
    attempts = {"attempts": 1 + (3 if retries is None else retries), "on": on}
    changed = {
        "retry": function.spec.retry.model_copy(update=attempts),
        "queue": function.spec.queue.model_copy(update={"max_age": float(age or Queue().max_age)}),
        "callbacks": await _destinations(gateway, given.get("destinationConfig")),
    }
    return json_response(_async(await _deploy(request, function, changed)))


async def get_async(request: web.Request) -> web.Response:
    """GET …/functions/{f}/async-invoke-config"""
    return json_response(_async(await named(request)))


async def delete_async(request: web.Request) -> web.Response:
    """DELETE …/functions/{f}/async-invoke-config: our own defaults."""
    changed = {"retry": Retry(), "queue": Queue(), "callbacks": Destinations()}
    await _deploy(request, await named(request), changed)
    return web.Response(status=204)


async def _holder(request: web.Request) -> Holder:
    name, qualifier, service = asked(request)
    return await names.holder(request, name, qualifier, service=service)


async def _deploy(request: web.Request, function: Function, changed: dict[str, Any]) -> Function:
    gateway = request.app[GATEWAY]
    if function.version is not None:
        raise InvalidRequest(f"version {function.version} does not change: put it on LATEST, and publish that")
    spec = FunctionSpec.model_validate(function.spec.model_copy(update=changed).model_dump())
    deployed = await gateway.store.catalog.deploy(function.name, spec, code=function.code)
    gateway.directory.forget(function.name)
    return deployed


async def _given(request: web.Request) -> dict[str, Any]:
    return await bodies.receive_object(request, limit=request.app[GATEWAY].settings.max_body)


def _whole(given: dict[str, Any], name: str, least: int, most: int) -> int | None:
    value = given.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise InvalidRequest(f"{name} {value!r} is not a number from {least} to {most}")
    return value


async def _destinations(gateway: Gateway, given: Any) -> Destinations:
    told = {}
    for ours, theirs in (("on_success", "onSuccess"), ("on_failure", "onFailure")):
        one = (given.get(theirs) or {}) if isinstance(given, dict) else {}
        where = str(one.get("destination") or "") if isinstance(one, dict) else ""
        if (named := destinations.parse(where)) is not None:
            known = await gateway.store.aliases.get(original(named.service, named.function))
            told[ours] = DESTINATION + (known or native(named.function))
        elif where:
            gateway.egress.check(where, f"destinationConfig.{theirs}")
            told[ours] = where
    return Destinations(**told)


def _provision(said: dict[str, Any]) -> dict[str, Any]:
    function, qualifier = split(said["function"])
    resource = f"local#{qualifier or LATEST}#{function}"
    return {**said, "functionArn": arn(said["function"]), "qualifier": qualifier or LATEST, "resource": resource}


def _concurrency(function: Function) -> dict[str, Any]:
    most = function.spec.scaling.max
    if most is None:
        raise _NoConfig(f"{function.name} has no reserved concurrency: it may have as many instances as fit")
    return {"functionArn": arn(function.name), "reservedConcurrency": most * function.spec.slots}


def _async(function: Function) -> dict[str, Any]:
    spec = function.spec
    told = {"onSuccess": spec.callbacks.on_success, "onFailure": spec.callbacks.on_failure}
    return {
        "functionArn": arn(function.name),
        "asyncTask": True,
        "maxAsyncRetryAttempts": spec.retry.attempts - 1,
        "maxAsyncEventAgeInSeconds": int(spec.queue.max_age),
        "destinationConfig": {name: {"destination": _shown(one)} for name, one in told.items() if one is not None},
        "lastModifiedTime": clock.rfc3339(function.created_at),
    }


def _shown(destination: str) -> str:
    function = named_function(destination)
    return destination if function is None else arn(function)


ROUTES = (
    *needs(
        LATE_READ,
        *(web.get(f"{base}/instances", instances) for base in FUNCTIONS),
        *(web.get(f"{base}/provision-config", get_provision) for base in FUNCTIONS),
        *(web.get(f"{base}/concurrency", get_concurrency) for base in FUNCTIONS),
        *(web.get(f"{base}/async-invoke-config", get_async) for base in FUNCTIONS),
    ),
    *needs(
        LATE_ADMIN,
        *(web.put(f"{base}/provision-config", put_provision) for base in FUNCTIONS),
        *(web.delete(f"{base}/provision-config", delete_provision) for base in FUNCTIONS),
    ),
    *needs(
        LATE_DEPLOY,
        *(web.put(f"{base}/concurrency", put_concurrency) for base in FUNCTIONS),
        *(web.delete(f"{base}/concurrency", delete_concurrency) for base in FUNCTIONS),
        *(web.put(f"{base}/async-invoke-config", put_async) for base in FUNCTIONS),
        *(web.delete(f"{base}/async-invoke-config", delete_async) for base in FUNCTIONS),
    ),
    *needs(
        LIST,
        *(
            web.get(f"/{version}/provision-configs", list_provision)
            for version in ("2023-03-30", "2016-08-15", "2021-04-06")
        ),
    ),
)
