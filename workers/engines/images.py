"""Build contexts for functions that bring only a Python folder: tar archives, made without a Docker client.

Up to three images, each on the one before it:

    runtime     a base image, a virtual environment, our HTTP server       shared by all functions
    packages    the folder's apt.txt and requirements.txt                  shared by all its revisions
    function    the folder

Wheels are made on the host, since a build may reach no package index; the folder travels in the context, since the
daemon may not see our file system. A context depends on names and contents alone, so that the engine finds the
layers that it has.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
import shutil
import sys
import tarfile
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from penstock.code import IGNORED
from workers.engines import EngineError
from workers.engines.environments import run, runtime_folder

_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?(=[A-Za-z0-9.+~:-]+)?")
"""A package of Debian: name[:architecture][=version]."""
_PYTHON = re.compile(r"(?:cpython-)?(\d+\.\d+)(?:\.\d+)?")

# apt-get says that all is well when no mirror answered, unless it is told that this is an error.
_APT = """\
RUN apt-get update -o APT::Update::Error-Mode=any -o Acquire::Retries=2 \\
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends {packages} \\
 && rm -rf /var/lib/apt/lists/*
"""
_PIP = """\
COPY wheels /tmp/wheels
COPY requirements.txt /tmp/requirements.txt
RUN python -m pip install --no-cache-dir --no-index --find-links /tmp/wheels -r /tmp/requirements.txt
"""
USER = "65534:65534"
"""Who functions run as, as in runtime/Dockerfile."""
CODE = "/code"
"""Where the folder is in the image."""


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What a folder asks for beside its code."""

    apt: tuple[str, ...] = ()
    """Packages of Debian: apt.txt, one in each line; `#` begins a comment."""
    pip: bytes = b""
    """The lines of requirements.txt that ask for something."""
    python: str | None = None
    """.python-version, such as `3.11`; None: any."""


def wishes(folder: Path) -> Wishes:
    """Raises EngineError for what cannot be read."""
    if not folder.is_dir():
        raise EngineError(f"path {folder} is not a folder on the machine of the workers")
    return Wishes(apt=_apt(folder), pip=_pip(folder), python=_python(folder))


def _apt(folder: Path) -> tuple[str, ...]:
    found = []
    for number, line in enumerate(_lines(folder / "apt.txt"), start=1):
        name = line.partition("#")[0].strip()
        if name and not _PACKAGE.fullmatch(name):
            raise EngineError(f"apt.txt line {number}: {name!r} is no package: write one name in each line")
        found += [name] if name else []
    return tuple(found)


def _pip(folder: Path) -> bytes:
    lines = _lines(folder / "requirements.txt")
    return "\n".join(line for line in lines if line.strip() and not line.lstrip().startswith("#")).encode()


def _python(folder: Path) -> str | None:
    lines = [line.strip() for line in _lines(folder / ".python-version") if line.strip()]
    if not lines:
        return None
    match = _PYTHON.fullmatch(lines[0])
    if match is None:
        raise EngineError(f".python-version says {lines[0]!r}; write a version of Python, such as 3.11")
    return match[1]


async def runtime_context(python: str) -> bytes:
    """The context of runtime/Dockerfile for a base image with this Python (`3.11`). Raises EngineError."""
    folder = runtime_folder()
    async with _wheels(folder / "requirements.txt", python) as wheels:
        dockerfile = await asyncio.to_thread((folder / "Dockerfile").read_text)
        return await asyncio.to_thread(tar, dockerfile, {"runtime": folder, "wheels": wheels})


async def packages_context(folder: Path, wanted: Wishes, runtime_image: str, python: str) -> bytes:
    """The context of the image of a folder's packages. Raises EngineError with pip's own words."""
    dockerfile = packages_dockerfile(runtime_image, wanted)
    if not wanted.pip:
        return tar(dockerfile, {})
    file = folder / "requirements.txt"
    async with _wheels(file, python) as wheels:
        return await asyncio.to_thread(tar, dockerfile, {"wheels": wheels, "requirements.txt": file})


def packages_dockerfile(runtime_image: str, wanted: Wishes) -> str:
    steps = [f"FROM {runtime_image}\nUSER 0:0\n"]
    if wanted.apt:
        steps.append(_APT.format(packages=" ".join(wanted.apt)))
    if wanted.pip:
        steps.append(_PIP)
    return "".join([*steps, f"USER {USER}\n"])


def function_context(folder: Path, packages_image: str, environment: Mapping[str, str]) -> bytes:
    """The context of a function's own image."""
    return tar(function_dockerfile(packages_image, environment), {"code": folder})


def function_dockerfile(packages_image: str, environment: Mapping[str, str]) -> str:
    # After the folder, so that all images of a folder share its layer.
    values = "".join(f"ENV {name}={_quoted(value)}\n" for name, value in sorted(environment.items()))
    return f"FROM {packages_image}\nCOPY code {CODE}\n{values}"


def tar(dockerfile: str, parts: Mapping[str, Path]) -> bytes:
    """A build context: the Dockerfile, and files and folders under their names."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(dockerfile.encode())
        archive.addfile(entry, io.BytesIO(dockerfile.encode()))
        for name, path in parts.items():
            archive.add(path, arcname=name, filter=_clean)
    return buffer.getvalue()


@asynccontextmanager
async def _wheels(requirements: Path, python: str) -> AsyncIterator[Path]:
    """A folder with the wheels of all that a file asks for, for as long as the context lasts."""
    target = Path(await asyncio.to_thread(tempfile.mkdtemp))
    pip = (sys.executable, "-m", "pip")
    common = ("--quiet", "--disable-pip-version-check", "-r", str(requirements))
    try:
        if python == f"{sys.version_info.major}.{sys.version_info.minor}":
            await run(*pip, "wheel", *common, "--wheel-dir", str(target))
        else:
            # Nothing can be compiled for another Python than our own: ready wheels only.
            only = ("--only-binary=:all:", "--python-version", python)
            await run(*pip, "download", *common, "--dest", str(target), *only)
        yield target
    finally:
        await asyncio.to_thread(shutil.rmtree, target, ignore_errors=True)


def _clean(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """No caches, and nothing of the host in the image: its layers depend on names and contents alone."""
    if IGNORED.intersection(Path(entry.name).parts):
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry


def _lines(path: Path) -> list[str]:
    return path.read_text(errors="replace").splitlines() if path.is_file() else []


def _quoted(value: str) -> str:
    # A Dockerfile expands $NAME in double quotes; in all else its escapes are JSON's.
    return json.dumps(value, ensure_ascii=False).replace("$", "\\$")
