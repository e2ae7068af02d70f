"""Batches: filled, sealed, counted exactly once per job, and ended exactly once, whatever comes last."""

from __future__ import annotations

import itertools
import random

import pytest

from penstock import keys
from penstock.batch import FILL_MS, Batch, Opened, Seal
from penstock.errors import BatchSealed, FunctionNotFound, IdempotencyConflict, QueueFull
from penstock.invocation import Idempotency, Invocation, Member, State
from penstock.store import LEASE_MS, Retention
from tests.unit.penstock.store.world import ERROR, MINT, World

URL = "https://example.com/done"
JOB_MS = 60_000
KEY = Idempotency(key="digest of the key", request="hash-1")


async def open_batch(world: World, *, lines: int = 3, **options: object) -> str:
    return (await opened(world, lines=lines, **options)).id


async def opened(
    world: World, *, lines: int = 3, callback: str | None = URL, key: Idempotency | None = None
) -> Opened:
    batch = MINT.new_batch(world.function)
    return await world.store.batches.open(world.function, batch, lines=lines, callback=callback, key=key)


async def add(world: World, batch: str, index: int, *, depth: int = 1_000) -> str:
    member = Member(batch=batch, index=index)
    return await world.submit(id=MINT.member(world.function, batch, index), member=member, depth=depth)


async def seal(world: World, batch: str, why: Seal = Seal.SUBMITTED) -> Seal | None:
    return await world.store.batches.seal(world.function, batch, why)


async def get(world: World, batch: str) -> Batch:
    found = await world.store.batches.get(
        world.function, batch, lambda one: MINT.index(world.function, batch, one) is not None
    )
    assert found is not None
    return found


async def counts(world: World, batch: str) -> dict[State, int]:
    """Those that are not zero."""
    return {state: count for state, count in (await get(world, batch)).counts.items() if count}


async def take(world: World) -> Invocation:
    run = await world.take()
    assert run is not None
    return run.invocation


async def owed(world: World) -> list[str]:
    return list(await world.redis.zrange(keys.OUTBOX, 0, -1))


async def filled(world: World, jobs: int, **options: object) -> str:
    """A sealed batch of so many."""
    batch = await open_batch(world, lines=jobs, **options)
    for index in range(jobs):
        await add(world, batch, index)
    await seal(world, batch)
    return batch


async def test_a_new_batch_has_nothing_and_takes_jobs(world: World) -> None:
    batch = await open_batch(world, lines=7)

    found = await get(world, batch)

    assert (found.function, found.id, found.lines, found.callback) == (world.function, batch, 7, URL)
    assert (found.accepted, found.seal, found.finished_at) == (0, None, None)
    assert set(found.counts) == set(State)
    assert not any(found.counts.values())


async def test_its_jobs_tell_which_batch_they_are_of_and_others_none(world: World) -> None:
    batch = await open_batch(world)

    assert (await world.get(await add(world, batch, 0))).batch == batch
    assert (await take(world)).batch == batch
    assert (await world.get(await world.submit())).batch is None


async def test_it_counts_in_which_states_its_jobs_are(world: World) -> None:
    batch = await filled(world, 6)
    await world.submit()  # of no batch
    await world.finish(await take(world))
    await world.finish(await take(world), ERROR)
    await world.cancel(MINT.member(world.function, batch, 5))
    await take(world)

    assert await counts(world, batch) == {
        State.QUEUED: 2,
        State.RUNNING: 1,
        State.SUCCEEDED: 1,
        State.FAILED: 1,
        State.CANCELLED: 1,
    }


async def test_what_runs_beside_it_is_not_counted(world: World) -> None:
    other, batch = await filled(world, 2), await filled(world, 1)
    single = await world.submit(priority="high")
    assert (await take(world)).id == single
    await take(world)

    assert await counts(world, batch) == {State.QUEUED: 1}
    assert await counts(world, other) == {State.QUEUED: 1, State.RUNNING: 1}


