"""Load on a deployment, and what is seen of its instances meanwhile."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import missing
from tests.e2e.harness import Stack


@contextmanager
def watched(stack: Stack, function: str) -> Iterator[list[int]]:
    """How many instances there are, looked at from outside all the time."""
    counts: list[int] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            counts.append(len(stack.instances(function)))
            stop.wait(0.05)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield counts
    finally:
        stop.set()
        thread.join()


def ab(url: str, body: Path, kind: str, *, requests: int, clients: int) -> str:
    """What ab says of so many posts of a file by so many clients at a time."""
    if shutil.which("ab") is None:
        missing("ab (apache2-utils)")
    numbers = ("-n", str(requests), "-c", str(clients))
    done = subprocess.run(
        ["ab", "-q", "-l", *numbers, "-p", body, "-T", kind, url],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def field(report: str, name: str) -> int:
    """A number that ab says."""
    found = re.search(rf"^{name}: +(\d+)$", report, re.MULTILINE)
    assert found, report
    return int(found[1])
