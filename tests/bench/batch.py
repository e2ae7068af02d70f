"""How fast a batch is taken: jobs per second from the request's begin to its 202, with a gateway process and a
Redis that writes its append-only file, and no workers. Single async submits over 16 connections stand beside it.

    python -m tests.bench.batch [--jobs 10000] [--rounds 3] [--bytes 100]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

import aiohttp
import psutil

from penstock.function import FunctionSpec
from penstock.store import Store
from tests.e2e.harness import Stack, wait_until

_CONNECTIONS = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bytes", type=int, default=100)
    given = parser.parse_args()
    with Stack("process") as stack:
        stack.redis.start()
        asyncio.run(deploy(stack.redis.url))
        gateway = stack.start_gateway()
        wait_until(lambda: answers(stack), 20, "the gateway serves")
        process = psutil.Process(gateway.pid)
        line = json.dumps({"text": "x" * given.bytes}).encode()
        figures = [asyncio.run(batch(stack, line, given.jobs, process)) for _ in range(given.rounds)]
        single = asyncio.run(singles(stack, line, min(given.jobs, 2_000)))
    for jobs, seconds, cpu, cancel in figures:
        print(
            f"{jobs} jobs in {seconds:.2f} s: {jobs / seconds:,.0f}/s, gateway {cpu:.2f} s of CPU; "
            f"cancelled in {cancel:.2f} s"
        )
    print(f"one by one over {_CONNECTIONS} connections: {single:,.0f}/s")
    best = min(seconds for _, seconds, _, _ in figures)
    print(json.dumps({"jobs": given.jobs, "per_second": given.jobs / best, "single_per_second": single}))


def answers(stack: Stack) -> bool:
    try:
        return stack.http.get(f"{stack.url}/healthz", timeout=5).status_code == 200
    except OSError:
        return False


async def deploy(url: str) -> None:
    store = Store(url)
    await store.catalog.deploy("bench", FunctionSpec(command=("server",)))
    await store.close()


async def batch(stack: Stack, line: bytes, jobs: int, gateway: psutil.Process) -> tuple[int, float, float, float]:
    """Jobs, seconds until the 202, CPU seconds of the gateway, seconds of the cancel."""
    async with aiohttp.ClientSession(stack.url) as http:
        body, before, began = (line + b"\n") * jobs, sum(gateway.cpu_times()[:2]), time.perf_counter()
        async with http.post("/v1/functions/bench/invocations:batch", data=body) as reply:
            said = await reply.json()
        took, cpu = time.perf_counter() - began, sum(gateway.cpu_times()[:2]) - before
        assert said["accepted"] == jobs, said
        began = time.perf_counter()
        async with http.delete(f"/v1/functions/bench/batches/{said['batch']}") as reply:
            assert (await reply.json())["cancelled"] == jobs
        return jobs, took, cpu, time.perf_counter() - began


async def singles(stack: Stack, line: bytes, jobs: int) -> float:
    """Jobs per second."""
    path, left = "/v1/functions/bench/invocations", iter(range(jobs))

    async def submit(http: aiohttp.ClientSession) -> None:
        for _ in left:
            async with http.post(path, data=line, headers={"Prefer": "respond-async"}) as reply:
                assert reply.status == 202, await reply.text()

    async with aiohttp.ClientSession(stack.url) as http:
        began = time.perf_counter()
        await asyncio.gather(*(submit(http) for _ in range(_CONNECTIONS)))
        return jobs / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
