"""`penstock init`: a small function that works, to start from."""

from __future__ import annotations

from pathlib import Path
from string import Template
from typing import Annotated

import typer

from penstock.cli.folder import name_of
from penstock.errors import ConfigurationError

_TEMPLATES = Path(__file__).parent / "templates"


def init(
    folder: Annotated[Path, typer.Argument(help="Where it goes; made if it is not there.")] = Path(),
    template: Annotated[str, typer.Option(help="handler, lambda, predictor or fastapi.")] = "handler",
) -> None:
    """Write a small function to start from. What is there is never overwritten."""
    texts = render(template, name_of(folder.resolve().name))
    _write(folder, texts)
    typer.echo(f"wrote {', '.join(texts)} to {folder}")
    typer.echo()
    for command, purpose in (
        (f"penstock run {folder}", "try it; it starts anew when you save"),
        (f"penstock up -f {folder / 'penstock.yaml'}", "serve it, with queue, scaling and callbacks"),
        (f"penstock build {folder}", "make an image of it"),
    ):
        typer.echo(f"  {command}    # {purpose}")


def templates() -> list[str]:
    """Names of those that there are."""
    return sorted(path.name for path in _TEMPLATES.iterdir() if (path / "penstock.yaml").exists())


def render(template: str, name: str) -> dict[str, str]:
    """Its files, by their names. Raises ConfigurationError."""
    if template not in templates():
        raise ConfigurationError(f"no template is called {template!r}; there are {', '.join(templates())}")
    files = sorted(path for path in (_TEMPLATES / template).iterdir() if path.is_file())
    return {path.name: Template(path.read_text()).safe_substitute(name=name) for path in files}


def _write(folder: Path, texts: dict[str, str]) -> None:
    """All of them, or none if one is there. Raises ConfigurationError."""
    there = [name for name in texts if (folder / name).exists()]
    if there:
        raise ConfigurationError(
            f"{', '.join(there)} in {folder} would be overwritten: give another folder, or move them away"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            with (folder / name).open("x") as file:
                file.write(text)
    except OSError as error:
        raise ConfigurationError(f"cannot write to {folder}: {error.strerror}") from None
