"""`penstock invoke`: calls a function and shows, while it waits, what it waits for.

The answer goes to standard output byte for byte, everything else to standard error.
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
from penstock.client import ApiError, AsyncClient
from penstock.errors import InvalidRequest


def invoke(
    function: Annotated[str, typer.Argument(help="Name of the function.")],
    data: Annotated[
        str | None,
        typer.Option("-d", "--data", help="Body; @FILE reads a file, @- standard input."),
    ] = None,
    content_type: Annotated[str, typer.Option(help="Content type of the body.")] = "application/octet-stream",
    detach: Annotated[bool, typer.Option("--async", help="Print the job's id and do not wait.")] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Call a function and print its answer. Exit code 1 if it failed."""
    body = _body(data)
    if not asyncio.run(_invoke(function, body, content_type, detach, url)):
        raise typer.Exit(1)


async def _invoke(function: str, body: bytes, content_type: str, detach: bool, url: str) -> bool:
    async with AsyncClient(url) as client:
        record = await client.submit(function, body, {"Content-Type": content_type})
        if detach:
            typer.echo(record["id"])
            return True
        record = await _wait(client, record)
        status, headers, answer = await client.send("GET", record["links"]["result"])
        if headers.get("Content-Type", "").startswith("application/problem+json") and record["error"]:
            _explain(record)
            return False
        sys.stdout.buffer.write(answer)
        if sys.stdout.isatty() and not answer.endswith(b"\n"):
            typer.echo()
        if record["state"] != "succeeded":
            typer.secho(f"{record['state']}: status {status}", fg="red", err=True)
        return bool(record["state"] == "succeeded")


async def _wait(client: AsyncClient, record: dict[str, Any]) -> dict[str, Any]:
    console = Console(stderr=True)
    with Progress(console) as progress:
        try:
            while record["finished_at"] is None:
                progress.say(progress_line(record))
                # A short wait: the queue position changes while we look on.
                record = await client.get(record["links"]["self"], wait=1)
        except ApiError as error:
            console.print(f"[red]{error}[/red]")
            raise
    return record


def progress_line(record: dict[str, Any]) -> str:
    """queued #n, starting or running, and why."""
    if record["state"] == "running":
        return f"running on {record['instance']}"
    reason = record["waiting_reason"] or ""
    place = f" #{record['queue_position']}" if record["queue_position"] else ""
    return f"{'starting' if ' into its start' in reason else 'queued'}{place}: {reason}"


def _explain(record: dict[str, Any]) -> None:
    error = record["error"]
    typer.secho(f"{record['state']}: {error['code']}: {error['message']}", fg="red", err=True)
    if error["log_tail"]:
        typer.echo(f"--- last lines of {record['instance'] or 'its log'}\n{error['log_tail']}", err=True)


def _body(data: str | None) -> bytes:
    if data is None:
        return b""
    if data == "@-":
        return sys.stdin.buffer.read()
    if data.startswith("@"):
        try:
            return Path(data[1:]).read_bytes()
        except OSError as error:
            raise InvalidRequest(f"--data {data}: {error.strerror}") from None
    return data.encode()
