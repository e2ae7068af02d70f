"""`penstock invoke`: calls a function and shows, while it waits, what it waits for.

The answer goes to standard output byte for byte, an open-ended one as it comes; everything else to standard error.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from penstock import client as api
from penstock.cli.options import DEFAULT_URL, Url
from penstock.cli.progress import Progress
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
    async with api.AsyncClient(url) as client:
        job = await client.submit(function, body, content_type=content_type)
        if detach:
            typer.echo(job.id)
            return True
        printed = _Printed()
        try:
            with Progress(Console(stderr=True)) as progress:
                await _watch(job, progress, printed)
        except asyncio.CancelledError:
            typer.echo(f"\nthe job goes on: `penstock jobs {function} {job.id}` shows it", err=True)
            raise
        return await _end(job, printed)


async def _end(job: api.AsyncJob, printed: _Printed) -> bool:
    """Prints how it ended; False if it failed."""
    try:
        answer = await job.result()
    except api.JobFailed as failed:
        if failed.answer is None:
            await _explain(job, failed)
        else:
            printed.rest(failed.answer.content)
            typer.secho(f"{(await job.status())['state']}: status {failed.answer.status}", fg="red", err=True)
        return False
    printed.rest(answer.content)
    return True


async def _watch(job: api.AsyncJob, progress: Progress, printed: _Printed) -> None:
    """Shows what happens to it until it has ended."""
    record: Mapping[str, Any] = job.submitted or await job.status()
    progress.say(progress_line(record))
    async with aclosing(job.events()) as events:
        async for event in events:
            match event:
                case api.StateChanged(ended=False):
                    record = await job.status()  # which instance it is on
                    progress.say(progress_line(record))
                case api.Position():
                    progress.say(progress_line({**record, **event.data}))
                case api.Progress():
                    said = f"{progress_line(record)}: {event.message}" if event.message else progress_line(record)
                    progress.say(said, event.progress)
                case api.Output():
                    if sys.stdout.isatty():
                        progress.stop()
                    printed.piece(event)


class _Printed:
    """What of the answer is on standard output already."""

    def __init__(self) -> None:
        self._written = bytearray()

    def piece(self, output: api.Output) -> None:
        self._written += output.content
        _write(output.content)

    def rest(self, answer: bytes) -> None:
        """All of it that is not there yet. A reader who is too far behind lost pieces, and a function that was run
        again began anew: then all of it once more."""
        written = bytes(self._written)
        if not answer.startswith(written):
            typer.secho("\nthat was not the answer from its beginning to its end; this is:", fg="yellow", err=True)
            written = b""
        _write(answer[len(written) :])
        if sys.stdout.isatty() and not answer.endswith(b"\n"):
            typer.echo()


def _write(content: bytes) -> None:
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def progress_line(record: Mapping[str, Any]) -> str:
    """queued #n, starting or running, and why."""
    if record["state"] != "queued":
        return f"running on {record['instance']}"
    reason = record["waiting_reason"] or ""
    place = f" #{record['queue_position']}" if record["queue_position"] else ""
    return f"{'starting' if ' into its start' in reason else 'queued'}{place}: {reason}"


async def _explain(job: api.AsyncJob, failed: api.JobFailed) -> None:
    record = await job.status()
    typer.secho(f"{record['state']}: {failed.code}: {failed.detail}", fg="red", err=True)
    if failed.log_tail:
        typer.echo(f"--- last lines of {record['instance'] or 'its log'}\n{failed.log_tail}", err=True)


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
