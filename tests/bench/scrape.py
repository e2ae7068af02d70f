"""How long a scrape takes with 10,000 functions, and what the series of a busy function take in Redis.

python -m tests.bench.scrape [--functions 10000]

First a deployment where each function has a job that waits, with the default limit of names; then the text alone,
of functions that have all been called, with that limit and without one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from typing import Any

import requests

from penstock import keys
from penstock.function import FunctionSpec
from penstock.ids import IdMint
from penstock.invocation import Event, Outcome, Request, State, Submission
from penstock.series import Point, bucket
from penstock.settings import TelemetrySettings
from penstock.store import Store
from penstock.telemetry.setup import Telemetry
from tests.e2e.harness import Stack, wait_until
from tests.unit.workers.samples import invocation
from workers.figures import Figures


async def fill(stack: Stack, count: int) -> None:
    """Registers functions, each with a job that is due in an hour."""
    store, mint = Store(stack.redis.url), IdMint(stack.environment["PENSTOCK_SECRET"])
    for first in range(0, count, 500):
        names = [f"active-{number}" for number in range(first, min(first + 500, count))]
        await asyncio.gather(*(store.catalog.deploy(name, FunctionSpec(command=("server",))) for name in names))
        jobs = [
            Submission(
                function=name,
                id=mint.new(name),
                kind="job",
                request=Request(size=1),
                body=b"x",
                max_age_ms=10_000_000,
                timeout_ms=1_000,
                delay_ms=3_600_000,
            )
            for name in names
        ]
        await asyncio.gather(*(store.queue.submit(job, depth=10) for job in jobs))
    await store.close()


def scrapes(stack: Stack, times: int = 7) -> tuple[float, int]:
    """Median seconds, and lines."""
    took, lines = [], 0
    for _ in range(times):
        began = time.monotonic()
        answer = requests.get(f"{stack.url}/metrics", timeout=60)
        took.append(time.monotonic() - began)
        assert answer.status_code == 200
        lines = answer.text.count("\n")
    return statistics.median(took), lines


async def text(count: int, most: int) -> tuple[float, int, float]:
    """Seconds and lines of an exposition of functions that have been called, and us of counting one call."""
    telemetry = Telemetry(TelemetrySettings(), "workers", "bench")
    figures = Figures(telemetry.metrics, most=most)
    one, outcome = invocation(token=1, started_at=2, created_at=1), Outcome(event=Event.SUCCEED)
    began = time.perf_counter()
    for number in range(count):
        function = figures.of(f"active-{number}")
        for _ in range(5):
            function.began(one, at_once=1)
            function.ran(0.01, provisioned=False)
            function.ended(State.SUCCEEDED, outcome, 0.02, dead=False)
    made = time.perf_counter() - began
    began = time.perf_counter()
    for _ in range(20_000):
        function = figures.of("active-1")
        function.began(one, at_once=1)
        function.ran(0.01, provisioned=False)
        function.ended(State.SUCCEEDED, outcome, 0.02, dead=False)
    counted = (time.perf_counter() - began) / 20_000 * 1e6
    assert made > 0
    began = time.perf_counter()
    said = await telemetry.exposition()
    return time.perf_counter() - began, said.count("\n"), counted


async def series(url: str) -> dict[str, float]:
    """Bytes in Redis of an hour of seconds and a week of minutes, of a function that is never idle."""
    store: Store | None = None
    try:
        for second in range(3_600):
            if second % 60 == 0:
                if store is not None:
                    await store.close()
                store = Store(url)
            assert store is not None
            store._connection.clock_offset = second * 1_000
            await store.series.add("busy", point(second))
        assert store is not None
        memory: dict[str, float] = {"seconds": await size(store, keys.seconds("busy"))}
        memory["a minute"] = await size(store, keys.minutes("busy")) / 59
    finally:
        if store is not None:
            await store.close()
    memory["a week of minutes"] = memory["a minute"] * 7 * 24 * 60
    return memory


def point(second: int) -> Point:
    """As of a function that is called 50 times a second, on a card."""
    runs = {bucket(0.01 * 1.1 ** (second % 7 + step)): 10 for step in range(5)}
    counts: Point = {"s": 1, "n": 50, "p": 25, "r": 50, "t": 0.7345, "l": 0.9123, "ln": 50, "d": runs}
    return counts | {"c": 4, "od": 1, "pr": 2, "gm": 0.4312, "gmn": 1, "gs": 0.77, "gsn": 1}


async def size(store: Store, key: str) -> int:
    return int(await store._connection.command("MEMORY", "USAGE", key, "SAMPLES", 0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--functions", type=int, default=10_000)
    given = parser.parse_args()
    found: dict[str, Any] = {}
    with Stack("process") as stack:
        stack.redis.start()
        asyncio.run(fill(stack, given.functions))
        stack.start_gateway()
        stack.start_workers()
        wait_until(stack.ready, 120, "all of them are prepared", every=0.5)
        time.sleep(3)
        seconds, lines = scrapes(stack)
        found["deployment"] = {"seconds": seconds, "lines": lines}
        print(f"{given.functions} functions with a job each, default names: {seconds:.3f} s, {lines} lines")
        found["series"] = asyncio.run(series(stack.redis.url))
    for most in (500, given.functions):
        seconds, lines, counted = asyncio.run(text(given.functions, most))
        found[f"text of {most}"] = {"seconds": seconds, "lines": lines, "us_per_call": counted}
        print(f"all called, {most} names: {seconds:.3f} s, {lines} lines; {counted:.1f} us of counting for a call")
    for what, number in found["series"].items():
        print(f"series of a busy function, {what}: {number:,.0f} bytes")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
