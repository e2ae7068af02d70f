"""`penstock keys`: makes, lists and revokes API keys.

Straight in Redis, so that there can be keys before a gateway may listen where others reach it; with PENSTOCK_KEY
set, through the gateway.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from penstock import apikey, clock, views
from penstock.cli import embedded
from penstock.cli.options import DEFAULT_URL, DataDir, RedisUrl, Url
from penstock.cli.tables import table
from penstock.client import AsyncClient, Unreachable
from penstock.errors import ConfigurationError, KeyNotFound
from penstock.limits import Limits
from penstock.settings import load
from penstock.specfile import explain
from penstock.store import Store
from penstock.units import parse_duration

keys = typer.Typer(help="API keys: who may call which function.", no_args_is_help=True)


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for, as people will see it in the list.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="VERB:FUNCTION, several times if need be; VERB is invoke, read, cancel, deploy, admin or *.  "
            "[default: invoke:* read:* cancel:*]"
        ),
    ] = None,
    admin: Annotated[bool, typer.Option("--admin", help="It may do everything: --scope '*:*'.")] = False,
    tenant: Annotated[str, typer.Option(help="Whose functions it is for.  [default: the operator's]")] = "",
    expires: Annotated[str | None, typer.Option(help="After so long, as 90d.  [default: never]")] = None,
    rate: Annotated[str | None, typer.Option(help="Calls per time at most, as 100/s.")] = None,
    burst: Annotated[int | None, typer.Option(help="Calls at once at most, after a pause.")] = None,
    in_flight: Annotated[int | None, typer.Option(help="Calls at most that have not ended.")] = None,
    url: Url = DEFAULT_URL,
    redis_url: RedisUrl = None,
    data_dir: DataDir = None,
) -> None:
    """Make a key and print it: it is shown this once."""
    if admin and scope:
        raise ConfigurationError("give --admin or --scope, not both: --admin is --scope '*:*'")
    scopes = list(apikey.ALL if admin else scope or apikey.CALLER)
    limits = {"rate": rate, "burst": burst, "in_flight": in_flight}
    wanted = {"name": name, "tenant": tenant, "scopes": scopes, "limits": limits, "expires": expires}
    made = asyncio.run(_create(wanted, url, redis_url, data_dir))
    typer.echo(made["key"])
    until = f"until {made['expires_at']}" if made["expires_at"] else "until it is revoked"
    typer.echo(
        f"key {made['id']} ({name}) may {' '.join(made['scopes'])} {until}; keep it, it is not shown again. "
        f"Clients send it as `Authorization: Bearer KEY`; `penstock` itself reads PENSTOCK_KEY.",
        err=True,
    )


@keys.command("list")
def listing(url: Url = DEFAULT_URL, redis_url: RedisUrl = None, data_dir: DataDir = None) -> None:
    """List the keys, without what makes them keys."""
    now = clock.rfc3339(clock.now_ms()) or ""
    rows = [
        (
            one["id"],
            one["name"],
            one["tenant"] or "-",
            one["created_at"],
            one["expires_at"] or "never",
            one["last_used_at"] or "never",
            "revoked" if one["revoked_at"] else "expired" if (one["expires_at"] or "~") <= now else "good",
            " ".join(one["scopes"]),
        )
        for one in asyncio.run(_list(url, redis_url, data_dir))
    ]
    head = ("ID", "NAME", "TENANT", "CREATED", "EXPIRES", "LAST USED", "STATE", "SCOPES")
    table(head, rows, "no keys: `penstock keys create NAME` makes one")


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="Of the key, as `penstock keys list` shows it.")],
    url: Url = DEFAULT_URL,
    redis_url: RedisUrl = None,
    data_dir: DataDir = None,
) -> None:
    """Revoke a key: every gateway refuses it within a second."""
    asyncio.run(_revoke(key_id, url, redis_url, data_dir))
    typer.echo(f"key {key_id} is revoked")


async def _create(wanted: dict[str, Any], url: str, redis_url: str | None, data_dir: Path | None) -> Any:
    async with _door(url, redis_url, data_dir) as door:
        if isinstance(door, AsyncClient):
            return await door.change("POST", "/v1/keys", wanted)
        try:
            text, key = apikey.make(
                wanted["name"],
                now_ms=clock.now_ms(),
                tenant=wanted["tenant"],
                scopes=tuple(wanted["scopes"]),
                lifetime=None if wanted["expires"] is None else parse_duration(wanted["expires"]),
                limits=Limits.model_validate(wanted["limits"]),
            )
        except ValidationError as error:
            place, message = explain(error, apikey.ApiKey)
            raise ConfigurationError(f"{'.'.join(place)}: {message}") from None
        except ValueError as error:
            raise ConfigurationError(f"--expires: {error}") from None
        await door.access.put(key)
        return {**views.api_key(key, None), "key": text}


async def _list(url: str, redis_url: str | None, data_dir: Path | None) -> Any:
    async with _door(url, redis_url, data_dir) as door:
        if isinstance(door, AsyncClient):
            return (await door.get("/v1/keys"))["keys"]
        used = await door.access.last_used()
        return [views.api_key(key, used.get(key.id)) for key in await door.access.list()]


async def _revoke(key_id: str, url: str, redis_url: str | None, data_dir: Path | None) -> None:
    async with _door(url, redis_url, data_dir) as door:
        if isinstance(door, AsyncClient):
            await door.change("DELETE", f"/v1/keys/{key_id}")
        elif await door.access.revoke(key_id) is None:
            raise KeyNotFound(key_id)


@asynccontextmanager
async def _door(url: str, redis_url: str | None, data_dir: Path | None) -> AsyncIterator[AsyncClient | Store]:
    """The gateway if there is a key for it and one answers, else the store."""
    async with AsyncExitStack() as exits:
        if os.environ.get("PENSTOCK_KEY") and redis_url is None and data_dir is None:
            client = await exits.enter_async_context(AsyncClient(url, retries=0))
            try:
                await client.get("/healthz")
            except Unreachable:
                pass
            else:
                yield client
                return
        settings = load({"redis.url": redis_url, "data_dir": data_dir})
        if "url" in settings.redis.model_fields_set:
            redis = settings.redis.url
        else:
            redis = await exits.enter_async_context(embedded.running(settings.folder))
        store = Store(redis)
        exits.push_async_callback(store.close)
        yield store
