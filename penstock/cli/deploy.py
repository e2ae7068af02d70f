"""`penstock deploy`: puts the functions of a spec file. It writes to the store itself, since folders and
commands of the host come from files only, never over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from penstock import specfile
from penstock.cli.embedded import socket_url
from penstock.cli.options import DataDir, RedisUrl
from penstock.code import folder_digest
from penstock.function import Function, FunctionSpec
from penstock.settings import load
from penstock.store import Store


def deploy(
    file: Annotated[Path, typer.Option("-f", "--file", help="Spec file.")] = Path("penstock.yaml"),
    redis_url: RedisUrl = None,
    data_dir: DataDir = None,
) -> None:
    """Deploy the functions of a spec file and wait until they can be invoked."""
    specs = specfile.load(file)
    settings = load({"redis.url": redis_url, "data_dir": data_dir})
    embedded = socket_url(settings.folder)
    url = embedded if redis_url is None and embedded is not None else settings.redis.url
    asyncio.run(_deploy(url, specs))


async def put(store: Store, specs: Mapping[str, FunctionSpec]) -> list[Function]:
    """Deploys them all; equal ones stay as they are."""
    return [
        await store.catalog.deploy(name, spec, code=folder_digest(Path(spec.path)) if spec.path else "")
        for name, spec in specs.items()
    ]


async def _deploy(url: str, specs: Mapping[str, FunctionSpec]) -> None:
    store = Store(url)
    try:
        for function in await put(store, specs):
            typer.echo(f"{function.name}: revision {function.revision}")
        failed = await until_ready(store, list(specs))
    finally:
        await store.close()
    if failed:
        raise typer.Exit(1)


async def until_ready(store: Store, names: list[str]) -> dict[str, str]:
    """Says of each function when its new revision answers; returns those that cannot be invoked, and why."""
    waiting, failed = set(names), {}
    while waiting:
        unready = await store.catalog.unready()
        for name in sorted(waiting):
            problem = unready.get(name) or await _not_replaced(store, name)
            if problem is None:
                typer.echo(f"{name}: ready to be invoked")
            elif "cannot be prepared" in problem or "does not start" in problem:
                failed[name] = problem
                typer.secho(f"{name}: {problem}", fg="red", err=True)
            else:
                continue
            waiting.discard(name)
        await asyncio.sleep(0.1)
    return failed


async def _not_replaced(store: Store, name: str) -> str | None:
    """Why an older revision still answers; None: none does."""
    function, pool = await store.catalog.get(name), await store.pools.get(name)
    if function is None or not pool.replacing(function.revision):
        return None
    if pool.failure is not None:
        return f"revision {function.revision} does not start: {pool.failure}; the one before it goes on"
    return f"revision {function.revision} replaces the one before it"
