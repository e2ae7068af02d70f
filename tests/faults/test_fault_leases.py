"""A thousand leases that ran out, and all who reach for them at once: the store alone, on a real Redis."""

from __future__ import annotations

import asyncio
import tempfile
import time
import uuid
from collections import Counter
from pathlib import Path

from penstock.invocation import Event, Invocation, Outcome, Response, State
from penstock.store import LEASE_MS, Store
from tests.conftest import RedisServer
from tests.faults.deployment import measured
from tests.unit.penstock.store.world import World, open_world

JOBS = 1000
SWEEPERS, TAKERS = 2, 4
LATER = LEASE_MS + 2_000
"""Milliseconds after which a lease has run out of which nobody heard."""


def test_two_sweepers_and_four_takers_race_on_a_thousand_expired_leases() -> None:
    with tempfile.TemporaryDirectory(prefix="ps-") as folder:
        redis = RedisServer(Path(folder))
        redis.start()
        try:
            asyncio.run(race(redis.url))
        finally:
            redis.kill()


async def race(url: str) -> None:
    async with open_world(url, "work") as world:
        jobs = [await world.submit(depth=JOBS, attempts=3, body=b"%d" % n) for n in range(JOBS)]
        first = [run for _ in jobs if (run := await world.take()) is not None]
        assert {run.invocation.id for run in first} == set(jobs)

        # Each expires twice: after the first time whoever takes it falls silent as well, and only then it ends.
        lost = [run.invocation for run in first]
        for expiry in (1, 2):
            began = time.monotonic()
            requeued, taken = await rush(world, url, expiry * LATER)
            measured(f"{JOBS} expired leases requeued and taken again, time {expiry}", time.monotonic() - began)
            assert requeued == JOBS, "each was requeued once"
            assert Counter(run.id for run in taken) == Counter(jobs), "and taken once"
            assert {(run.token, run.attempt) for run in taken} == {(expiry + 1, expiry + 1)}
            assert {await world.finish(one, answer(one)) for one in lost} == {None}, "its last owner is late"
            assert await world.redis.zcard("ps:{work}:running") == JOBS
            lost = taken

        later = world.later(2 * LATER)
        assert {await later.finish(one, answer(one)) for one in lost} == {State.SUCCEEDED}
        for n, job in enumerate(jobs):
            found, ending = await world.get(job), await world.store.invocations.ending("work", job)
            assert (found.state, found.attempt) == (State.SUCCEEDED, 3)
            assert ending is not None and ending.body == f"{job} 3".encode(), "another run's result"
            assert await world.store.invocations.body("work", job) == b"%d" % n
        assert {await world.redis.zcard(f"ps:{{work}}:{name}") for name in ("queued", "running", "delayed")} == {0}
        swept = await later.sweep()
        assert (swept.requeued, swept.failed, swept.queued, swept.running) == (0, 0, 0, 0)


def answer(run: Invocation) -> Outcome:
    """Of this run and no other."""
    body = f"{run.id} {run.token}".encode()
    return Outcome(event=Event.SUCCEED, response=Response(status=200, size=len(body)), body=body)


async def rush(world: World, url: str, offset: int) -> tuple[int, list[Invocation]]:
    """All at once, each on a connection of its own; how many were requeued, and what was taken."""
    taken: list[Invocation] = []
    over = asyncio.Event()

    async def sweeper(store: Store) -> int:
        requeued = 0
        while not over.is_set():
            swept = await store.queue.sweep("work", epoch=world.epoch, requeue=True)
            assert (swept.failed, swept.expired) == (0, 0)
            requeued += swept.requeued
        return requeued

    async def taker(store: Store, slot: str) -> None:
        while not over.is_set():
            run = await store.queue.take(
                "work", epoch=world.epoch, slot=slot, nonce=uuid.uuid4().hex, instance="instance-1"
            )
            if run is not None:
                taken.append(run.invocation)
            if len(taken) >= JOBS:
                over.set()

    stores = [Store(url, clock_offset=offset) for _ in range(SWEEPERS + TAKERS)]
    try:
        async with asyncio.timeout(30):
            await asyncio.gather(*(store.ping() for store in stores))  # connected: none has a head start
            sweeping = [asyncio.create_task(sweeper(store)) for store in stores[:SWEEPERS]]
            await asyncio.gather(*(taker(store, f"slot-{n}") for n, store in enumerate(stores[SWEEPERS:])))
            counts = await asyncio.gather(*sweeping)
    finally:
        for store in stores:
            await store.close()
    assert min(counts) > 0, "both sweepers found some"
    return sum(counts), taken
