"""What callbacks are to be told: written with what happened, claimed by one at a time."""

from __future__ import annotations

import itertools

import pytest

from penstock import keys
from penstock.events import Kind
from penstock.invocation import CallbackEvent, Invocation
from penstock.store.scripts import UPDATE_INTERVAL_MS
from tests.unit.penstock.store.world import World

URL = "https://example.com/done"


async def owe(world: World) -> str:
    run = await world.run(callback=URL)
    await world.finish(run)
    return run.id


async def claim(world: World, limit: int = 10) -> list[tuple[str, str, str]]:
    return await world.store.outbox.claim(claim_ms=30_000, limit=limit)


async def owed(world: World) -> set[str]:
    """What is owed, now or later."""
    return {member.split()[2] for member in await world.redis.zrange(keys.OUTBOX, 0, -1)}


async def test_what_is_claimed_is_nobody_elses_until_the_claim_runs_out(world: World) -> None:
    invocation_id = await owe(world)

    assert await claim(world) == [(world.function, invocation_id, "completed")]
    assert await claim(world) == []
    assert await claim(world.later(25_000)) == []
    assert await claim(world.later(31_000)) == [(world.function, invocation_id, "completed")]


async def test_it_is_claimed_in_the_order_in_which_it_is_due(world: World) -> None:
    names = [await owe(world.later(age)) for age in (0, 1_000, 2_000)]
    later = world.later(5_000)

    assert [name for _, name, _ in await claim(later, limit=2)] == names[:2]
    assert [name for _, name, _ in await claim(later, limit=2)] == names[2:]


async def test_each_start_of_a_run_is_owed_if_it_was_asked_for(world: World) -> None:
    run = await world.run(callback=URL, callback_events=("started", "completed"))
    assert await owed(world) == {"started"}
    await world.finish(run)
    assert await owed(world) == {"started", "completed"}


@pytest.mark.parametrize("events", [("started",), ("progress",), ("progress", "output")])
async def test_an_end_that_was_not_asked_for_is_not_owed(world: World, events: tuple[CallbackEvent, ...]) -> None:
    await world.finish(await world.run(callback=URL, callback_events=events))
    assert "completed" not in await owed(world)


@pytest.mark.parametrize(("kind", "expected"), [("job", {"completed"}), ("call", set())])
async def test_the_functions_own_endpoints_are_owed_the_end_of_jobs_alone(
    world: World, kind: str, expected: set[str]
) -> None:
    await world.finish(await world.run(kind=kind, destinations=True))
    assert await owed(world) == expected


async def test_a_call_that_became_a_job_is_one(world: World) -> None:
    run = await world.run(kind="call", destinations=True)
    await world.store.queue.detach(world.function, run.id)
    await world.finish(run)
    assert await owed(world) == {"completed"}


_numbers = itertools.count(1)


async def update(world: World, run: Invocation, what: Kind) -> None:
    """The run says something."""
    assert await world.store.events.emit(
        world.function, run.id, run.token, [(what, '{"progress":0.5}')], first=next(_numbers)
    )


async def told(world: World, run: Invocation, what: str) -> None:
    """What is owed becomes deliveries."""
    assert await world.store.deliveries.owe(world.function, run.id, what, [])


async def due(world: World, what: str) -> list[float]:
    members = await world.redis.zrange(keys.OUTBOX, 0, -1, withscores=True)
    return [score for member, score in members if member.endswith(what)]


@pytest.mark.parametrize("what", ["progress", "output"])
async def test_an_update_is_owed_at_once_and_the_next_half_a_second_later(world: World, what: Kind) -> None:
    run = await world.run(callback=URL, callback_events=("progress", "output"))
    await update(world, run, what)
    [first] = await due(world, what)
    await update(world, run, what)
    assert await due(world, what) == [first], "one that is still owed tells of both"

    await told(world, run, what)
    await update(world, run, what)
    assert await due(world, what) == [first + UPDATE_INTERVAL_MS]


async def test_after_a_pause_an_update_has_nothing_to_wait_for(world: World) -> None:
    run = await world.run(callback=URL, callback_events=("progress",))
    await update(world, run, "progress")
    await told(world, run, "progress")
    record = keys.record(world.function, run.id)
    before = float(await world.redis.hget(record, "owed:progress")) - 10_000
    await world.redis.hset(record, "owed:progress", before)
    await update(world, run, "progress")
    [later] = await due(world, "progress")
    assert later >= before + 10_000


@pytest.mark.parametrize("said", ["output", "log"])
async def test_an_update_that_nobody_asked_for_is_not_owed(world: World, said: Kind) -> None:
    run = await world.run(callback=URL, callback_events=("progress",))
    await update(world, run, said)
    assert await owed(world) == set()
