"""The packages whose servers and workers run in containers of other vendors' contracts, in an environment of their
own: made once below the cache folder, and used as they are."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from tests.conftest import missing
from tests.e2e.harness import FUNCTIONS, Json

REQUIREMENTS = ("cog==0.23.1", "litserve==0.2.19", "runpod==1.12.0")
_STAMP = "complete"

_threads = ThreadPoolExecutor(1, thread_name_prefix="vendors")
_made: Future[str | None] | None = None


def begin() -> Future[str | None]:
    """Makes the environment beside whatever else happens; the future tells why that failed, if it did."""
    global _made
    _made = _made or _threads.submit(_make)
    return _made


def need() -> None:
    """Returns once the environment is there."""
    problem = begin().result()
    if problem is not None:
        missing(f"an environment with {', '.join(REQUIREMENTS)} ({problem})")


def environment() -> Path:
    wanted = hashlib.sha256(repr((REQUIREMENTS, sys.version_info)).encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "penstock" / f"vendors-{wanted}"


def packages() -> Path:
    """The folder with all that was installed. It suits the Python of the base image, which is 3.11."""
    if sys.version_info[:2] != (3, 11):
        missing("Python 3.11")
    return environment() / "lib" / "python3.11" / "site-packages"


def _make() -> str | None:
    folder = environment()
    if (folder / _STAMP).exists():
        return None
    # Bytecode is compiled as it is needed: most of it never is.
    pip = (str(folder / "bin/python"), "-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-compile")
    for command in ((sys.executable, "-m", "venv", "--clear", str(folder)), (*pip, *REQUIREMENTS)):
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode:
            return f"{' '.join(command)}: {done.stderr.strip()[-500:]}"
    (folder / _STAMP).touch()
    return None


def served(folder: str, *command: str, **fields: object) -> Json:
    """A function of the process engine: `python …` of the environment, in a folder of tests/functions."""
    python = environment() / "bin"
    env: Json = {"PATH": f"{python}:{os.environ['PATH']}", **fields.pop("env", {})}  # type: ignore[dict-item]
    scaling: Json = {"max": 1, "idle_timeout": "60s", **fields.pop("scaling", {})}  # type: ignore[dict-item]
    shell = 'cd "$0" && exec python "$@"'
    return {
        "command": ["sh", "-c", shell, str(FUNCTIONS / folder), *command],
        "env": env,
        "scaling": scaling,
        **fields,
    }
