"""Callbacks owed: claimed by one at a time, tried again later, settled once."""

from __future__ import annotations

from penstock import keys
from tests.unit.penstock.store.world import World


async def owe(world: World) -> str:
    run = await world.run(callback="https://example.com")
    await world.finish(run)
    return run.id


async def claim(world: World, limit: int = 10) -> list[tuple[str, str, int]]:
    return await world.store.outbox.claim(claim_ms=30_000, limit=limit)


async def test_a_claimed_callback_is_nobody_elses_until_the_claim_runs_out(world: World) -> None:
    invocation_id = await owe(world)

    assert await claim(world) == [(world.function, invocation_id, 0)]
    assert await claim(world) == []
    assert await claim(world.later(25_000)) == []
    assert await claim(world.later(31_000)) == [(world.function, invocation_id, 0)]


async def test_callbacks_are_claimed_in_the_order_in_which_they_are_due(world: World) -> None:
    names = [await owe(world.later(age)) for age in (0, 1_000, 2_000)]
    later = world.later(5_000)

    assert [name for _, name, _ in await claim(later, limit=2)] == names[:2]
    assert [name for _, name, _ in await claim(later, limit=2)] == names[2:]


async def test_a_callback_that_is_settled_is_owed_no_more(world: World) -> None:
    invocation_id = await owe(world)
    await claim(world)
    await world.store.outbox.postpone(world.function, invocation_id, 1_000)

    await world.store.outbox.settle(world.function, invocation_id)

    assert await world.store.outbox.size() == 0
    assert await claim(world.later(3_600_000)) == []
    assert await world.redis.hlen(keys.OUTBOX_TRIES) == 0


async def test_a_failed_try_is_counted_and_due_again_after_its_delay(world: World) -> None:
    invocation_id = await owe(world)
    await claim(world)

    assert await world.store.outbox.postpone(world.function, invocation_id, 300_000) == 1
    assert await claim(world.later(290_000)) == []
    later = world.later(301_000)
    assert await claim(later) == [(world.function, invocation_id, 1)]
    assert await later.store.outbox.postpone(world.function, invocation_id, 300_000) == 2


async def test_a_failed_try_of_what_another_has_settled_leaves_nothing_behind(world: World) -> None:
    invocation_id = await owe(world)
    await claim(world)
    await world.store.outbox.settle(world.function, invocation_id)

    assert await world.store.outbox.postpone(world.function, invocation_id, 1_000) == 0
    assert await world.store.outbox.size() == 0
    assert await world.redis.hlen(keys.OUTBOX_TRIES) == 0


async def test_settling_twice_is_no_error(world: World) -> None:
    invocation_id = await owe(world)
    for _ in range(2):
        await world.store.outbox.settle(world.function, invocation_id)

    assert await world.store.outbox.size() == 0
