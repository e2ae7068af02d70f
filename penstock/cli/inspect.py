"""`penstock functions`, `jobs` and `instances`: what is there, as tables."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from penstock.cli.options import DEFAULT_URL, Url
from penstock.cli.tables import table
from penstock.client import AsyncClient, Record


def functions(url: Url = DEFAULT_URL) -> None:
    """List the deployed functions."""
    found = asyncio.run(_functions(url))
    rows = [
        (
            one["name"],
            str(one["revision"]),
            _runs(one["spec"]),
            ", ".join(f"{count} {state}" for state, count in one["instances"].items()) or "none",
            one["decision"]["reason"],
        )
        for one in found
    ]
    table(("FUNCTION", "REVISION", "RUNS", "INSTANCES", "WHY"), rows, "no function is deployed")


def jobs(
    function: Annotated[str, typer.Argument(help="Name of the function.")],
    job: Annotated[str | None, typer.Argument(help="Id: show all of one job.")] = None,
    state: Annotated[str | None, typer.Option(help="Only jobs in this state.")] = None,
    batch: Annotated[str | None, typer.Option(help="Only jobs of this batch, the first line first.")] = None,
    limit: Annotated[int, typer.Option(help="How many, newest first.")] = 20,
    url: Url = DEFAULT_URL,
) -> None:
    """List a function's async jobs, or show one."""
    if job is not None:
        typer.echo(json.dumps(asyncio.run(_job(url, function, job)), indent=2))
        return
    found = asyncio.run(_jobs(url, function, state, batch, limit))
    rows = [
        (
            one["id"],
            one["state"],
            str(one["attempt"]),
            _moment(one["created_at"]),
            _seconds(one["timeline"].get("running")),
            one["error"]["message"] if one["error"] else "",
        )
        for one in found
    ]
    table(("JOB", "STATE", "ATTEMPT", "CREATED", "RAN", "ERROR"), rows, "no async jobs")


def instances(
    function: Annotated[str, typer.Argument(help="Name of the function.")], url: Url = DEFAULT_URL
) -> None:
    """List a function's instances, and why there are that many."""
    pool = asyncio.run(_instances(url, function))
    rows = [
        (
            one["id"],
            one["state"],
            str(one["in_flight"]),
            _seconds(sum(one["timeline"].values())),
            _moment(one["started_at"]),
            one["reason"],
        )
        for one in pool["instances"]
    ]
    table(("INSTANCE", "STATE", "CALLS", "START TOOK", "SINCE", "WHY"), rows, "no instances")
    decision = pool["decision"]
    typer.echo(f"wanted: {decision['desired']} ({decision['reason']})")


def triggers(
    function: Annotated[str, typer.Argument(help="Name of the function.")], url: Url = DEFAULT_URL
) -> None:
    """List what calls a function beside clients, and what each has done."""
    rows = [
        (
            one["name"],
            one["type"] if one["enabled"] else f"{one['type']} (disabled)",
            str(one.get("fired", "")),
            _date(one.get("last_fired")),
            _date(one.get("next_due")),
            one.get("last_error") or "",
        )
        for one in asyncio.run(_triggers(url, function))
    ]
    table(("TRIGGER", "TYPE", "FIRED", "LAST", "NEXT", "ERROR"), rows, "no triggers")


async def _functions(url: str) -> list[dict[str, Any]]:
    async with AsyncClient(url) as client:
        return await client.functions()


async def _job(url: str, function: str, job: str) -> Record:
    async with AsyncClient(url) as client:
        return await client.job(function, job).status()


async def _jobs(url: str, function: str, state: str | None, batch: str | None, limit: int) -> list[Record]:
    async with AsyncClient(url) as client:
        return [record async for record in client.jobs(function, state=state, batch=batch, limit=limit)]


async def _instances(url: str, function: str) -> dict[str, Any]:
    async with AsyncClient(url) as client:
        return await client.instances(function)


async def _triggers(url: str, function: str) -> list[dict[str, Any]]:
    async with AsyncClient(url) as client:
        return await client.triggers(function)


def _runs(spec: dict[str, Any]) -> str:
    folder = spec["path"] and Path(spec["path"]).name + "/"
    return spec["image"] or folder or " ".join(spec["command"])


def _moment(rfc3339: str) -> str:
    return rfc3339[11:19]


def _date(rfc3339: str | None) -> str:
    return "" if rfc3339 is None else rfc3339[:19]


def _seconds(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds / 1000:.2f} s"
