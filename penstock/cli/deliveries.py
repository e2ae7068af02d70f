"""`penstock deliveries`: the ledger of a function's callbacks, and telling again what failed."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from penstock.cli.options import DEFAULT_URL, Url
from penstock.cli.tables import table
from penstock.client import AsyncClient
from penstock.errors import ConfigurationError


def deliveries(
    function: Annotated[str, typer.Argument(help="Name of the function.")],
    state: Annotated[str | None, typer.Option(help="Only pending, delivered, dead or disabled ones.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="Only those to this URL.")] = None,
    limit: Annotated[int, typer.Option(help="How many, newest first (1 to 100).")] = 20,
    redeliver: Annotated[str | None, typer.Option(metavar="ID", help="Tell this one again.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Tell all again that failed since this time, as 2026-01-31T12:00:00Z.")
    ] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """List the callbacks of a function, or deliver them again."""
    path = f"/v1/functions/{function}/deliveries"
    if redeliver is not None and since is not None:
        raise ConfigurationError("give --redeliver ID for one, or --since TIME for all that failed, not both")
    if redeliver is not None:
        again = asyncio.run(_post(url, f"{path}/{redeliver}/redeliver"))
        typer.echo(f"{again['id']} is told again")
        return
    if since is not None:
        done = asyncio.run(_post(url, f"{path}/redeliver", {"since": since}))
        typer.echo(f"{done['redelivered']} are told again; {done['expired']} are past their retention")
        return
    query = {"limit": limit} | {name: value for name, value in (("state", state), ("endpoint", endpoint)) if value}
    found = asyncio.run(_get(url, path, query))["deliveries"]
    rows = [
        (one["id"], one["event"], one["state"], str(one["attempts_made"]), one["created_at"][:19], _why(one))
        for one in found
    ]
    table(("DELIVERY", "EVENT", "STATE", "ATTEMPTS", "SINCE", "ENDPOINT, LAST ERROR"), rows, "no callbacks")


def _why(one: dict[str, Any]) -> str:
    error = one["attempts"][-1]["error"] if one["attempts"] else None
    return error or str(one["endpoint"])


async def _get(url: str, path: str, query: dict[str, Any]) -> dict[str, Any]:
    async with AsyncClient(url) as client:
        return await client.get(path, **query)


async def _post(url: str, path: str, body: Any = None) -> dict[str, Any]:
    async with AsyncClient(url) as client:
        return await client.change("POST", path, body)
