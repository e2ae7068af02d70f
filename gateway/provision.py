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
    try:
        document = json.loads(await request.read())
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the body must be a provision config as JSON: {error}") from None
    return json_response(await keep(gateway, function, document))


async def get(request: web.Request) -> web.Response:
    """GET /v1/functions/{function}/provision-config."""
    gateway = request.app[GATEWAY]
    function = await gateway.directory.get(function_name(request))
    return json_response(await show(gateway, function))


async def delete(request: web.Request) -> web.Response:
    """DELETE /v1/functions/{function}/provision-config: what its spec says rules again."""
    gateway = request.app[GATEWAY]
    function = await gateway.directory.get(function_name(request))
    await gateway.store.controls.unprovision(function.name)
    return json_response(await _view(gateway, function, function.spec.provision or ProvisionConfig()))


async def listing(request: web.Request) -> web.Response:
    """GET /v1/provision-configs: of every function that has one."""
    return json_response({"provisionConfigs": [said for _, said in await shown(request.app[GATEWAY])]})


async def keep(gateway: Gateway, function: Function, document: Any) -> dict[str, Any]:
    """Puts a config, and what it comes to. Raises InvalidRequest."""
    if not function.spec.web_server:
        raise InvalidRequest(NOTHING_WARM)
    try:
        config, warnings = provisionfile.read_vendor(document)
    except ConfigurationError as error:
        raise InvalidRequest(str(error)) from None
    await gateway.store.controls.provision(function.name, config.model_dump_json(by_alias=True))
    return await _view(gateway, function, config) | ({"warnings": warnings} if warnings else {})


async def show(gateway: Gateway, function: Function) -> dict[str, Any]:
    """The config that rules, and what it comes to."""
    return await _view(gateway, function, await _config(gateway, function))


async def shown(gateway: Gateway) -> list[tuple[Function, dict[str, Any]]]:
    """Every function that has one, with it."""
    put = await gateway.store.controls.provisions()
    functions = [one for one in await gateway.store.catalog.list() if one.spec.provision or one.name in put]
    return [(one, await show(gateway, one)) for one in functions]


async def _config(gateway: Gateway, function: Function) -> ProvisionConfig:
    put = (await gateway.store.controls.provisions()).get(function.name)
    if put is not None:
        return ProvisionConfig.model_validate_json(put, extra="ignore")
    return function.spec.provision or ProvisionConfig()


async def _view(gateway: Gateway, function: Function, config: ProvisionConfig) -> dict[str, Any]:
    return views.provision(function, config, await gateway.store.pools.get(function.name))
