"""What functions used, on a real Redis: added once, by the leader alone, kept for as long as a bill may ask."""

from __future__ import annotations

import pytest

from penstock import keys
from penstock.errors import Stale
from penstock.usage import KEPT_DAYS, Usage
from tests.unit.penstock.store.world import World

DAY, NEXT = "2026-03-01", "2026-03-02"
USED = Usage(calls=3, on_demand=10_000, on_demand_busy=1_500, on_demand_busy_gb=6_000)


async def add(world: World, day: str, usage: Usage, batch: str, *, epoch: int | None = None) -> None:
    await world.store.meters.add(world.function, day, usage, epoch=epoch or world.epoch, batch=batch)


async def test_what_was_added_reads_back_and_adds_up(world: World) -> None:
    await add(world, DAY, USED, "1-1")
    await add(world, DAY, USED, "1-2")
    assert await world.store.meters.get(DAY) == {world.function: USED + USED}


async def test_a_day_on_which_nothing_was_used_is_empty(world: World) -> None:
    assert await world.store.meters.get(DAY) == {}


async def test_days_and_functions_are_kept_apart(world: World) -> None:
    await add(world, DAY, USED, "1-1")
    await add(world, NEXT, Usage(calls=1), "1-2")
    await world.store.meters.add("other", NEXT, Usage(gpu=5), epoch=world.epoch, batch="1-3")
    assert await world.store.meters.get(DAY) == {world.function: USED}
    assert await world.store.meters.get(NEXT) == {"other": Usage(gpu=5), world.function: Usage(calls=1)}


async def test_a_batch_whose_reply_was_lost_counts_once(world: World) -> None:
    await add(world, DAY, USED, "1-1")
    await add(world, DAY, USED, "1-1")
    assert await world.store.meters.get(DAY) == {world.function: USED}


async def test_the_next_leader_adds_to_what_is_there(world: World) -> None:
    await add(world, DAY, USED, "1-1")
    await world.store.leadership.resign("leader-1")
    epoch = await world.store.leadership.lead("leader-2")
    assert epoch is not None
    assert epoch != world.epoch
    await add(world, DAY, USED, f"{epoch}-1", epoch=epoch)
    assert await world.store.meters.get(DAY) == {world.function: USED + USED}


async def test_a_deposed_leader_adds_nothing(world: World) -> None:
    before = await world.snapshot()
    with pytest.raises(Stale, match="no longer leads"):
        await add(world, DAY, USED, "1-1", epoch=world.epoch + 1)
    assert await world.snapshot() == before


async def test_it_expires_400_days_after_the_last_that_was_added(world: World) -> None:
    await add(world, DAY, USED, "1-1")
    for key in (keys.meter(world.function, DAY), keys.metered(DAY)):
        assert KEPT_DAYS * 86_400 - 60 < await world.redis.ttl(key) <= KEPT_DAYS * 86_400
        await world.redis.expire(key, 10)
    await add(world, DAY, USED, "1-2")
    for key in (keys.meter(world.function, DAY), keys.metered(DAY)):
        assert await world.redis.ttl(key) > 86_400, "the clock starts anew"


async def test_sums_stay_whole_beyond_what_a_float_holds(world: World) -> None:
    huge = Usage(on_demand_gb=2**53)
    await add(world, DAY, huge, "1-1")
    await add(world, DAY, Usage(on_demand_gb=1), "1-2")
    assert (await world.store.meters.get(DAY))[world.function].on_demand_gb == 2**53 + 1


async def test_what_a_later_version_adds_is_no_obstacle(world: World) -> None:
    await add(world, DAY, USED, "1-1")
    await world.redis.hset(keys.meter(world.function, DAY), "of_a_later_version", 7)
    assert await world.store.meters.get(DAY) == {world.function: USED}
