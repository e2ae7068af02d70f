"""Options that several commands share."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from penstock.errors import ConfigurationError

Url = Annotated[
    str, typer.Option("--url", envvar="PENSTOCK_URL", help="Address of the gateway.", show_default=True)
]
DEFAULT_URL = "http://127.0.0.1:8080"

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Folder for all that is kept.  [default: ~/.local/share/penstock]"),
]
RedisUrl = Annotated[
    str | None, typer.Option("--redis-url", help="A Redis of your own instead of the embedded one.")
]
Engine = Annotated[str | None, typer.Option("--engine", help="process or docker.  [default: process]")]
Host = Annotated[str | None, typer.Option("--host", help="Address to listen on.  [default: 127.0.0.1]")]
Port = Annotated[int | None, typer.Option("--port", help="Port to listen on.  [default: 8080]")]
Processes = Annotated[int | None, typer.Option("--processes", help="Gateways that share the port.  [default: 1]")]
Insecure = Annotated[
    bool | None,
    typer.Option("--insecure", help="Listen beyond loopback without any keys, for whoever comes."),
]
TlsCert = Annotated[
    Path | None, typer.Option("--tls-cert", help="Certificate with its chain, PEM: speak https.  [default: http]")
]
TlsKey = Annotated[Path | None, typer.Option("--tls-key", help="Its key, PEM, without a password.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="Any setting, as gateway.hold=30s; `penstock settings` lists them."
    ),
]
Folder = Annotated[Path, typer.Argument(help="The folder that the handler is in.")]
Handler = Annotated[
    str | None, typer.Option("--handler", help="module:name.  [default: penstock.yaml's, else app:handler]")
]
EventOption = Annotated[
    str | None, typer.Option("--event", help="What the handler gets: bytes or json.  [default: bytes]")
]


def flags(given: Sequence[str] | None, named: Mapping[str, Any]) -> dict[str, Any]:
    """What `--set` and the flags with names of their own set; these win. Raises ConfigurationError."""
    found = dict(map(_setting, given or ()))
    return found | {key: value for key, value in named.items() if value is not None}


def _setting(text: str) -> tuple[str, Any]:
    from penstock.settingslist import entries

    key, equals, value = text.partition("=")
    known = [entry.key for entry in entries()]
    if not equals:
        raise ConfigurationError(f"--set {text}: write NAME=VALUE, as --set gateway.hold=30s")
    if key not in known:
        near = difflib.get_close_matches(key, known, 1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise ConfigurationError(f"--set {text}: there is no setting {key}: {meant}`penstock settings` lists them")
    try:
        return key, yaml.safe_load(value) if value[:1] in ("[", "{") else value
    except yaml.YAMLError:
        raise ConfigurationError(f"--set {text}: not a list, nor an object: write JSON") from None