async def test_a_job_that_is_sent_back_counts_as_queued(world: World) -> None:
    batch = await filled(world, 2)
    await world.retry(await take(world))
    await world.release(await take(world))

    assert await counts(world, batch) == {State.QUEUED: 2}


async def test_which_lines_were_accepted_is_known(world: World) -> None:
    batch = await open_batch(world, lines=10_000)
    for index in (0, 7, 8, 4_321, 9_999):
        await add(world, batch, index)

    assert await world.store.batches.accepted(world.function, batch) == [0, 7, 8, 4_321, 9_999]
    assert (await get(world, batch)).accepted == 5


async def test_a_refused_line_is_no_job_of_it(world: World) -> None:
    batch = await open_batch(world)
    await add(world, batch, 0)
    with pytest.raises(QueueFull):
        await add(world, batch, 1, depth=1)

    assert await world.store.batches.accepted(world.function, batch) == [0]


async def test_a_line_submitted_twice_is_one_job(world: World) -> None:
    batch = await open_batch(world)
    for _ in range(2):
        await add(world, batch, 0)
    await seal(world, batch)
    await world.finish(await take(world))
    await add(world, batch, 0)

    found = await get(world, batch)
    assert (found.accepted, found.counts[State.SUCCEEDED]) == (1, 1)
    assert found.finished_at is not None


async def test_it_ends_with_the_last_of_its_jobs_and_owes_one_callback(world: World) -> None:
    batch = await filled(world, 2)
    await world.finish(await take(world))
    assert (await get(world, batch)).finished_at is None
    assert await owed(world) == []

    last = await take(world)
    await world.later(5_000).finish(last)

    found = await get(world, batch)
    assert found.finished_at is not None
    assert 5_000 <= found.finished_at - found.created_at < 8_000
    assert await owed(world) == [f"{world.function} {batch} batch"]


async def test_nothing_counts_twice_whoever_says_it_again(world: World) -> None:
    batch = await filled(world, 2)
    run = await take(world)
    for _ in range(3):
        await world.finish(run)
        await world.cancel(run.id)

    assert await counts(world, batch) == {State.SUCCEEDED: 1, State.QUEUED: 1}
    assert await owed(world) == []


async def test_a_callback_that_was_delivered_is_never_owed_again(world: World) -> None:
    batch = await filled(world, 1)
    run = await take(world)
    await world.finish(run)
    await world.redis.delete(keys.OUTBOX)

    await world.finish(run)
    await world.cancel(run.id)
    await seal(world, batch)
    await seal(world, batch, Seal.CANCELLED)
    await world.later(FILL_MS + 1_000).sweep()

    assert await owed(world) == []


async def test_without_a_callback_none_is_owed(world: World) -> None:
    batch = await filled(world, 1, callback=None)
    await world.finish(await take(world))

    found = await get(world, batch)
    assert found.callback is None
    assert found.finished_at is not None
    assert await owed(world) == []


async def test_it_does_not_end_while_more_jobs_may_come(world: World) -> None:
    batch = await open_batch(world)
    await add(world, batch, 0)
    await world.finish(await take(world))
    assert (await get(world, batch)).finished_at is None

    await add(world, batch, 1)
    await seal(world, batch)
    assert (await get(world, batch)).finished_at is None
    await world.finish(await take(world))
    assert (await get(world, batch)).finished_at is not None


async def test_one_whose_jobs_have_all_ended_ends_when_it_is_sealed(world: World) -> None:
    batch = await open_batch(world)
    await add(world, batch, 0)
    await world.finish(await take(world))

    assert await seal(world, batch) is Seal.SUBMITTED

    assert (await get(world, batch)).finished_at is not None
    assert await owed(world) == [f"{world.function} {batch} batch"]


