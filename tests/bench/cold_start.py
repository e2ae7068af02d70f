"""The platform's own share of a cold start, measured from outside through the public interface.

    python -m tests.bench.cold_start [--engine process|docker] [--rounds 20]

Each round lets the function go to zero, calls it once, and reads the record and the instance:
  arrival → start call    client sends … the engine is asked to start      (goal: 20 ms at most)
  ready → first dispatch  the instance is ready … the run starts           (goal: 10 ms at most)
The rest is the function's own: the engine's start, the interpreter, the import. Times are whole milliseconds of
one machine's clock.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from datetime import datetime
from typing import Any

from penstock.instance import START_STAGES
from tests.e2e import specs
from tests.e2e.harness import Stack, wait_until

GOALS = {"arrival → start call": 20.0, "ready → first dispatch": 10.0}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", choices=["process", "docker"], default="process")
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    with Stack(arguments.engine) as stack:
        stack.start()
        stack.deploy({"echo": specs.folder("echo", scaling={"max": 1, "idle_timeout": "200ms"})})
        rounds = [one_round(stack) for _ in range(arguments.rounds + 1)][1:]  # the first fills caches
    report(arguments.engine, rounds)


def one_round(stack: Stack) -> dict[str, float]:
    """Milliseconds by part of one cold start."""
    stack.gone("echo")
    wait_until(lambda: not instances(stack), 10, "nothing is shown either")
    sent = time.time() * 1000
    reply = stack.call("echo", b"x")
    answered = time.time() * 1000
    assert reply.headers["Penstock-Cold-Start"] == "true", reply.headers
    record = stack.record("echo", reply.headers["Penstock-Invocation-Id"])
    stages = record["timeline"]
    began = milliseconds(wait_until(lambda: instances(stack), 5, "the instance is shown")[0]["started_at"])
    start = sum(stages[stage] for stage in START_STAGES)
    return {
        "arrival → start call": began + stages["pending"] - sent,
        "engine and function start": sum(stages[stage] for stage in START_STAGES[1:]),
        "ready → first dispatch": milliseconds(record["started_at"]) - (began + start),
        "run": stages["running"],
        "whole call": answered - sent,
    }


def instances(stack: Stack) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stack.http.get(f"{stack.url}/v1/functions/echo/instances", timeout=5).json()[
        "instances"
    ]
    return found


def milliseconds(rfc3339: str) -> float:
    return datetime.fromisoformat(rfc3339).timestamp() * 1000


def report(engine: str, rounds: list[dict[str, float]]) -> None:
    print(f"cold start of a Python echo handler, engine {engine}, {len(rounds)} rounds, milliseconds")
    print(f"{'':28}{'median':>9}{'p95':>9}{'max':>9}   goal")
    figures = {}
    for part in rounds[0]:
        values = sorted(one[part] for one in rounds)
        median, p95 = statistics.median(values), values[math.ceil(len(values) * 0.95) - 1]
        goal = GOALS.get(part)
        verdict = "" if goal is None else f"≤ {goal:g}: {'met' if median <= goal else 'MISSED'}"
        print(f"{part:28}{median:9.1f}{p95:9.1f}{values[-1]:9.1f}   {verdict}")
        figures[part] = {"median": median, "p95": p95, "max": values[-1]}
    print(json.dumps({"engine": engine, "rounds": len(rounds), "ms": figures}))


if __name__ == "__main__":
    main()
