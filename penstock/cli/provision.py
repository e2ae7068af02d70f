"""`penstock provision`: instances that stay warm whatever the demand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from penstock.cli import syaml
from penstock.cli.options import DEFAULT_URL, Url
from penstock.cli.tables import table
from penstock.client import AsyncClient
from penstock.errors import ConfigurationError
from penstock.fc import block
from penstock.fc.project import Project

_LATEST = "LATEST"

Function = Annotated[str | None, typer.Argument(help="Name of the function; of an s.yaml, all if none is named.")]
Qualifier = Annotated[str, typer.Option(help="Version or alias; there is LATEST alone.")]

provision = typer.Typer(help="Keep instances warm: by number, by schedule, by a metric.", no_args_is_help=True)


@provision.command()
def put(
    function: Function = None,
    target: Annotated[int | None, typer.Option(help="Instances that stay warm.")] = None,
    config: Annotated[Path | None, typer.Option("--config", help="A provision config as JSON.")] = None,
    template: syaml.Template = None,
    qualifier: Qualifier = _LATEST,
    url: Url = DEFAULT_URL,
    access: syaml.Access = None,
    yes: syaml.Yes = False,
) -> None:
    """Say what a function's provisioned instances are."""
    names = _names(function, template, qualifier)
    for name, said in asyncio.run(_change("PUT", names, url, _document(config, target))).items():
        for warning in said.get("warnings", ()):
            typer.echo(f"warning: {warning}", err=True)
        typer.echo(
            f"{name}: default target {said['defaultTarget']}; `penstock provision list` shows what comes of it"
        )


@provision.command("list")
def listing(
    template: syaml.Template = None,
    format: Annotated[
        Literal["table", "fc"] | None, typer.Option(help="fc: as s prints it.  [default: fc with -t, else table]")
    ] = None,
    url: Url = DEFAULT_URL,
    access: syaml.Access = None,
) -> None:
    """Show what is provisioned, and why there is less."""
    # Whoever names an access types what they type to s, which finds its s.yaml by itself.
    if template is None and (format == "fc" or (access is not None and format is None)):
        template = syaml.find()
        if template is None and format == "fc":
            raise ConfigurationError("--format fc prints by service: give -t, the s.yaml that names them")
    project = syaml.read(template) if template is not None and format != "table" else None
    found = asyncio.run(_list(url))
    if project is None:
        _show_table(found)
    else:
        _show_blocks(project, {one["function"]: one for one in found})


@provision.command()
def release(
    function: Function = None,
    template: syaml.Template = None,
    qualifier: Qualifier = _LATEST,
    url: Url = DEFAULT_URL,
    access: syaml.Access = None,
    yes: syaml.Yes = False,
) -> None:
    """Forget a function's own config: what its spec says rules again."""
    for name, said in asyncio.run(_change("DELETE", _names(function, template, qualifier), url)).items():
        typer.echo(f"{name}: default target {said['defaultTarget']}, of its spec")


def _names(function: str | None, template: Path | None, qualifier: str) -> list[str]:
    """The functions that are meant."""
    if qualifier != _LATEST:
        raise ConfigurationError(f"--qualifier {qualifier}: there are no versions and aliases yet, only {_LATEST}")
    if function is not None and template is None:
        return [function]
    template = template or syaml.find()
    if template is None:
        raise ConfigurationError("name a function, or give -t, the s.yaml that has it")
    return [one.name for one in syaml.chosen(syaml.read(template), function)]


def _document(config: Path | None, target: int | None) -> Any:
    if config is None:
        if target is None:
            raise ConfigurationError("give --target N, or --config FILE with schedules and policies")
        return {"target": target}
    document = _read(config)
    if target is None or not isinstance(document, dict):
        return document
    return {name: value for name, value in document.items() if name != "defaultTarget"} | {"target": target}


def _show_table(found: list[dict[str, Any]]) -> None:
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


def _show_blocks(project: Project, found: Mapping[str, dict[str, Any]]) -> None:
    blocks: dict[str, list[dict[str, Any]]] = {}
    for one in project.functions:
        view = found.get(one.name)
        shown = (
            block.entry(service=one.service, function=one.function, region=one.region, view=view) if view else None
        )
        now = datetime.now().strftime("%Y-%m-%d %H:%M:%S")
        typer.echo(f"[{now}] [INFO] [FC] - Getting list provision: {one.service or one.function}")
        if view is not None and shown is not None:
            blocks.setdefault(one.block, []).append(shown)
            for name in view["expired"]:
                typer.echo(f"{one.name}: {name} has expired and does not act", err=True)
    typer.echo(block.render(blocks) if blocks else "End of method: provision\n", nl=False)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"{path}: not JSON: {error}") from None


async def _change(method: str, functions: list[str], url: str, body: Any = None) -> dict[str, dict[str, Any]]:
    """What the gateway says of each."""
    async with AsyncClient(url) as client:
        return {
            name: await client.change(method, f"/v1/functions/{name}/provision-config", body) for name in functions
        }


async def _list(url: str) -> list[dict[str, Any]]:
    async with AsyncClient(url) as client:
        found: list[dict[str, Any]] = (await client.get("/v1/provision-configs"))["provisionConfigs"]
        return found
