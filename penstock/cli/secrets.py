"""`penstock secrets`: the files that functions get their secrets from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.options import DataDir
from penstock.errors import ConfigurationError
from penstock.secretfiles import SecretFiles
from penstock.settings import load

secrets = typer.Typer(help="Secrets of functions: set, list, remove.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="As the spec's `secrets` names it.")]


@secrets.command("set")
def put(name: Name, data_dir: DataDir = None) -> None:
    """Set a secret to what standard input has; asks for it on a terminal.

    Instances that start from now on get it."""
    if sys.stdin.isatty():
        value = str(typer.prompt(name, hide_input=True)).encode()
    else:
        value = sys.stdin.buffer.read().removesuffix(b"\n").removesuffix(b"\r")
    _files(data_dir).put(name, value)
    typer.echo(f"{name}: set; instances that start from now on get it")


@secrets.command("list")
def names(data_dir: DataDir = None) -> None:
    """List the names of the secrets."""
    for name in _files(data_dir).names():
        typer.echo(name)


@secrets.command("remove")
def remove(name: Name, data_dir: DataDir = None) -> None:
    """Remove a secret. Instances that run keep it."""
    files = _files(data_dir)
    if not files.remove(name):
        raise ConfigurationError(
            f"secret {name} is not in {files.folder}: `penstock secrets list` shows those that are"
        )
    typer.echo(f"{name}: removed; instances that run keep it")


def _files(data_dir: Path | None) -> SecretFiles:
    return SecretFiles(load({"data_dir": data_dir}).secrets_folder)
