"""What we add to an answer on its way, measured from outside on one machine's clock.

    python -m tests.bench.streaming [--rounds 200]

  first piece   made by the function … in the client's hands, less the same without us      (goal: p99 20 ms)
  held call     the function has answered … its client has the answer                       (goal: p99 20 ms)
  long poll     the function has answered … `GET …?wait=` returns                           (goal: p99 20 ms)

Each piece of the test server's answers carries the time at which it was made. Nothing else should run beside it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import requests

from tests.e2e import specs
from tests.e2e.harness import FUNCTIONS, Stack, free_port, wait_until

GOAL = 20.0
STREAM = {"pieces": 2, "size": 64, "pause": 0.05}
SHORT = {"pieces": 1, "size": 64, "length": True}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, str(FUNCTIONS / "streams" / "server.py")],
        env=os.environ | {"HOST": "127.0.0.1", "PORT": str(port)},
    )
    try:
        with Stack("process") as stack:
            stack.start().deploy({"streams": specs.streams("process", concurrency=4)})
            direct = requests.Session()
            alone = f"http://127.0.0.1:{port}/"
            wait_until(lambda: answers(alone), 10, "the server alone answers")
            trigger, native = f"{stack.url}/fn/streams/", stack.path("streams")
            figures = {
                "first piece, without us": measure(rounds, lambda: first_piece(direct, alone)),
                "first piece, /fn": measure(rounds, lambda: first_piece(stack.http, trigger)),
                "first piece, native": measure(rounds, lambda: first_piece(stack.http, native)),
                "answer, without us": measure(rounds, lambda: held(direct, alone)),
                "held call": measure(rounds, lambda: held(stack.http, native)),
                "long poll": measure(rounds, lambda: long_poll(stack)),
            }
    finally:
        server.kill()
    report(figures, rounds)


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=1).ok
    except requests.ConnectionError:
        return False


def measure(rounds: int, one: Callable[[], float]) -> list[float]:
    """Milliseconds of each, sorted."""
    for _ in range(10):
        one()
    return sorted(one() for _ in range(rounds))


def first_piece(http: requests.Session, url: str) -> float:
    with http.post(url, json=STREAM, stream=True, timeout=10) as response:
        pieces = response.iter_content(64)
        made = since(next(pieces))
        for _ in pieces:
            pass
    return made


def held(http: requests.Session, url: str) -> float:
    return since(http.post(url, json=SHORT, timeout=10).content)


def long_poll(stack: Stack) -> float:
    one = stack.submit("streams", SHORT | {"after": 0.1})["id"]
    record = stack.record("streams", one, wait=20)
    at = time.time()
    assert record["state"] == "succeeded"
    return since(stack.result("streams", one).content, at)


def since(piece: bytes, at: float | None = None) -> float:
    """Milliseconds since the piece was made."""
    match = re.match(rb"\d+ ([\d.]+) ", piece)
    assert match is not None, piece
    return ((at or time.time()) - float(match[1])) * 1000


def report(figures: dict[str, list[float]], rounds: int) -> None:
    print(f"{rounds} rounds, milliseconds")
    print(f"{'':28}{'p50':>8}{'p99':>8}{'max':>8}{'p99 of ours':>13}   goal")
    shown = {}
    for name, values in figures.items():
        base = figures["first piece, without us" if name.startswith("first") else "answer, without us"]
        p50, p99 = statistics.median(values), percentile(values, 0.99)
        ours = p99 - statistics.median(base)
        met = "" if values is base else f"{ours:13.2f}   ≤ {GOAL:g}: {'met' if ours <= GOAL else 'MISSED'}"
        print(f"{name:28}{p50:8.2f}{p99:8.2f}{values[-1]:8.2f}{met}")
        shown[name] = {"p50": p50, "p99": p99, "max": values[-1]}
    print(json.dumps({"rounds": rounds, "ms": shown}))


def percentile(values: list[float], share: float) -> float:
    return values[math.ceil(len(values) * share) - 1]


if __name__ == "__main__":
    main()
