"""What a job that waits costs Redis, with the limits that Redis ships with."""

from __future__ import annotations

import asyncio
import os

from penstock.invocation import Request
from tests.unit.penstock.store.world import World

JOBS = 5_000
SIZE = 1_024


async def test_ten_thousand_jobs_of_1_kib_cost_at_most_22_mb(world: World) -> None:
    request = Request(headers=(("Content-Type", "application/octet-stream"),), size=SIZE)

    async def used() -> int:
        return int((await world.redis.info("memory"))["used_memory"])

    await world.submit(request=request, body=os.urandom(SIZE), depth=JOBS)
    before = await used()
    for _ in range(JOBS // 500):
        await asyncio.gather(
            *(world.submit(request=request, body=os.urandom(SIZE), depth=2 * JOBS) for _ in range(500))
        )
    assert (await used() - before) / JOBS * 10_000 <= 22e6
