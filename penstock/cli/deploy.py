"""`penstock deploy`: puts the functions of a spec file. It writes to the store itself, since folders and
commands of the host come from files only, never over HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from penstock import specfile, triggerview
from penstock.apikey import TENANT
from penstock.cli import routing, syaml
from penstock.cli.embedded import socket_url
from penstock.cli.options import DEFAULT_URL, DataDir, RedisUrl, Url
from penstock.code import folder_digest
from penstock.errors import ConfigurationError
from penstock.fc.project import Project
from penstock.function import Function, FunctionSpec
from penstock.settings import load
from penstock.specfile import SpecFile
from penstock.startup import settle
from penstock.store import Store
from penstock.triggers import HttpTrigger

_SPEC_FILE = Path("penstock.yaml")


def deploy(
    file: Annotated[
        Path | None, typer.Option("-f", "--file", help="Spec file.  [default: penstock.yaml, else s.yaml]")
    ] = None,
    template: syaml.Template = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the specs of the functions; change nothing.")
    ] = False,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Look up again what the tags of images name.")
    ] = False,
    redis_url: RedisUrl = None,
    data_dir: DataDir = None,
    tenant: Annotated[
        str | None, typer.Option(help="Whose the functions are.  [default: whose they were, else the operator's]")
    ] = None,
    url: Url = DEFAULT_URL,
    access: syaml.Access = None,
    yes: syaml.Yes = False,
    skip_push: Annotated[bool, typer.Option("--skip-push", hidden=True)] = False,
    use_local: Annotated[bool, typer.Option("--use-local", hidden=True)] = False,
    pushed: Annotated[str | None, typer.Argument(hidden=True, metavar="")] = None,
) -> None:
    """Deploy the functions of a spec file, or of an s.yaml, and wait until they can be invoked."""
    # `s deploy --skip-push true` names a value, which stands apart from the flag here.
    if pushed is not None and not (skip_push and pushed in ("true", "false")):
        raise ConfigurationError(f"{pushed}: not an option of deploy; a file is named by -f or -t")
    if file is not None and template is not None:
        raise ConfigurationError("give -f, a spec file, or -t, an s.yaml; not both")
    if file is None and template is None and not _SPEC_FILE.exists():
        template = syaml.find()
    project = None if template is None else syaml.read(template)
    wanted = specfile.read(file or _SPEC_FILE) if project is None else project.wanted
    settings = load({"redis.url": redis_url, "data_dir": data_dir})
    if dry_run:
        if project is not None:
            syaml.warn(project)
        typer.echo(specfile.dump(wanted.functions, wanted.domains), nl=False)
        return
    embedded = socket_url(settings.folder)
    redis = embedded if redis_url is None and embedded is not None else settings.redis.url
    if tenant and not TENANT.fullmatch(tenant):
        raise ConfigurationError(f"--tenant {tenant}: not a name: lower-case letters, digits, - and _, at most 63")
    asyncio.run(_deploy(redis, wanted, project, url, tenant=tenant, refresh=refresh))


async def put(
    store: Store, wanted: SpecFile, *, tenant: str | None = None, refresh: bool = False
) -> list[Function]:
    """Deploys all of it; what is equal stays as it is, but with `refresh` functions with an image. `tenant`: whose
    it is; None: whose it was. Raises ConfigurationError, before it has changed anything, if a domain is another
    file's."""
    await routing.check(store, wanted.domains, wanted.functions)
    functions = [
        await store.catalog.deploy(
            name,
            spec,
            code=folder_digest(Path(spec.path)) if spec.path else "",
            tenant=tenant,
            refresh=refresh,
        )
        for name, spec in wanted.functions.items()
    ]
    await routing.put(store, wanted.domains)
    return functions


async def _deploy(
    redis: str, wanted: SpecFile, project: Project | None, url: str, *, tenant: str | None, refresh: bool
) -> None:
    store = Store(redis)
    try:
        await settle(store)
        if project is not None:
            await routing.check(store, wanted.domains, wanted.functions)
            await syaml.claim(store, project)
            syaml.warn(project)
        for function in await put(store, wanted, tenant=tenant, refresh=refresh):
            typer.echo(f"{function.name}: revision {function.revision}")
        failed = await until_ready(store, list(wanted.functions))
    finally:
        await store.close()
    for name in wanted.domains:
        typer.echo(f"{name}: routed by its Host")
    originals = {ours: theirs for theirs, ours in project.aliases.items()} if project is not None else {}
    for name, spec in wanted.functions.items():
        if name not in failed:
            _say_triggers(originals.get(name, name), name, spec, url)
    if failed:
        raise typer.Exit(1)


def _say_triggers(called: str, name: str, spec: FunctionSpec, url: str) -> None:
    """What calls it from now on, beside clients that know it."""
    if any(isinstance(one, HttpTrigger) for one in spec.triggers):
        typer.echo(f"{called}: {url}/fn/{name}/")
    for one in spec.triggers:
        if not isinstance(one, HttpTrigger):
            off = "" if one.enabled else " (disabled)"
            typer.echo(f"{called}: trigger {one.name}: {triggerview.summary(one)}{off}")


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
