"""How long the runtime's own imports take: part of every cold start that is not forked from a warm process.

    python -m tests.bench.runtime_imports [--rounds 20]

Goal: 150 ms at most, the interpreter's own start not included.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
GOAL = 150.0
# What uvicorn imports as late as in Config.load is needed before the first call, too.
SERVER = "import runtime.__main__, uvicorn.protocols.http.httptools_impl, uvicorn.lifespan.on"
PARTS = {
    "asyncio": "import asyncio",
    "uvicorn and httptools": "import uvicorn, uvicorn.protocols.http.httptools_impl, uvicorn.lifespan.on",
    "runtime, all of it": SERVER,
    "runtime, a process of a slot": "import runtime.child",
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    for name, code in PARTS.items():
        times = sorted(milliseconds(code) for _ in range(rounds))
        goal = f"   goal {GOAL:g}" if code == SERVER else ""
        print(f"{name:32} p50 {statistics.median(times):6.1f} ms   worst {times[-1]:6.1f} ms{goal}")


def milliseconds(code: str) -> float:
    """Of the processor, in one fresh process: other load on the machine changes that least."""
    timed = f"import time; began = time.process_time()\n{code}\nprint((time.process_time() - began) * 1000)"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-P", "-c", timed]
    return float(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)


if __name__ == "__main__":
    main()
