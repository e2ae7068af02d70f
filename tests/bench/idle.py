"""What registered functions cost that nobody calls: CPU and memory of gateway and workers.

python -m tests.bench.idle [--functions 10000] [--seconds 30]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

import psutil

from penstock.function import FunctionSpec
from penstock.store import Store
from tests.e2e.harness import Stack, wait_until


async def register(url: str, count: int) -> None:
    store = Store(url)
    try:
        for first in range(0, count, 500):
            names = [f"idle-{number}" for number in range(first, min(first + 500, count))]
            await asyncio.gather(
                *(store.catalog.deploy(name, FunctionSpec(command=("server", name))) for name in names)
            )
    finally:
        await store.close()


def cost(count: int, seconds: float) -> dict[str, float]:
    """Share of a core and MB, of gateway and workers together, with so many functions registered before."""
    with Stack("process") as stack:
        stack.redis.start()
        asyncio.run(register(stack.redis.url, count))
        stack.start_gateway()
        stack.start_workers()
        assert stack.gateway is not None and stack.workers is not None
        wait_until(stack.ready, 120, "all of them are prepared", every=0.5)
        processes = [psutil.Process(program.pid) for program in (stack.gateway, stack.workers)]
        time.sleep(10)  # what begins with the start has ended
        before = sum(sum(process.cpu_times()[:2]) for process in processes)
        time.sleep(seconds)
        used = sum(sum(process.cpu_times()[:2]) for process in processes) - before
        memory = sum(process.memory_info().rss for process in processes)
        return {"functions": count, "core": used / seconds, "MB": memory / 1e6}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--functions", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args()
    few, many = cost(10, given.seconds), cost(given.functions, given.seconds)
    for one in (few, many):
        print(f"{one['functions']:>7,.0f} functions: {one['core']:.2%} of a core, {one['MB']:.1f} MB")
    print(f"{'more':>7}            {many['core'] - few['core']:.2%} of a core, {many['MB'] - few['MB']:.1f} MB")
    print(json.dumps({"few": few, "many": many}))


if __name__ == "__main__":
    main()
