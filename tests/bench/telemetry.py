"""What telemetry costs: throughput of warm calls with it at its defaults and without, in turn on one machine.

python -m tests.bench.telemetry [--rounds 6] [--seconds 6] [--clients 16]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time

import aiohttp
import psutil

from tests.e2e import specs
from tests.e2e.harness import Stack

_FUNCTION = specs.folder("echo", concurrency=16, scaling={"min": 1, "idle_timeout": "1h"})


async def load(url: str, clients: int, seconds: float) -> float:
    """Calls per second of so many clients that each have one call under way."""
    done = 0
    until = time.monotonic() + seconds

    async def client(session: aiohttp.ClientSession) -> None:
        nonlocal done
        while time.monotonic() < until:
            async with session.post(url, data=b"x" * 100) as answer:
                assert answer.status == 200
                await answer.read()
            done += 1

    began = time.monotonic()
    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(client(session) for _ in range(clients)))
    return done / (time.monotonic() - began)


def used(stack: Stack) -> float:
    """Seconds of processor time of gateway and workers so far."""
    assert stack.gateway is not None and stack.workers is not None
    return sum(sum(psutil.Process(one.pid).cpu_times()[:2]) for one in (stack.gateway, stack.workers))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--clients", type=int, default=16)
    given = parser.parse_args()
    rates: dict[str, list[float]] = {"on": [], "off": []}
    costs: dict[str, list[float]] = {"on": [], "off": []}
    with Stack("process") as on, Stack("process", TELEMETRY__ENABLED="false") as off:
        stacks = {"on": on, "off": off}
        for stack in stacks.values():
            stack.start().deploy({"echo": _FUNCTION})
            asyncio.run(load(stack.path("echo"), given.clients, 3.0))
        assert on.http.get(f"{on.url}/metrics").status_code == 200
        assert off.http.get(f"{off.url}/metrics").status_code == 404
        for number in range(given.rounds):
            for name in ("on", "off") if number % 2 else ("off", "on"):
                before = used(stacks[name])
                rate = asyncio.run(load(stacks[name].path("echo"), given.clients, given.seconds))
                rates[name].append(rate)
                costs[name].append((used(stacks[name]) - before) / (rate * given.seconds) * 1e6)
    for name in ("off", "on"):
        rate, cost = statistics.median(rates[name]), statistics.median(costs[name])
        print(f"telemetry {name:3}: {rate:7.0f} calls/s, {cost:6.0f} us of gateway and workers a call")
    share = {
        "throughput": 1 - statistics.median(rates["on"]) / statistics.median(rates["off"]),
        "cpu": statistics.median(costs["on"]) / statistics.median(costs["off"]) - 1,
    }
    print(
        f"it costs {share['throughput']:.1%} of throughput, {share['cpu']:.1%} of processor time (goal: <= 10 %)"
    )
    print(json.dumps({"rates": rates, "us_per_call": costs, "share": share}))


if __name__ == "__main__":
    main()
