"""`penstock provision`: instances that stay warm whatever the demand."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from penstock.cli.options import DEFAULT_URL, Url
from penstock.cli.tables import table
from penstock.client import AsyncClient
from penstock.errors import ConfigurationError

Function = Annotated[str, typer.Argument(help="Name of the function.")]

provision = typer.Typer(help="Keep instances warm: by number, by schedule, by a metric.", no_args_is_help=True)


@provision.command()
def put(
    function: Function,
    target: Annotated[int | None, typer.Option(help="Instances that stay warm.")] = None,
    config: Annotated[Path | None, typer.Option("--config", help="A provision config as JSON.")] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Say what a function's provisioned instances are."""
    if (target is None) == (config is None):
        raise ConfigurationError("give --target N, or --config FILE with schedules and policies")
    document = {"target": target} if config is None else _read(config)
    said = asyncio.run(_change("PUT", function, url, document))
    for warning in said.get("warnings", ()):
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(
        f"{function}: default target {said['defaultTarget']}; `penstock provision list` shows what comes of it"
    )


@provision.command("list")
def listing(url: Url = DEFAULT_URL) -> None:
    """Show what is provisioned, and why there is less."""
    found = asyncio.run(_list(url))
    rows = [
        (
            one["function"],
            str(one["target"]),
            str(one["current"]),
            ", ".join(one["active"]) or "-",
            ", ".join(one["expired"]) or "-",
            one["currentError"] or one["reason"] or "",
        )
        for one in found
    ]
    table(("FUNCTION", "TARGET", "CURRENT", "ACTIVE", "EXPIRED", "WHY"), rows, "nothing is provisioned")


@provision.command()
def release(function: Function, url: Url = DEFAULT_URL) -> None:
    """Forget a function's own config: what its spec says rules again."""
    said = asyncio.run(_change("DELETE", function, url))
    typer.echo(f"{function}: default target {said['defaultTarget']}, of its spec")


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"{path}: not JSON: {error}") from None


async def _change(method: str, function: str, url: str, body: Any = None) -> dict[str, Any]:
    async with AsyncClient(url) as client:
        return await client.change(method, f"/v1/functions/{function}/provision-config", body)


async def _list(url: str) -> list[dict[str, Any]]:
    async with AsyncClient(url) as client:
        found: list[dict[str, Any]] = (await client.get("/v1/provision-configs"))["provisionConfigs"]
        return found
