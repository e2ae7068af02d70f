"""Makes the image of a function's folder. The one way to build: `penstock build` and the Docker engine's deploys.

Every image is named by all that goes into it, so that what is there already is not made again: a change of the
handler alone makes neither the runtime nor the packages anew.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from penstock.code import folder_digest
from workers.engines import EngineError
from workers.engines.environments import runtime_digest
from workers.engines.images import Wishes, function_context, packages_context, runtime_context, wishes

DEFAULT_PYTHON = "3.11"
LABEL = "penstock."


class Images(Protocol):
    """What the builder asks of an engine."""

    async def fetch(self, image: str) -> str:
        """Its id; from its registry if it is not here. Raises EngineError."""

    async def labels(self, tag: str) -> Mapping[str, str] | None:
        """None: there is no such image."""

    async def python(self, image: str) -> str:
        """`3.11`. Raises EngineError if the image has none that can make environments."""

    async def build(
        self, tag: str, context: bytes, *, arguments: Mapping[str, str], labels: Mapping[str, str], network: str
    ) -> None:
        """Raises EngineError with the last lines of the build."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A function's image, as it is asked for."""

    name: str
    folder: Path
    labels: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    """That the image has by itself."""
    python: str | None = None
    """None: what the folder's .python-version says, else whichever the base image has."""
    tag: str | None = None
    """None: made of the content."""


@dataclass(frozen=True, kw_only=True)
class Built:
    tag: str
    python: str
    made: bool
    """False: it was there already."""


class Builder:
    def __init__(
        self,
        images: Images,
        *,
        base_image: str,
        network: str | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """`base_image`: {python} in it stands for the version. `network`: of builds with an apt.txt; None: the
        engine's own. `say`: is told of each step."""
        self._images = images
        self._base_image = base_image
        self._network = network
        self._say = say

    async def build(self, recipe: Recipe) -> Built:
        """Raises EngineError."""
        folder = recipe.folder
        wanted = await asyncio.to_thread(wishes, folder)
        version = recipe.python or wanted.python
        runtime, python = await self._runtime(self._base_image.replace("{python}", version or DEFAULT_PYTHON))
        if version is not None and version != python:
            raise EngineError(
                f"{recipe.name} wants Python {version}, and the base image {self._base_image} has {python}: "
                "give a base image that has it (--base, or the setting docker.base_image)"
            )
        packages = await self._packages(folder, wanted, runtime, python)
        labels = {
            f"{LABEL}image": "function",
            f"{LABEL}function": recipe.name,
            f"{LABEL}python": python,
            f"{LABEL}packages": packages,
            **recipe.labels,
        }
        code = await asyncio.to_thread(folder_digest, folder)
        digest = _short(packages, code, _text(labels), _text(recipe.environment))
        tag = recipe.tag or f"penstock/function-{recipe.name.replace('@', '-v')}:{digest}"
        if recipe.tag is None and await self._is_there(tag, "function"):
            return Built(tag=tag, python=python, made=False)
        self._say(f"function  {tag}")
        context = await asyncio.to_thread(function_context, folder, packages, recipe.environment)
        await self._images.build(tag, context, arguments={}, labels=labels, network="none")
        return Built(tag=tag, python=python, made=True)

    async def _runtime(self, base: str) -> tuple[str, str]:
        """The image of the runtime on this base, and the version of its Python."""
        ours = await asyncio.to_thread(runtime_digest)
        tag = f"penstock/runtime:{_short(await self._images.fetch(base), ours)}"
        labels = await self._images.labels(tag)
        if labels is not None:
            self._say(f"runtime   {tag}, is there")
            return tag, labels[f"{LABEL}python"]
        python = await self._images.python(base)
        self._say(f"runtime   {tag}, on {base} with Python {python}")
        context = await runtime_context(python)
        described = {f"{LABEL}image": "runtime", f"{LABEL}python": python}
        await self._images.build(tag, context, arguments={"BASE": base}, labels=described, network="none")
        return tag, python

    async def _packages(self, folder: Path, wanted: Wishes, runtime: str, python: str) -> str:
        """The image with the folder's packages; the runtime's own when it asks for none."""
        if not wanted.apt and not wanted.pip:
            return runtime
        tag = f"penstock/packages:{_short(runtime, ' '.join(wanted.apt), wanted.pip.decode())}"
        if await self._is_there(tag, "packages"):
            return tag
        what = " and ".join(["apt.txt"] * bool(wanted.apt) + ["requirements.txt"] * bool(wanted.pip))
        self._say(f"packages  {tag}, of {what}")
        network = (self._network or "default") if wanted.apt else "none"
        context = await packages_context(folder, wanted, runtime, python)
        described = {f"{LABEL}image": "packages", f"{LABEL}python": python}
        try:
            await self._images.build(tag, context, arguments={}, labels=described, network=network)
        except EngineError as error:
            raise _explained(error, network) if wanted.apt else error from None
        return tag

    async def _is_there(self, tag: str, what: str) -> bool:
        there = await self._images.labels(tag) is not None
        if there:
            self._say(f"{what:<9} {tag}, is there")
        return there


_UNREACHED = ("Could not resolve", "Temporary failure resolving", "Could not connect", "Unable to connect")


def _explained(error: EngineError, network: str) -> EngineError:
    """A failed build with an apt.txt: whether it was the network."""
    if not any(sign in str(error) for sign in _UNREACHED):
        return error
    return EngineError(
        f"apt cannot reach its mirror from a build on the network {network}: choose another network "
        f"(--build-network, or the setting docker.build_network) or a base image with another mirror.\n{error}"
    )


def _text(values: Mapping[str, str]) -> str:
    return json.dumps(values, sort_keys=True)


def _short(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
