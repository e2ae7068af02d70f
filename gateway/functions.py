"""Managing functions over HTTP: put, get, delete, list, and a look at their instances."""

from __future__ import annotations

import json

from aiohttp import web
from pydantic import ValidationError

from gateway import names
from gateway.auth import CALLER, visible
from gateway.context import GATEWAY, Gateway, function_name
from gateway.rendering import json_response
from gateway.results import flag
from penstock import views
from penstock.errors import Forbidden, FunctionNotFound, InvalidRequest
from penstock.function import NAME, FunctionSpec
from penstock.specfile import explain
from penstock.triggers import ObjectsTrigger, TopicTrigger

FROM_FILES_ONLY = ("path", "command", "volumes", "secrets")


async def put(request: web.Request) -> web.Response:
    """PUT /v1/functions/{function}: 201 for a new function, 200 for a changed or equal one."""
    gateway, name = request.app[GATEWAY], function_name(request)
    if "@" in name:
        raise InvalidRequest(f"{name} cannot be put: a version does not change; POST …/versions publishes one")
    if not NAME.fullmatch(name):
        raise InvalidRequest(f"{name!r} is no name: lower-case letters, digits, - and _, at most 63")
    spec = _spec(await request.read())
    for url in spec.callbacks.urls:
        gateway.egress.check(url, "callbacks")
    if request[CALLER].tenant and any(isinstance(one, TopicTrigger) for one in spec.triggers):
        raise Forbidden("topics are shared by all tenants: triggers of type topic are for the operator's keys")
    known = await gateway.store.catalog.get(name) is not None
    function = await gateway.store.catalog.deploy(name, spec, tenant=request[CALLER].deploys_for)
    gateway.directory.forget(name)
    pool = await gateway.store.pools.get(name)
    return json_response(views.function(function, pool), status=200 if known else 201)


async def get(request: web.Request) -> web.Response:
    """GET /v1/functions/{function}: the spec with its defaults filled in, and how its pool stands."""
    gateway = request.app[GATEWAY]
    function = await names.asked(request)
    return json_response(views.function(function, await gateway.store.pools.get(function.name)))


async def listing(request: web.Request) -> web.Response:
    """GET /v1/functions[?versions=true]: with published versions if those are asked for."""
    gateway = request.app[GATEWAY]
    sees, published = await visible(request), flag(request, "versions", default=False)
    functions = [one for one in await gateway.store.catalog.list(versions=published) if sees(one.name)]
    body = [views.function(one, await gateway.store.pools.get(one.name)) for one in functions]
    return json_response({"functions": body})


async def delete(request: web.Request) -> web.Response:
    """DELETE /v1/functions/{function}: what waits for it is cancelled, what runs is finished. Its versions and
    aliases go with it."""
    function = await names.asked(request)
    if function.version is not None:
        raise InvalidRequest(f"{function.name} is a version: DELETE …/versions/{function.version} removes it")
    cancelled = await remove(request.app[GATEWAY], function.name)
    return json_response({"deleted": function.name, "cancelled": cancelled})


async def remove(gateway: Gateway, name: str) -> int:
    """Deletes a function with its versions; how many that waited for it were cancelled. Raises
    FunctionNotFound."""
    store = gateway.store
    # Once more in the end: somebody may have published one meanwhile.
    gone = [name, *await store.versions.forget(name)]
    if not await store.catalog.delete(name):
        raise FunctionNotFound(name)
    gone += await store.versions.forget(name)
    for one in gone:
        await store.controls.forget(one)
    await store.triggers.forget(name)
    await store.aliases.forget(name)
    gateway.directory.forget(name)
    return sum([await store.queue.cancel_waiting(one) for one in gone])


async def instances(request: web.Request) -> web.Response:
    """GET /v1/functions/{function}/instances."""
    gateway = request.app[GATEWAY]
    function = await names.asked(request)
    return json_response(views.instances(await gateway.store.pools.get(function.name)))


def _spec(body: bytes) -> FunctionSpec:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the body must be a spec as JSON: {error}") from None
    for field in FROM_FILES_ONLY:
        if isinstance(fields, dict) and fields.get(field) not in (None, []):
            raise Forbidden(f"{field} names things of the host: it comes from spec files only (penstock deploy)")
    try:
        spec = FunctionSpec.model_validate(fields)
    except ValidationError as error:
        place, message = explain(error)
        raise InvalidRequest(f"{'.'.join(place) or 'spec'}: {message}") from None
    if any(isinstance(one, ObjectsTrigger) for one in spec.triggers):
        # A folder of the workers' machine, or a bucket that is read with the workers' credentials.
        raise Forbidden("triggers of type objects come from spec files only (penstock deploy)")
    return spec
