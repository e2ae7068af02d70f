"""`penstock build`: the image of a function's folder, as the Docker engine makes it at a deploy.

What it does goes to standard error; to standard output only the lines that deploy the image.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from penstock.cli.folder import function_of
from penstock.cli.options import EventOption, Folder, Handler
from penstock.function import FunctionSpec
from penstock.settings import load

_NOT_OF_IMAGES = ("path", "handler", "event", "workers", "batch", "preload")


def build(
    folder: Folder,
    tag: Annotated[
        str | None, typer.Option("-t", "--tag", help="Name of the image.  [default: made of its content]")
    ] = None,
    handler: Handler = None,
    event: EventOption = None,
    base: Annotated[
        str | None, typer.Option(help="Image with python3 and its venv module.  [default: python:{python}-slim]")
    ] = None,
    python: Annotated[
        str | None, typer.Option(help="Version of Python, such as 3.11.  [default: .python-version's]")
    ] = None,
    build_network: Annotated[
        str | None,
        typer.Option(help="Network of a build with an apt.txt: none, default or host.  [default: default]"),
    ] = None,
) -> None:
    """Make an image of a folder with a handler, and of what its requirements.txt and apt.txt ask for."""
    name, spec = function_of(folder, handler=handler, event=event)
    settings = load({"docker.base_image": base, "docker.build_network": build_network}).docker
    # Here, since to import a Docker client takes longer than most commands do.
    from workers.contract import runtime_environment
    from workers.engines.builder import Recipe
    from workers.engines.docker import build_image
    from workers.engines.images import CODE

    recipe = Recipe(
        name=name,
        folder=Path(spec.path or ""),
        environment=runtime_environment(name, spec, CODE),
        python=python,
        tag=tag,
    )
    built = asyncio.run(
        build_image(recipe, base_image=settings.base_image, network=settings.build_network, say=_say)
    )
    _say(f"\n# try it:  docker run --rm -p 127.0.0.1:{spec.port}:9000 {built.tag}")
    _say("# deploy it, with --engine docker, from a spec file with these lines:")
    typer.echo(yaml.safe_dump({"functions": {name: deployed(spec, built.tag)}}, sort_keys=False), nl=False)


def deployed(spec: FunctionSpec, image: str) -> dict[str, Any]:
    """The spec of a folder's function once it is an image."""
    fields = spec.model_dump(mode="json", exclude_unset=True)
    kept = {key: value for key, value in fields.items() if key not in _NOT_OF_IMAGES}
    calls = {"concurrency": spec.slots} if spec.slots > 1 else {}
    hook = spec.initialize
    assert hook is not None, "a folder's function always has one"
    lifecycle = {**kept.pop("lifecycle", {}), "initialize": hook.model_dump(mode="json")}
    return {"image": image, **kept, **calls, "lifecycle": lifecycle}


def _say(line: str) -> None:
    typer.echo(line, err=True)
