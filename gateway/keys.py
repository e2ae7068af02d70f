"""API keys over HTTP: create, list, revoke. A key is shown once, when it is made."""

from __future__ import annotations

import json
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.access import ANYBODY, Caller
from gateway.auth import CALLER
from gateway.context import GATEWAY
from gateway.rendering import json_response
from penstock import apikey, clock, views
from penstock.apikey import TENANT, ApiKey, Scope
from penstock.errors import Forbidden, InvalidRequest, KeyNotFound
from penstock.limits import Limits
from penstock.specfile import explain
from penstock.units import Duration


class Wanted(BaseModel):
    """A key that is to be made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=100)]
    tenant: Annotated[str, Field(pattern=f"^({TENANT.pattern})?$")] | None = None
    """None: that of the caller."""
    scopes: tuple[Scope, ...] = apikey.CALLER
    expires: Annotated[Duration, Field(gt=0, le=apikey.LONGEST)] | None = None
    """From now; None: never."""
    limits: Limits = Limits()


async def create(request: web.Request) -> web.Response:
    """POST /v1/keys with {"name", "tenant", "scopes", "expires", "limits"}: 201 and the key, which nobody can show
    again."""
    caller, wanted = request[CALLER], _wanted(await request.read())
    tenant = caller.tenant if wanted.tenant is None else wanted.tenant
    if tenant != caller.tenant and not caller.operates:
        raise Forbidden("keys of another tenant are for the operator's keys to make")
    for scope in wanted.scopes:
        if not apikey.covers(caller.scopes, scope):
            raise Forbidden(f"a key can give what it may do itself, and this one lacks the scope {scope}")
    text, key = apikey.make(
        wanted.name,
        now_ms=clock.now_ms(),
        tenant=tenant,
        scopes=wanted.scopes,
        lifetime=wanted.expires,
        limits=wanted.limits,
    )
    keyring = request.app[GATEWAY].keyring
    await request.app[GATEWAY].store.access.put(key)
    await keyring.renew()  # here it is good at once
    return json_response({**views.api_key(key, None), "key": text}, status=201)


async def listing(request: web.Request) -> web.Response:
    """GET /v1/keys: all of the caller's tenant, of every tenant for the operator."""
    caller, access = request[CALLER], request.app[GATEWAY].store.access
    used = await access.last_used()
    found = [key for key in await access.list() if _manages(caller, key)]
    return json_response({"keys": [views.api_key(key, used.get(key.id)) for key in found]})


async def revoke(request: web.Request) -> web.Response:
    """DELETE /v1/keys/{id}: it is refused everywhere within a second."""
    gateway, key_id = request.app[GATEWAY], request.match_info["key"]
    key = await gateway.store.access.get(key_id)
    if key is None or not _manages(request[CALLER], key):
        raise KeyNotFound(key_id)
    revoked = await gateway.store.access.revoke(key_id)
    assert revoked is not None, "keys stay"
    await gateway.keyring.renew()
    return json_response(views.api_key(revoked, (await gateway.store.access.last_used()).get(key_id)))


def _manages(caller: Caller, key: ApiKey) -> bool:
    return caller is ANYBODY or caller.operates or caller.tenant == key.tenant


def _wanted(body: bytes) -> Wanted:
    try:
        given: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(
            f'the body must be JSON, as {{"name": "ci", "scopes": ["invoke:*"]}}: {error}'
        ) from None
    try:
        return Wanted.model_validate(given)
    except ValidationError as error:
        place, message = explain(error, Wanted)
        raise InvalidRequest(f"{'.'.join(place) or 'body'}: {message}") from None
