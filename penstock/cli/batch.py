"""`penstock batch`: submits a file of jobs and, with --wait, shows how they stand until all have ended.

The batch's id goes to standard output, everything else to standard error.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from penstock.cli.options import DEFAULT_URL, Url
from penstock.cli.progress import Progress
from penstock.client import AsyncClient, CallOptions
from penstock.errors import InvalidRequest

_SHOWN = 5
"""Refused lines that are shown one by one."""


def batch(
    function: Annotated[str, typer.Argument(help="Name of the function.")],
    file: Annotated[str, typer.Argument(help="One job's JSON in each line; - reads standard input.")],
    wait: Annotated[bool, typer.Option("--wait", help="Show the counts until all have ended.")] = False,
    callback: Annotated[str | None, typer.Option(help="URL that is told when all have ended.")] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Submit up to 10,000 jobs at once. Exit code 1 if one is refused, or with --wait if one does not succeed."""
    if not asyncio.run(_batch(function, _read(file), wait, callback, url)):
        raise typer.Exit(1)


async def _batch(function: str, lines: bytes, wait: bool, callback: str | None, url: str) -> bool:
    async with AsyncClient(url) as client:
        options: CallOptions = {"callback": callback} if callback else {}
        said = await client.submit_batch(function, lines, **options)
        typer.echo(said["batch"])
        _explain(said)
        if not wait:
            return not said["refused"]
        counts = await _wait(client, f"/v1/functions/{function}/batches/{said['batch']}")
        typer.echo(counts_line(counts), err=True)
        return counts["succeeded"] == said["accepted"] and not said["refused"]


async def _wait(client: AsyncClient, path: str) -> dict[str, int]:
    with Progress(Console(stderr=True)) as progress:
        while True:
            shown = await client.get(path)
            if shown["finished_at"] is not None:
                counts: dict[str, int] = shown["counts"]
                return counts
            progress.say(counts_line(shown["counts"]))
            # Looked at each second, since the counts change long before all have ended.
            await asyncio.sleep(1.0)


def counts_line(counts: dict[str, int]) -> str:
    """How many are in which state; the states that none is in are left out."""
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "no jobs"


def _explain(said: dict[str, Any]) -> None:
    refused = [item for item in said["items"] if "error" in item]
    for item in refused[:_SHOWN]:
        typer.secho(f"job {item['index']} refused: {item['error']['detail']}", fg="red", err=True)
    if len(refused) > _SHOWN:
        typer.secho(f"and {len(refused) - _SHOWN} more", fg="red", err=True)
    typer.echo(f"{said['accepted']} accepted, {said['refused']} refused", err=True)


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{file}: {error.strerror}") from None
