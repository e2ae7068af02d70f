"""`penstock versions` and `penstock aliases`: what was published of a function, and the names that stand for
it."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

import typer

from penstock.cli.options import DEFAULT_URL, Url
from penstock.cli.tables import table
from penstock.client import AsyncClient
from penstock.client.transport import path
from penstock.errors import ConfigurationError

_LOOK = 0.2
"""Seconds between two looks whether a version is prepared."""
_NOT_YET = "it is not prepared yet"

Function = Annotated[str, typer.Argument(help="Name of the function.")]
Alias = Annotated[str, typer.Argument(help="Name of the alias.")]
Description = Annotated[str | None, typer.Option(help="A line that says what it is.")]

versions = typer.Typer(
    help="Publish what is deployed under a number, at which it never changes.", no_args_is_help=True
)
aliases = typer.Typer(
    help="Name versions, and share out calls between them: call FUNCTION@ALIAS.", no_args_is_help=True
)


@versions.command()
def publish(
    function: Function,
    description: Description = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait until it can be invoked.")] = 300.0,
    url: Url = DEFAULT_URL,
) -> None:
    """Publish what is deployed as the next version, and wait until it can be invoked."""
    if not asyncio.run(_publish(function, description, wait, url)):
        raise typer.Exit(1)


@versions.command("list")
def list_versions(function: Function, url: Url = DEFAULT_URL) -> None:
    """List a function's versions, the latest first."""
    rows = [
        (
            one["version"],
            str(one["revision"]),
            one["created_at"],
            ", ".join(one["aliases"]) or "-",
            one["problem"] or one["description"],
        )
        for one in _send("GET", path(function, "versions"), url)["versions"]
    ]
    table(("VERSION", "OF REVISION", "PUBLISHED", "ALIASES", "DESCRIPTION"), rows, "nothing was published")


@versions.command("delete")
def delete_version(
    function: Function,
    version: Annotated[int, typer.Argument(help="Its number.", min=1)],
    url: Url = DEFAULT_URL,
) -> None:
    """Delete a version that no alias points to and that has no work."""
    _send("DELETE", path(function, "versions", str(version)), url)
    typer.echo(f"{function}@{version} is deleted")


@aliases.command("set")
def set_alias(
    function: Function,
    alias: Alias,
    version: Annotated[str, typer.Argument(help="Number of the version that it stands for, or LATEST.")],
    weight: Annotated[
        list[str] | None, typer.Option(help="VERSION=SHARE of the calls, such as 4=0.1; may be given again.")
    ] = None,
    description: Description = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Point an alias to a version; a weight gives another version a share of its calls."""
    body: dict[str, Any] = {"version": version, "weights": dict(map(_weight, weight or ()))}
    if description is not None:
        body["description"] = description
    shown = _send("PUT", path(function, "aliases", alias), url, body)
    typer.echo(f"{function}@{alias}: {_shares(shown)}")


@aliases.command("list")
def list_aliases(function: Function, url: Url = DEFAULT_URL) -> None:
    """List a function's aliases."""
    rows = [
        (one["alias"], _shares(one), one["updated_at"], one["description"])
        for one in _send("GET", path(function, "aliases"), url)["aliases"]
    ]
    table(("ALIAS", "VERSIONS", "CHANGED", "DESCRIPTION"), rows, "no aliases")


@aliases.command("delete")
def delete_alias(function: Function, alias: Alias, url: Url = DEFAULT_URL) -> None:
    """Delete an alias; its versions stay."""
    _send("DELETE", path(function, "aliases", alias), url)
    typer.echo(f"{function}@{alias} is deleted")


async def _publish(function: str, description: str | None, wait: float, url: str) -> bool:
    """False if it cannot be prepared."""
    async with AsyncClient(url) as client:
        body = None if description is None else {"description": description}
        version = (await client.change("POST", path(function, "versions"), body))["version"]
        until = time.monotonic() + wait
        while (shown := await client.get(path(function, "versions", version)))["problem"] is not None:
            if shown["problem"] != _NOT_YET or time.monotonic() > until:
                typer.secho(f"{function}@{version}: {shown['problem']}", fg="red", err=True)
                return False
            await asyncio.sleep(_LOOK)
    typer.echo(f"{function}@{version}: ready to be invoked")
    return True


def _weight(text: str) -> tuple[str, float]:
    version, _, share = text.partition("=")
    try:
        return version, float(share)
    except ValueError:
        raise ConfigurationError(f"--weight {text}: write VERSION=SHARE, such as 4=0.1") from None


def _shares(alias: dict[str, Any]) -> str:
    return ", ".join(f"{share:.4g} to {version}" for version, share in alias["shares"].items())


def _send(method: str, where: str, url: str, body: Any = None) -> dict[str, Any]:
    async def send() -> dict[str, Any]:
        async with AsyncClient(url) as client:
            return await client.change(method, where, body)

    return asyncio.run(send())