async def test_one_of_which_every_line_was_refused_ends_at_once(world: World) -> None:
    batch = await filled(world, 0)

    found = await get(world, batch)
    assert (found.accepted, found.seal) == (0, Seal.SUBMITTED)
    assert found.finished_at is not None
    assert await owed(world) == [f"{world.function} {batch} batch"]


@pytest.mark.parametrize("why", [Seal.SUBMITTED, Seal.CANCELLED])
async def test_a_sealed_one_takes_no_more_jobs(world: World, why: Seal) -> None:
    batch = await open_batch(world)
    await add(world, batch, 0)
    await seal(world, batch, why)
    before = await world.snapshot()

    with pytest.raises(BatchSealed, match=batch):
        await add(world, batch, 1)

    assert await world.snapshot() == before
    await add(world, batch, 0)  # what it has, it has


async def test_the_first_reason_to_seal_it_stays(world: World) -> None:
    batch = await open_batch(world)

    assert await seal(world, batch, Seal.CANCELLED) is Seal.CANCELLED
    assert await seal(world, batch, Seal.SUBMITTED) is Seal.CANCELLED
    assert (await get(world, batch)).seal is Seal.CANCELLED


async def test_one_that_nobody_opened_is_none(world: World) -> None:
    batch = MINT.new_batch(world.function)

    assert await seal(world, batch) is None
    assert await world.store.batches.get(world.function, batch, lambda _: False) is None
    assert await world.store.batches.accepted(world.function, batch) == []
    with pytest.raises(BatchSealed):
        await add(world, batch, 0)


async def test_a_batch_of_a_function_that_is_gone_is_refused(world: World) -> None:
    await world.store.catalog.delete(world.function)

    with pytest.raises(FunctionNotFound):
        await open_batch(world)


# Abandoned: whoever fills it dies.


async def test_one_that_nobody_seals_is_sealed_when_its_time_is_over(world: World) -> None:
    batch = await open_batch(world)
    await add(world, batch, 0)
    await world.finish(await take(world))

    await world.later(FILL_MS - 5_000).sweep()
    assert (await get(world, batch)).seal is None
    later = world.later(FILL_MS + 1_000)
    assert await later.is_due(), "the function is looked at, although nothing waits there"
    await later.sweep()

    found = await get(world, batch)
    assert (found.seal, found.accepted) == (Seal.ABANDONED, 1)
    assert found.finished_at is not None
    assert await owed(world) == [f"{world.function} {batch} batch"]
    with pytest.raises(BatchSealed):
        await add(later, batch, 1)


async def test_an_abandoned_one_ends_with_the_jobs_that_it_has(world: World) -> None:
    batch = await open_batch(world)
    for index in range(2):
        await add(world, batch, index)
    later = world.later(FILL_MS + 1_000)
    await later.sweep()
    await later.finish(await take(later))
    assert await owed(world) == []

    await later.finish(await take(later))

    assert (await get(world, batch)).counts[State.SUCCEEDED] == 2
    assert await owed(world) == [f"{world.function} {batch} batch"]


async def test_a_sweep_does_not_forget_one_that_is_being_filled(world: World) -> None:
    await open_batch(world)
    await world.sweep()

    assert not await world.is_due()
    assert await world.later(FILL_MS + 1_000).is_due()


async def test_many_abandoned_ones_are_all_sealed(world: World) -> None:
    for _ in range(230):
        await open_batch(world)
    later = world.later(FILL_MS + 1_000)
    for _ in range(2):
        assert await later.is_due()
        await later.sweep()

    assert len(await owed(world)) == 230
    assert not await later.is_due()


# Idempotency: the same request under the same key.


async def test_the_same_request_under_the_same_key_finds_the_same_batch(world: World) -> None:
    first = await opened(world, key=KEY)
    again = await opened(world, key=KEY)

    assert not first.joined
    assert again == Opened(id=first.id, joined=True)


