"""Every command, by name. What it does stands in the module that it is taken from."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

import typer

_COMMANDS: Mapping[str, str] = {
    "init": "init",
    "run": "run",
    "build": "build",
    "up": "up",
    "deploy": "deploy",
    "convert": "convert",
    "invoke": "invoke",
    "batch": "batch",
    "functions": "inspect",
    "jobs": "inspect",
    "instances": "inspect",
    "triggers": "inspect",
    "logs": "logs",
    "metrics": "metrics",
    "deliveries": "deliveries",
    "gpus": "controls",
    "pause": "controls",
    "resume": "controls",
    "warmup": "controls",
    "provision": "provision",
    "versions": "versions",
    "aliases": "versions",
    "cost": "cost",
    "simulate": "simulate",
    "listen": "listen",
    "keys": "keys",
    "doctor": "doctor",
    "secrets": "secrets",
    "settings": "settings",
    "gateway": "serve",
    "workers": "serve",
}
"""Command -> its module, where it goes by the same name."""


def make_app(asked: str | None) -> typer.Typer:
    """The command line with the command that is asked for, or with all of them if it is none: to import them all
    takes longer than most of them do."""
    app = typer.Typer(
        name="penstock",
        help="Serverless GPU inference on your own machines.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_penstock)
    for name, module in _COMMANDS.items():
        if asked not in _COMMANDS or asked == name:
            command = getattr(import_module(f"penstock.cli.{module}"), name)
            if isinstance(command, typer.Typer):
                app.add_typer(command, name=name)
            else:
                app.command(name)(command)
    return app


def _penstock() -> None:
    """Serverless GPU inference on your own machines."""
