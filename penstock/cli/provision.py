"""`penstock provision`: instances that stay warm whatever the demand."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from penstock.cli import syaml
from penstock.cli.options import DEFAULT_URL, Url
from penstock.cli.tables import table
from penstock.client import AsyncClient
from penstock.client.transport import path
from penstock.errors import ConfigurationError
from penstock.fc import block
from penstock.fc.project import Project
from penstock.versions import LATEST, named, split

Function = Annotated[str | None, typer.Argument(help="Name of the function; of an s.yaml, all if none is named.")]
Qualifier = Annotated[str, typer.Option(help="Number of a published version, or an alias.")]

provision = typer.Typer(help="Keep instances warm: by number, by schedule, by a metric.", no_args_is_help=True)


@provision.command()
def put(
    function: Function = None,
    target: Annotated[int | None, typer.Option(help="Instances that stay warm.")] = None,
    config: Annotated[Path | None, typer.Option("--config", help="A provision config as JSON.")] = None,
    template: syaml.Template = None,
    qualifier: Qualifier = LATEST,
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
        _show_blocks(project, found)


@provision.command()
def release(
    function: Function = None,
    template: syaml.Template = None,
    qualifier: Qualifier = LATEST,
    url: Url = DEFAULT_URL,
    access: syaml.Access = None,
    yes: syaml.Yes = False,
) -> None:
    """Forget a function's own config: what its spec says rules again."""
    for name, said in asyncio.run(_change("DELETE", _names(function, template, qualifier), url)).items():
        typer.echo(f"{name}: default target {said['defaultTarget']}, of its spec")


def _names(function: str | None, template: Path | None, qualifier: str) -> list[str]:
    """The functions that are meant."""
    if function is not None and template is None:
        return [named(function, qualifier)]
    template = template or syaml.find()
    if template is None:
        raise ConfigurationError("name a function, or give -t, the s.yaml that has it")
    return [named(one.name, qualifier) for one in syaml.chosen(syaml.read(template), function)]


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


def _show_blocks(project: Project, found: list[dict[str, Any]]) -> None:
    blocks: dict[str, list[dict[str, Any]]] = {}
    for one in project.functions:
        now = datetime.now().strftime("%Y-%m-%d %H:%M:%S")
        typer.echo(f"[{now}] [INFO] [FC] - Getting list provision: {one.service or one.function}")
        for view in found:
            name, qualifier = split(view["function"])
            if name != one.name:
                continue
            shown = block.entry(
                service=one.service,
                function=one.function,
                qualifier=qualifier or LATEST,
                region=one.region,
                view=view,
            )
            if shown is not None:
                blocks.setdefault(one.block, []).append(shown)
                for rule in view["expired"]:
                    typer.echo(f"{view['function']}: {rule} has expired and does not act", err=True)
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
        return {name: await client.change(method, path(name, "provision-config"), body) for name in functions}


async def _list(url: str) -> list[dict[str, Any]]:
    async with AsyncClient(url) as client:
        found: list[dict[str, Any]] = (await client.get("/v1/provision-configs"))["provisionConfigs"]
        return found