async def test_another_request_under_the_same_key_is_refused(world: World) -> None:
    first = await open_batch(world, key=KEY)

    with pytest.raises(IdempotencyConflict, match=f"batch {first}"):
        await open_batch(world, key=Idempotency(key=KEY.key, request="hash-2"))


async def test_the_same_request_again_gives_it_more_time(world: World) -> None:
    batch = await open_batch(world, key=KEY)
    await opened(world.later(FILL_MS - 10_000), key=KEY)

    await world.later(FILL_MS + 1_000).sweep()
    assert (await get(world, batch)).seal is None
    await world.later(2 * FILL_MS).sweep()
    assert (await get(world, batch)).seal is Seal.ABANDONED


async def test_the_same_request_again_does_not_open_a_sealed_one(world: World) -> None:
    batch = await filled(world, 1, key=KEY)

    assert await opened(world, key=KEY) == Opened(id=batch, joined=True)
    await world.later(FILL_MS + 1_000).sweep()
    assert (await get(world, batch)).seal is Seal.SUBMITTED


# Retention.


async def test_it_is_kept_from_the_end_of_its_last_job_with_its_key(world: World) -> None:
    world = world.keeping(Retention(job_ms=JOB_MS))
    batch = await filled(world, 2, key=KEY)
    names = [
        keys.batch(world.function, batch),
        keys.batch_accepted(world.function, batch),
        keys.idempotency(world.function, KEY.key),
    ]
    await world.finish(await take(world))
    assert [await world.redis.pttl(name) for name in names] == [-1, -1, -1]

    await world.finish(await take(world))
    for name in names:
        assert JOB_MS - 5_000 < await world.redis.pttl(name) <= JOB_MS, name


async def test_nothing_of_it_is_left_when_it_is_past_its_retention(world: World) -> None:
    world = world.keeping(Retention(job_ms=1))
    batch = await filled(world, 1, key=KEY, callback=None)
    await world.finish(await take(world))
    while await world.redis.exists(keys.batch(world.function, batch)):
        pass
    await world.sweep()

    left = [name for name in await world.snapshot() if batch in name or "filling" in name or "idem" in name]
    assert left == []
    assert (await opened(world, key=KEY)).joined is False


async def test_a_job_that_outlives_its_batch_leaves_nothing_behind(world: World) -> None:
    """As after a restore of Redis from an older copy."""
    batch = await filled(world, 1)
    run = await take(world)
    await world.redis.delete(keys.batch(world.function, batch))

    assert await world.finish(run) is State.SUCCEEDED
    assert not await world.redis.exists(keys.batch(world.function, batch))


# All the ways to an end.


@pytest.mark.parametrize("seed", range(10))
async def test_however_its_jobs_end_it_ends_once(world: World, seed: int) -> None:
    chance = random.Random(seed)
    jobs = 8
    batch = await open_batch(world, lines=jobs)
    for index in range(jobs):
        invocation_id = MINT.member(world.function, batch, index)
        await world.submit(
            id=invocation_id,
            member=Member(batch=batch, index=index),
            attempts=chance.choice([1, 2]),
            max_age_ms=chance.choice([30_000, 10_000_000]),
        )
        if chance.random() < 0.3:
            await world.cancel(invocation_id)
    await seal(world, batch)
    for step in itertools.count(1):
        now = world.later(step * (LEASE_MS + 2_000))
        await now.sweep()
        if (await get(now, batch)).finished_at is not None:
            break
        assert step < 20, "it comes to an end"
        run = await now.take()
        for _ in range(2 if run and chance.random() < 0.6 else 0):  # else its lease runs out
            await now.finish(run.invocation, ERROR)

    found = await get(world, batch)
    states = [await world.state(MINT.member(world.function, batch, index)) for index in range(jobs)]
    assert {state: count for state, count in found.counts.items() if count} == {
        state: states.count(state) for state in set(states)
    }
    assert all(state.terminal for state in states)
    assert await owed(world) == [f"{world.function} {batch} batch"]
