"""Build contexts for functions that bring only a Python folder: tar archives, made without a Docker client.

Two layers of images: the runtime (base image + our HTTP server), shared by all functions, and per function its
requirements and its folder. Wheels are made on the host, since a build may reach no package index; the folder
travels in the context, since the daemon may not see our file system.
"""

from __future__ import annotations

import io
import sys
import tarfile
import tempfile
from pathlib import Path

from penstock.code import IGNORED
from workers.engines.environments import run, runtime_folder

_FUNCTION = """\
FROM {runtime}
COPY wheels /tmp/wheels
COPY requirements.txt /tmp/requirements.txt
RUN python -m pip install --no-cache-dir --no-index --find-links /tmp/wheels -r /tmp/requirements.txt
COPY code /code
"""

_PLAIN_FUNCTION = """\
FROM {runtime}
COPY code /code
"""


async def runtime_context(python: str) -> bytes:
    """The context of runtime/Dockerfile for a base image with this Python (`3.11`). Raises EngineError."""
    folder = runtime_folder()
    with tempfile.TemporaryDirectory() as wheels:
        await _wheels(folder / "requirements.txt", Path(wheels), python)
        return _tar({"runtime": folder, "wheels": Path(wheels)}, (folder / "Dockerfile").read_text())


async def function_context(folder: Path, runtime_image: str, python: str) -> bytes:
    """The context of a function's own image. Raises EngineError."""
    requirements = folder / "requirements.txt"
    if not requirements.exists():
        return _tar({"code": folder}, _PLAIN_FUNCTION.format(runtime=runtime_image))
    with tempfile.TemporaryDirectory() as wheels:
        await _wheels(requirements, Path(wheels), python)
        parts = {"code": folder, "wheels": Path(wheels), "requirements.txt": requirements}
        return _tar(parts, _FUNCTION.format(runtime=runtime_image))


async def _wheels(requirements: Path, target: Path, python: str) -> None:
    pip = (sys.executable, "-m", "pip")
    common = ("--quiet", "--disable-pip-version-check", "-r", str(requirements))
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    if python == ours:
        await run(*pip, "wheel", *common, "--wheel-dir", str(target))
    else:
        # Nothing can be compiled for another Python than our own: ready wheels only.
        await run(
            *pip, "download", *common, "--dest", str(target), "--only-binary=:all:", "--python-version", python
        )


def _tar(parts: dict[str, Path], dockerfile: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(dockerfile.encode())
        archive.addfile(entry, io.BytesIO(dockerfile.encode()))
        for name, path in parts.items():
            archive.add(path, arcname=name, filter=_clean)
    return buffer.getvalue()


def _clean(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """No caches, and nothing of the host in the image: its layers depend on names and contents alone."""
    if IGNORED.intersection(Path(entry.name).parts):
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry
