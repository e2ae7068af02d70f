"""What 500 clients that hang cost those that do not: latency of calls with and without them, in turn.

python -m tests.bench.slow_clients [--slow 500] [--rounds 6] [--seconds 8]

A third sends headers without an end, a third a body without an end, a third says nothing; whoever is closed comes
back. They are a process of their own, of low priority, so that what is measured is the gateway. Goal: the
p99 of normal calls stays within 20 % of what it is without them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import multiprocessing
import os
import statistics
import time

import aiohttp
import psutil

from tests.e2e import specs
from tests.e2e.harness import Stack

GOAL = 1.2
_CALLERS = 4
_DRIP = 1.0
_EVENT = b"POST /v1/functions/echo/invocations HTTP/1.1\r\nHost: localhost\r\n"
_KINDS = ((_EVENT, b"X-Slow: 1\r\n"), (_EVENT + b"Content-Length: 9999\r\n\r\n", b"x"), (b"", b""))


async def hang(port: int, opening: bytes, drip: bytes) -> None:
    """One slow client, for as long as it is let."""
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(opening)
                while not reader.at_eof():
                    writer.write(drip)
                    await writer.drain()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_DRIP):
                            await reader.read(4096)
            finally:
                writer.close()
        await asyncio.sleep(_DRIP)


def hang_all(port: int, count: int) -> None:
    os.nice(10)

    async def all_of_them() -> None:
        await asyncio.gather(*(hang(port, *_KINDS[number % 3]) for number in range(count)))

    asyncio.run(all_of_them())


async def latencies(stack: Stack, seconds: float) -> list[float]:
    """Milliseconds of calls on warm connections, one after the other on each."""
    taken: list[float] = []
    until = time.monotonic() + seconds

    async def call(http: aiohttp.ClientSession) -> None:
        while time.monotonic() < until:
            begun = time.monotonic()
            async with http.post(stack.path("echo"), data=b"hello") as reply:
                assert await reply.read() == b"hello"
            taken.append((time.monotonic() - begun) * 1000)
            await asyncio.sleep(0.005)

    async with aiohttp.ClientSession() as http:
        await asyncio.gather(*(call(http) for _ in range(_CALLERS)))
    return taken


async def measure(stack: Stack, *, slow: int, rounds: int, seconds: float) -> None:
    assert stack.gateway is not None
    gateway = psutil.Process(stack.gateway.pid)
    await latencies(stack, 3.0)
    found: dict[int, list[list[float]]] = {0: [], slow: []}
    cpu = dict.fromkeys(found, 0.0)
    for count in itertools.chain.from_iterable([(0, slow), (slow, 0)] * (rounds // 2)):
        hanging = multiprocessing.get_context("spawn").Process(target=hang_all, args=(stack.port, count))
        hanging.start()
        await asyncio.sleep(5.0)  # all are there
        before = sum(gateway.cpu_times()[:2])
        found[count].append(await latencies(stack, seconds))
        cpu[count] += sum(gateway.cpu_times()[:2]) - before
        hanging.kill()
        hanging.join()
        await asyncio.sleep(1.0)
    for count, slices in found.items():
        middle = statistics.median(statistics.median(one) for one in slices)
        calls = sum(map(len, slices))
        print(
            f"{count:4d} slow clients: p50 {middle:6.2f} ms, p99 {tail(slices):6.2f} ms, "
            f"gateway {cpu[count] / calls * 1000:.2f} ms of CPU per call ({calls} calls)"
        )
    print(f"p99 {tail(found[slow]) / tail(found[0]):.2f} of what it is without them; goal: at most {GOAL}")


def tail(slices: list[list[float]]) -> float:
    """The p99 of the slice in the middle."""
    return statistics.median(statistics.quantiles(one, n=100)[98] for one in slices)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slow", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=8.0)
    given = parser.parse_args()
    with Stack("process") as stack:
        stack.start().deploy(
            {"echo": specs.folder("echo", concurrency=8, scaling={"min": 1, "idle_timeout": "60s"})}
        )
        asyncio.run(measure(stack, slow=given.slow, rounds=given.rounds, seconds=given.seconds))


if __name__ == "__main__":
    main()
