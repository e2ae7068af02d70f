"""What commands share that take an s.yaml, with the flags of the vendor's tool."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from penstock.errors import ConfigurationError
from penstock.fc.project import Project, VendorsFunction, load
from penstock.store import Store

Template = Annotated[
    Path | None,
    typer.Option("-t", "--template", help="A Function Compute s.yaml (editions 1.0.0 and 3.0.0)."),
]
Access = Annotated[
    str | None, typer.Option("-a", "--access", help="Taken as s takes it; nothing here needs it.", hidden=True)
]
Yes = Annotated[bool, typer.Option("-y", "--assume-yes", help="As s takes it; nothing asks.", hidden=True)]

_NAMES = ("s.yaml", "s.yml")


def find() -> Path | None:
    """The s.yaml of this folder, which s takes when none is named."""
    return next((path for path in map(Path, _NAMES) if path.exists()), None)


def read(path: Path) -> Project:
    """Raises ConfigurationError."""
    return load(path, os.environ)


def warn(project: Project) -> None:
    for warning in project.notes.warnings:
        typer.echo(f"warning: {warning}", err=True)


def chosen(project: Project, function: str | None) -> tuple[VendorsFunction, ...]:
    """The function of that name, the vendor's or ours, or all of the file. Raises ConfigurationError."""
    if function is None:
        return project.functions
    found = tuple(one for one in project.functions if function in (one.name, one.function, one.original))
    if not found:
        there = ", ".join(one.function for one in project.functions)
        raise ConfigurationError(f"{project.path}: it has no function {function}; it has {there}")
    return found


async def claim(store: Store, project: Project) -> None:
    """Keeps the vendor's names of the functions. Raises ConfigurationError, before it has changed anything, if one
    of our names is another function's already."""
    stored = await store.aliases.all()
    for one in project.functions:
        owners = [other for other, name in stored.items() if name == one.name and other != one.original]
        if owners:
            raise _taken(project, one, f"here {one.name} is {owners[0]}")
        if stored.get(one.original, one.name) != one.name:
            raise _taken(project, one, f"it is deployed as {stored[one.original]}")
        unclaimed = one.original != one.name and one.original not in stored
        if unclaimed and await store.catalog.get(one.name) is not None:
            raise _taken(project, one, f"a function {one.name} is deployed already, from another file")
    await store.aliases.put(project.aliases)


def _taken(project: Project, function: VendorsFunction, why: str) -> ConfigurationError:
    return project.notes.error(
        function.place,
        f"{function.original} cannot be called {function.name}: {why}; rename or delete one of them",
    )
