"""Limits of a key and of a function: by Redis's clock, for all gateways together, and never leaking."""

from __future__ import annotations

import pytest

from penstock import keys
from penstock.errors import InFlightLimited, QueueFull, RateLimited
from penstock.limits import Limits
from tests.unit.penstock.store.world import World

FIVE = Limits(rate=0.1, burst=5)
"""Another one every 10 s, which no slow machine comes near."""


async def accepted(world: World, count: int, **options: object) -> int:
    """How many of so many are accepted."""
    done = 0
    for _ in range(count):
        try:
            await world.submit(**options)
            done += 1
        except RateLimited:
            pass
    return done


async def test_so_many_are_accepted_at_once_and_then_one_by_one(world: World) -> None:
    options = {"limits": ((None, FIVE),)}
    assert await accepted(world, 10, **options) == 5
    assert await accepted(world.later(10_000), 10, **options) == 1
    assert await accepted(world.later(35_000), 10, **options) == 2
    assert await accepted(world.later(1_000_000), 10, **options) == 5


async def test_a_refusal_says_truly_when_to_come_again(world: World) -> None:
    options = {"limits": (("key1", FIVE),)}
    await accepted(world, 5, **options)
    with pytest.raises(RateLimited, match=r"key key1 is limited to 6/m: come again in 10 s") as refused:
        await world.submit(**options)
    assert refused.value.retry_after == 10
    later = world.later(1_000 * refused.value.retry_after)
    assert await accepted(later, 2, **options) == 1


async def test_each_key_has_its_own_rate_and_the_function_one_for_all(world: World) -> None:
    of_function = (None, Limits(rate=0.01, burst=7))
    assert await accepted(world, 10, limits=(("a", FIVE), of_function)) == 5
    assert await accepted(world, 10, limits=(("b", FIVE), of_function)) == 2


async def test_what_is_refused_costs_nothing(world: World) -> None:
    narrow, wide = (None, Limits(rate=0.1, burst=1)), ("a", FIVE)
    assert await accepted(world, 5, limits=(wide, narrow)) == 1
    assert await accepted(world, 10, limits=(wide,)) == 4
    with pytest.raises(QueueFull):
        await world.submit(depth=1, limits=(("b", FIVE),))
    assert await accepted(world, 10, limits=(("b", FIVE),)) == 5


async def test_to_submit_the_same_again_costs_nothing(world: World) -> None:
    submission = world.submission(limits=((None, FIVE),))
    for _ in range(10):
        await world.store.queue.submit(submission, depth=1_000)
    assert await accepted(world, 10, limits=((None, FIVE),)) == 4


@pytest.mark.parametrize("whose", [None, "key1"])
async def test_so_many_are_in_flight_until_one_has_ended(world: World, whose: str | None) -> None:
    options = {"limits": ((whose, Limits(in_flight=3)),)}
    assert await accepted(world, 5, **options) == 3
    run = await world.take()
    assert run is not None
    with pytest.raises(InFlightLimited, match="limited to 3 calls in flight, and has 3"):
        await world.submit(**options)
    await world.finish(run.invocation)
    assert await accepted(world, 5, **options) == 1


@pytest.mark.parametrize("whose", [None, "key1"])
async def test_every_end_gives_its_place_back(world: World, whose: str | None) -> None:
    options = {"limits": ((whose, Limits(in_flight=2)),), "max_age_ms": 50_000}
    first, second = await world.submit(**options), await world.submit(**options, delay_ms=10_000)
    assert await accepted(world, 1, **options) == 0
    await world.cancel(first)
    assert await accepted(world, 2, **options) == 1
    later = world.later(100_000)
    await later.sweep()
    assert (await later.get(second)).state.terminal
    assert await accepted(later, 5, **options) == 2


async def test_a_retry_keeps_its_place_in_flight(world: World) -> None:
    options = {"limits": (("key1", Limits(in_flight=1)),)}
    run = await world.run(**options)
    await world.retry(run, delay_ms=1_000)
    assert await accepted(world, 1, **options) == 0


async def test_what_was_lost_with_its_record_does_not_stand_in_the_way_for_ever(world: World) -> None:
    options = {"limits": (("key1", Limits(in_flight=1)),)}
    lost = await world.submit(**options)
    await world.redis.delete(keys.record(world.function, lost))
    assert await accepted(world, 1, **options) == 1


async def test_without_limits_nothing_is_kept(world: World) -> None:
    run = await world.run()
    assert "flies" not in await world.redis.hkeys(keys.record(world.function, run.id))
    assert not await world.redis.keys("ps:apikey:*")
    assert not await world.redis.exists(keys.rate(world.function))


async def test_what_is_limited_is_forgotten_when_it_is_over(world: World) -> None:
    run = await world.run(limits=(("key1", Limits(in_flight=3, rate=10.0)),))
    assert 0 < await world.redis.pttl(keys.key_rate("key1")) <= 100
    await world.finish(run)
    assert not await world.redis.exists(keys.key_flying("key1"))
