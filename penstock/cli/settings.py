"""`penstock settings`: every setting, its value, and where that comes from."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from penstock.cli import options
from penstock.cli.options import Set
from penstock.cli.tables import table
from penstock.settings import Settings, load, origin, shown
from penstock.settingslist import Entry, entries, markdown, written


def settings(
    set_: Set = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print what each one is for, as Markdown.")
    ] = False,
) -> None:
    """Show every setting, its value, and where that comes from. Secrets are masked."""
    if as_markdown:
        typer.echo(markdown(), nl=False)
        return
    flags = options.flags(set_, {})
    now = load(flags)
    found = [(one.key, _value(now, one), origin(one.key, flags)) for one in entries()]
    if as_json:
        keyed = [{"setting": key, "value": value, "from": source} for key, value, source in found]
        typer.echo(json.dumps({"settings": keyed}, indent=2))
        return
    table(("SETTING", "VALUE", "FROM"), found, "")
    typer.echo("\nWhat each is for: penstock settings --markdown")


def _value(now: Settings, one: Entry) -> str:
    holder: Any = getattr(now, one.group) if one.group else now
    value = getattr(holder, one.key.rpartition(".")[2])
    return written(shown(one.key, value), one.annotation)
