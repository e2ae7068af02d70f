"""How soon a fast receiver of callbacks is told of everything while as much is owed to a slow one.

python -m tests.bench.callbacks [--jobs 1000] [--seconds 2]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Mapping

from aiohttp import web

from penstock.function import FunctionSpec
from penstock.ids import IdMint
from penstock.invocation import Event, Outcome, Request, Response, Submission
from penstock.store import Store
from tests.e2e.harness import Stack, free_port

MINT = IdMint("secret of the bench")
ANSWER = Outcome(event=Event.SUCCEED, response=Response(status=200, size=2), body=b"ok")


class Receivers:
    """A fast one and a slow one, and when each of their callbacks came."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.came: Mapping[str, list[float]] = {"fast": [], "slow": []}
        self.urls = {kind: f"http://127.0.0.1:{free_port()}/" for kind in self.came}

    async def start(self) -> list[web.AppRunner]:
        runners = []
        for kind, url in self.urls.items():
            app = web.Application()
            app.router.add_post("/", getattr(self, kind))
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", int(url.split(":")[2].strip("/"))).start()
            runners.append(runner)
        return runners

    async def fast(self, request: web.Request) -> web.Response:
        await request.read()
        self.came["fast"].append(time.monotonic())
        return web.Response(status=204)

    async def slow(self, request: web.Request) -> web.Response:
        await request.read()
        self.came["slow"].append(time.monotonic())
        await asyncio.sleep(self._seconds)
        return web.Response(status=204)


async def owe(url: str, receivers: Receivers, jobs: int) -> None:
    """So many jobs for each receiver that have ended, and nobody was told yet."""
    store = Store(url)
    await store.catalog.deploy("bench", FunctionSpec(command=("server",)))
    epoch = await store.leadership.lead("bench")
    assert epoch is not None
    for number in range(jobs):
        for called in receivers.urls.values():
            job = MINT.new("bench")
            request = Request(size=2)
            submission = Submission(
                function="bench",
                id=job,
                kind="job",
                request=request,
                body=b"in",
                max_age_ms=86_400_000,
                timeout_ms=60_000,
                callback=f"{called}?{number}",
            )
            await store.queue.submit(submission, depth=10**6)
            run = await store.queue.take("bench", epoch=epoch, slot="s", nonce=job, instance="i")
            assert run is not None
            await store.queue.finish("bench", job, run.invocation.token, ANSWER)
    await store.leadership.bury("bench")
    await store.close()


async def measure(jobs: int, seconds: float) -> dict[str, float]:
    receivers = Receivers(seconds)
    runners = await receivers.start()
    with Stack("process") as stack:
        stack.redis.start()
        await owe(stack.redis.url, receivers, jobs)
        started = time.monotonic()
        stack.start_workers()
        while len(receivers.came["fast"]) < jobs and time.monotonic() - started < 120:
            await asyncio.sleep(0.05)
        told = receivers.came["fast"]
        figures = {
            "jobs": float(jobs),
            "start": told[0] - started,
            "fast": told[-1] - told[0],
            "fast_told": float(len(told)),
            "slow_told": float(len(receivers.came["slow"])),
        }
    for runner in runners:
        await runner.cleanup()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=2.0)
    given = parser.parse_args()
    figures = asyncio.run(measure(given.jobs, given.seconds))
    print(f"workers started → first callback {figures['start']:.2f} s")
    print(
        f"first → last of {figures['fast_told']:,.0f} to the fast receiver {figures['fast']:.2f} s; "
        f"{figures['slow_told']:,.0f} of as many to the one that takes {given.seconds:g} s"
    )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
