"""Provisioned instances over HTTP: put, get, list and release provision configs."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from aiohttp import web

from gateway import names
from gateway.auth import visible
from gateway.context import GATEWAY, Gateway, function_name
from gateway.names import Holder
from gateway.rendering import json_response
from penstock import provisionfile, views
from penstock.errors import (
    AliasNotFound,
    ConfigurationError,
    FunctionNotFound,
    InvalidRequest,
    VersionNotFound,
)
from penstock.function import NOTHING_WARM
from penstock.provision import ProvisionConfig
from penstock.versions import split


async def put(request: web.Request) -> web.Response:
    """PUT /v1/functions/{function}/provision-config: in Function Compute's fields; what is unknown is told as a
    warning. Of an alias it keeps instances of the versions that it stands for, each by its share."""
    gateway = request.app[GATEWAY]
    holder = await names.holder(request, function_name(request))
    try:
        document = json.loads(await request.read())
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the body must be a provision config as JSON: {error}") from None
    return json_response(await keep(gateway, holder, document))


async def get(request: web.Request) -> web.Response:
    """GET /v1/functions/{function}/provision-config."""
    gateway = request.app[GATEWAY]
    return json_response(await show(gateway, await names.holder(request, function_name(request))))


async def delete(request: web.Request) -> web.Response:
    """DELETE /v1/functions/{function}/provision-config: what its spec says rules again."""
    gateway = request.app[GATEWAY]
    holder = await names.holder(request, function_name(request))
    await gateway.store.controls.unprovision(holder.name)
    return json_response(await show(gateway, holder))


async def listing(request: web.Request) -> web.Response:
    """GET /v1/provision-configs: of every function, version and alias that has one."""
    return json_response({"provisionConfigs": [said for _, said in await shown(request)]})


async def keep(gateway: Gateway, holder: Holder, document: Any) -> dict[str, Any]:
    """Puts a config, and what it comes to. Raises InvalidRequest."""
    if not holder.functions[0].spec.web_server:
        raise InvalidRequest(NOTHING_WARM)
    try:
        config, warnings = provisionfile.read_vendor(document)
    except ConfigurationError as error:
        raise InvalidRequest(str(error)) from None
    await gateway.store.controls.provision(holder.name, config.model_dump_json(by_alias=True))
    return await _view(gateway, holder, config) | ({"warnings": warnings} if warnings else {})


async def show(gateway: Gateway, holder: Holder) -> dict[str, Any]:
    """The config that rules, and what it comes to."""
    put = (await gateway.store.controls.provisions()).get(holder.name)
    if put is not None:
        return await _view(gateway, holder, ProvisionConfig.model_validate_json(put, extra="ignore"))
    own = holder.functions[0].spec.provision if len(holder.functions) == 1 else None
    return await _view(gateway, holder, own or ProvisionConfig())


async def shown(request: web.Request) -> list[tuple[Holder, dict[str, Any]]]:
    """Everything that has one and that the caller is shown, with it."""
    gateway, sees = request.app[GATEWAY], await visible(request)
    put = await gateway.store.controls.provisions()
    own = [one.name for one in await gateway.store.catalog.list() if one.spec.provision]
    holders = []
    for name in filter(sees, sorted({*put, *own})):
        with contextlib.suppress(FunctionNotFound, VersionNotFound, AliasNotFound):  # it is just being deleted
            holders.append(await names.holding(gateway, *split(name)))
    return [(one, await show(gateway, one)) for one in holders]


async def _view(gateway: Gateway, holder: Holder, config: ProvisionConfig) -> dict[str, Any]:
    pools = await asyncio.gather(*(gateway.store.pools.get(one.name) for one in holder.functions))
    return views.provision(holder.name, config, pools)
