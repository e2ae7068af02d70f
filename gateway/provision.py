"""Provisioned instances over HTTP: put, get, list and release provision configs."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from gateway.context import GATEWAY, Gateway, function_name
from gateway.rendering import json_response
from penstock import provisionfile, views
from penstock.errors import ConfigurationError, InvalidRequest
from penstock.function import NOTHING_WARM, Function
from penstock.provision import ProvisionConfig


async def put(request: web.Request) -> web.Response:
    """PUT /v1/functions/{function}/provision-config: in Function Compute's fields; what is unknown is told as a
    warning."""
    gateway = request.app[GATEWAY]
    function = await gateway.directory.get(function_name(request))
    if not function.spec.web_server:
        raise InvalidRequest(NOTHING_WARM)
    try:
        config, warnings = provisionfile.read_vendor(json.loads(await request.read()))
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the body must be a provision config as JSON: {error}") from None
    except ConfigurationError as error:
        raise InvalidRequest(str(error)) from None
    await gateway.store.controls.provision(function.name, config.model_dump_json(by_alias=True))
    return json_response(await _view(gateway, function, config) | ({"warnings": warnings} if warnings else {}))


async def get(request: web.Request) -> web.Response:
    """GET /v1/functions/{function}/provision-config."""
    gateway = request.app[GATEWAY]
    function = await gateway.directory.get(function_name(request))
    return json_response(await _view(gateway, function, await _config(gateway, function)))


async def delete(request: web.Request) -> web.Response:
    """DELETE /v1/functions/{function}/provision-config: what its spec says rules again."""
    gateway = request.app[GATEWAY]
    function = await gateway.directory.get(function_name(request))
    await gateway.store.controls.unprovision(function.name)
    return json_response(await _view(gateway, function, function.spec.provision or ProvisionConfig()))


async def listing(request: web.Request) -> web.Response:
    """GET /v1/provision-configs: of every function that has one."""
    gateway = request.app[GATEWAY]
    put = await gateway.store.controls.provisions()
    functions = [one for one in await gateway.store.catalog.list() if one.spec.provision or one.name in put]
    found = [await _view(gateway, one, await _config(gateway, one)) for one in functions]
    return json_response({"provisionConfigs": found})


async def _config(gateway: Gateway, function: Function) -> ProvisionConfig:
    put = (await gateway.store.controls.provisions()).get(function.name)
    if put is not None:
        return ProvisionConfig.model_validate_json(put)
    return function.spec.provision or ProvisionConfig()


async def _view(gateway: Gateway, function: Function, config: ProvisionConfig) -> dict[str, Any]:
    return views.provision(function, config, await gateway.store.pools.get(function.name))
