"""What clients cost that follow jobs in which nothing happens: memory and CPU of the gateway.

python -m tests.bench.sse [--clients 500] [--seconds 30]

Half of them follow a job that waits, half one that runs, each a job of its own. Goals for 500: 40 MB and 2 % of a
core.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

import aiohttp
import psutil

from tests.e2e import specs
from tests.e2e.harness import Stack

GOAL_MB, GOAL_CORE = 40.0, 0.02


async def follow(stack: Stack, jobs: list[str], seconds: float, gateway: psutil.Process) -> dict[str, float]:
    """Cost of one client per job, beyond that of none."""
    before = gateway.memory_info().rss
    idle = await busy(gateway, seconds)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as http:
        replies = []
        for job in jobs:
            reply = await http.get(f"{stack.path('streams', job)}/events")
            assert reply.status == 200
            await reply.content.readuntil(b"\n\n")
            replies.append(reply)
        await asyncio.sleep(5)  # what begins with them is over
        used = await busy(gateway, seconds)
        memory = gateway.memory_info().rss - before
        for reply in replies:
            reply.close()
    return {"clients": len(jobs), "MB": memory / 1e6, "core": used - idle}


async def busy(process: psutil.Process, seconds: float) -> float:
    """Share of a core that it uses."""
    before, began = sum(process.cpu_times()[:2]), time.monotonic()
    await asyncio.sleep(seconds)
    return (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args()
    with Stack("process") as stack:
        running = given.clients // 2
        spec = specs.streams("process", concurrency=running, scaling={"max": 1, "idle_timeout": "10s"})
        stack.start().deploy({"streams": spec})
        stack.call("streams", {})
        order = {"pieces": 2, "pause": 600}
        jobs = [stack.submit("streams", order)["id"] for _ in range(given.clients)]
        assert stack.gateway is not None
        cost = asyncio.run(follow(stack, jobs, given.seconds, psutil.Process(stack.gateway.pid)))
    met = cost["MB"] <= GOAL_MB and cost["core"] <= GOAL_CORE
    print(
        f"{cost['clients']:.0f} clients: {cost['MB']:.1f} MB (goal {GOAL_MB:g}), {cost['core']:.2%} of a core ",
        end="",
    )
    print(f"(goal {GOAL_CORE:.0%}): {'met' if met else 'MISSED'}")
    print(json.dumps(cost))


if __name__ == "__main__":
    main()
