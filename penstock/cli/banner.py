"""What `penstock up` says: where it listens, and three lines to paste."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import typer

from penstock.function import FunctionSpec
from penstock.settings import Settings

_LISTEN_PORT = 9999


def starting(settings: Settings, specs: Mapping[str, FunctionSpec]) -> None:
    folder, engine = settings.folder, settings.workers.engine
    typer.secho(f"Penstock is starting: engine {engine}, data in {folder}", bold=True)
    if engine == "process" and specs:
        typer.echo("Functions run as processes of your user, without isolation: run only code that you trust.")
    if any(spec.path and (Path(spec.path) / "requirements.txt").exists() for spec in specs.values()):
        typer.echo("A first start installs the functions' requirements, which can take a minute.")


def ready(
    settings: Settings, specs: Mapping[str, FunctionSpec], *, failed: Mapping[str, str], keyed: bool = False
) -> None:
    """`keyed`: its clients need API keys."""
    scheme = "http" if settings.gateway.tls_cert is None else "https"
    url = f"{scheme}://{settings.gateway.host}:{settings.gateway.port}"
    typer.secho(f"\nPenstock listens on {url}", fg="green", bold=True)
    for name in failed:
        typer.secho(f"{name} cannot be invoked (see above)", fg="red")
    callable_now = [name for name in specs if name not in failed]
    if not callable_now:
        typer.echo("No function is deployed; deploy some with `penstock deploy -f FILE`.")
        return
    if keyed:
        typer.echo("Clients need an API key, here that of PENSTOCK_KEY; `penstock keys create NAME` makes one.")
    for line in _lines(settings, url, _sample(specs, callable_now), keyed):
        typer.echo(line)


def _lines(settings: Settings, url: str, function: str, keyed: bool) -> list[str]:
    """The lines to paste, each under what it shows."""
    calls = f"{url}/v1/functions/{function}/invocations"
    key = '-H "Authorization: Bearer $PENSTOCK_KEY" ' if keyed else ""
    data = f"{key}-d 'Nice to meet you'"
    submit = f"curl -s -o /dev/null -w '%header{{location}}' -H 'Prefer: respond-async' {data} {calls}"
    listen = f"{_command()} listen" + (f" --data-dir {settings.folder}" if _elsewhere(settings) else "")
    return [
        "\n# call it and wait for the answer",
        f"curl -i {data} {calls}",
        "\n# submit a job, then poll it until it has ended",
        f"curl -s {key}'{url}'$({submit})'?wait=30'",
        f"\n# submit a job and be called back; first, in another terminal: {listen}",
        f"curl -H 'Prefer: respond-async' -H 'Penstock-Callback-Url: http://127.0.0.1:{_LISTEN_PORT}/' "
        f"{data} {calls}",
        "",
    ]


def _command() -> str:
    """As it was called, if it is not on the PATH."""
    if shutil.which("penstock"):
        return "penstock"
    return f"{sys.executable} -m penstock.cli" if sys.argv[0].endswith("__main__.py") else sys.argv[0]


def _elsewhere(settings: Settings) -> bool:
    return settings.folder != Settings.model_construct().folder


def stopping() -> None:
    typer.echo("\nStopping: what runs is finished first; Ctrl-C again stops at once.")


def _sample(specs: Mapping[str, FunctionSpec], names: list[str]) -> str:
    """A function that can make something of a line of text."""
    texts = [name for name in names if specs[name].event == "bytes"]
    return next((name for name in texts if name == "sentiment"), (texts or names)[0])
