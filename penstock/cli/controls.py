"""`penstock gpus`, `pause`, `resume` and `warmup`: what operators do beside deploying."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from penstock.cli.options import DEFAULT_URL, Url
from penstock.cli.tables import table
from penstock.client import AsyncClient
from penstock.errors import ConfigurationError

Name = Annotated[str | None, typer.Argument(help="Name of the function.")]
Gpu = Annotated[str | None, typer.Option("--gpu", help="UUID of a card, or the beginning of it.")]


def gpus(url: Url = DEFAULT_URL) -> None:
    """List the GPUs, what is reserved on each, and what keeps one from being used."""
    rows = [
        (
            one["uuid"],
            one["name"],
            one["type"] or "unknown",
            _gib(one["memory"]),
            _gib(one["free"]),
            _percent(one["sm"]),
            ", ".join(f"{instance} {_gib(amount)}" for instance, amount in one["reserved"].items()) or "-",
            one["problem"] or "",
        )
        for one in asyncio.run(_send("GET", "/v1/gpus", url))["gpus"]
    ]
    table(
        ("GPU", "NAME", "TYPE", "MEMORY", "FREE", "SM", "RESERVED", "PROBLEM"),
        rows,
        "no GPUs: `penstock doctor` says why",
    )


def pause(function: Name = None, gpu: Gpu = None, url: Url = DEFAULT_URL) -> None:
    """Lend a function's places, or a card, to others: what runs ends first, jobs wait."""
    asyncio.run(_send("POST", f"{_path(function, gpu)}/pause", url))
    typer.echo(f"{function or gpu} is paused; `penstock resume` takes it back")


def resume(function: Name = None, gpu: Gpu = None, url: Url = DEFAULT_URL) -> None:
    """Take back a function, or a card, that was paused."""
    asyncio.run(_send("POST", f"{_path(function, gpu)}/resume", url))
    typer.echo(f"{function or gpu} is resumed")


def warmup(
    function: Annotated[str, typer.Argument(help="Name of the function.")],
    instances: Annotated[int, typer.Option(help="How many shall be ready.")] = 1,
    url: Url = DEFAULT_URL,
) -> None:
    """Start instances before they are needed; they stay for the idle timeout."""
    asyncio.run(_send("POST", f"/v1/functions/{function}/warmup", url, {"instances": instances}))
    typer.echo(f"{function}: {instances} instances are being started; `penstock instances {function}` shows them")


def _path(function: str | None, gpu: str | None) -> str:
    if (function is None) == (gpu is None):
        raise ConfigurationError("name a function, or a card with --gpu UUID")
    return f"/v1/functions/{function}" if function is not None else f"/v1/gpus/{gpu}"


async def _send(method: str, path: str, url: str, body: Any = None) -> dict[str, Any]:
    async with AsyncClient(url) as client:
        return await client.change(method, path, body)


def _gib(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 2**30:.1f} GiB"


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.0%}"
