"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
    bool | None, typer.Option("--insecure", help="Listen beyond loopback although there are no keys.")
]
TlsCert = Annotated[
    Path | None, typer.Option("--tls-cert", help="Certificate with its chain, PEM: speak https.  [default: http]")
]
TlsKey = Annotated[Path | None, typer.Option("--tls-key", help="Its key, PEM, without a password.")]
Folder = Annotated[Path, typer.Argument(help="The folder that the handler is in.")]
Handler = Annotated[
    str | None, typer.Option("--handler", help="module:name.  [default: penstock.yaml's, else app:handler]")
]
EventOption = Annotated[
    str | None, typer.Option("--event", help="What the handler gets: bytes or json.  [default: bytes]")
]
