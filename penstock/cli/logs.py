"""`penstock logs`: what the instances of a function write, or what was written for one job."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Annotated

import typer

from penstock.cli.options import DEFAULT_URL, Url
from penstock.client import AsyncClient, NotFound

_JOB = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "red")
_LOOK = 1.0
"""Seconds between two looks for instances that came or went."""
_ALL = 10_000
"""Lines of an instance: more are not kept."""


def logs(
    function: Annotated[str, typer.Argument(help="Name of the function.")],
    source: Annotated[
        str | None, typer.Argument(metavar="[INSTANCE|JOB]", help="One of them.  [default: all instances]")
    ] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with what is written from now.")] = False,
    tail: Annotated[int, typer.Option(help="Lines of each instance, the last ones.")] = 100,
    url: Url = DEFAULT_URL,
) -> None:
    """Show what a function's instances wrote; a job's id shows what was written for it. Ctrl-C ends it."""
    with suppress(KeyboardInterrupt):
        asyncio.run(_logs(function, source, follow, tail, url))


async def _logs(function: str, source: str | None, follow: bool, tail: int, url: str) -> None:
    async with AsyncClient(url) as client:
        if source is None:
            all_of_them = _All(client, function, tail)
            await (all_of_them.follow() if follow else all_of_them.show())
        elif _JOB.fullmatch(source):
            job = client.job(function, source)
            await _print(job.logs(follow=follow))
        else:
            await _print(client.logs(function, source, tail=tail, follow=follow))


async def _print(lines: AsyncGenerator[str, None], prefix: str = "") -> None:
    async with aclosing(lines):
        async for line in lines:
            typer.echo(prefix + line)


class _All:
    """Those of all instances of a function, each line with its instance before it."""

    def __init__(self, client: AsyncClient, function: str, tail: int) -> None:
        self._client = client
        self._function = function
        self._tail = tail
        self._prefixes: dict[str, str] = {}

    async def show(self) -> None:
        """What they wrote."""
        instances = await self._instances()
        if not instances:
            typer.echo(f"{self._function} has no instances now", err=True)
        for instance in instances:
            await self._one(instance, self._tail, follow=False)

    async def follow(self) -> None:
        """What they wrote and write; those that start later from their first line on. It ends by an interrupt."""
        following: dict[str, asyncio.Task[None]] = {}
        tail = self._tail
        while True:
            instances = await self._instances()
            for gone in following.keys() - instances:
                following.pop(gone).cancel()
            for new in instances - following.keys():
                following[new] = asyncio.create_task(self._one(new, tail, follow=True), name=f"log of {new}")
            for failed in [task for task in following.values() if task.done() and task.exception()]:
                await failed
            tail = _ALL
            await asyncio.sleep(_LOOK)

    async def _instances(self) -> set[str]:
        return {one["id"] for one in (await self._client.instances(self._function))["instances"]}

    async def _one(self, instance: str, tail: int, *, follow: bool) -> None:
        with suppress(NotFound):  # it has gone, or has written nothing yet
            lines = self._client.logs(self._function, instance, tail=tail, follow=follow)
            await _print(lines, self._prefix(instance))

    def _prefix(self, instance: str) -> str:
        colour = _COLOURS[len(self._prefixes) % len(_COLOURS)]
        return self._prefixes.setdefault(instance, typer.style(instance, fg=colour) + " ")
