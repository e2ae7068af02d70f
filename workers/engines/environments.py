"""Virtual environments for the process engine: one per content of requirements.txt, made at deploy.

A function without requirements runs on Penstock's own interpreter and needs nothing made.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import shutil
import sys
from pathlib import Path

from workers.engines import EngineError


def runtime_folder() -> Path:
    """Where the runtime package is; it is copied, never imported, since it runs elsewhere."""
    spec = importlib.util.find_spec("runtime")
    assert spec is not None and spec.origin is not None, "the distribution carries the runtime"
    return Path(spec.origin).parent


def runtime_digest() -> str:
    """Changes whenever a file of the runtime does."""
    digest = hashlib.sha256()
    for path in sorted(runtime_folder().glob("*")):
        if path.is_file():
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


class Environments:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._making: dict[str, asyncio.Task[None]] = {}

    def python(self, folder: Path) -> Path:
        """The interpreter for a function's folder; `make` must have been called for it."""
        requirements = _requirements(folder)
        if requirements is None:
            return Path(sys.executable)
        return self._root / self._name(requirements) / "bin" / "python"

    async def make(self, folder: Path) -> None:
        """Makes the environment unless it is there. Raises EngineError with pip's own words."""
        requirements = _requirements(folder)
        if requirements is None:
            return
        name = self._name(requirements)
        task = self._making.get(name)
        if task is None:
            task = self._making[name] = asyncio.create_task(self._make(name, requirements))
            task.add_done_callback(lambda _: self._making.pop(name, None))
        await asyncio.shield(task)

    def _name(self, requirements: bytes) -> str:
        key = requirements + sys.version.encode() + runtime_digest().encode()
        return hashlib.sha256(key).hexdigest()[:24]

    async def _make(self, name: str, requirements: bytes) -> None:
        target = self._root / name
        if (target / "complete").exists():
            return
        # Made in place, since scripts of an environment hold its own path; a half-made one has no mark.
        await asyncio.to_thread(shutil.rmtree, target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        await run(sys.executable, "-m", "venv", str(target))
        (target / "requirements.txt").write_bytes(requirements)
        await run(
            *(str(target / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("-r", str(runtime_folder() / "requirements.txt"), "-r", str(target / "requirements.txt")),
        )
        packages = next((target / "lib").glob("python3*")) / "site-packages"
        shutil.copytree(runtime_folder(), packages / "runtime", ignore=shutil.ignore_patterns("__pycache__"))
        (target / "complete").touch()


def _requirements(folder: Path) -> bytes | None:
    path = folder / "requirements.txt"
    return path.read_bytes() if path.exists() else None


async def run(*command: str) -> str:
    """Runs a tool to its end; its standard output. Raises EngineError with the last lines that it wrote."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    if process.returncode != 0:
        tail = "\n".join(output.decode(errors="replace").strip().splitlines()[-8:])
        raise EngineError(
            f"`{' '.join(Path(command[0]).name if i == 0 else c for i, c in enumerate(command[:4]))} …`"
            f" ended with {process.returncode}: {tail}"
        )
    return output.decode(errors="replace")
