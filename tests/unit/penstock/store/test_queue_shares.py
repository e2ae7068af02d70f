"""Parties that share a function's queue: each has its turn, however much another has submitted."""

from __future__ import annotations

from penstock import keys
from tests.unit.penstock.store.world import World


async def taken(world: World, count: int) -> list[str]:
    """The ids of what is taken next."""
    runs = [await world.take(slot=f"slot-{number}") for number in range(count)]
    return [run.invocation.id for run in runs if run is not None]


async def test_a_neighbour_of_hundreds_of_jobs_is_next(world: World) -> None:
    flood = [await world.submit(party="a") for _ in range(900)]
    neighbour = await world.submit(party="b")
    assert await taken(world, 3) == [flood[0], neighbour, flood[1]]


async def test_each_of_three_has_every_third_turn(world: World) -> None:
    ids = {party: [await world.submit(party=party) for _ in range(20)] for party in "abc"}
    order = await taken(world, 60)
    for first in range(0, 60, 3):
        turn = order[first : first + 3]
        assert {party for party in "abc" if set(turn) & set(ids[party])} == set("abc")


async def test_what_one_party_submits_stays_in_order(world: World) -> None:
    first = [await world.submit(party="a") for _ in range(5)]
    other = [await world.submit(party="b") for _ in range(5)]
    first += [await world.submit(party="a") for _ in range(5)]
    order = await taken(world, 15)
    assert [one for one in order if one in first] == first
    assert [one for one in order if one in other] == other


async def test_who_was_away_saves_no_turns_up(world: World) -> None:
    flood = [await world.submit(party="a") for _ in range(100)]
    await taken(world, 50)
    late = [await world.submit(party="b") for _ in range(50)]
    order = await taken(world, 20)
    assert len(set(order) & set(late)) == 10
    assert len(set(order) & set(flood)) == 10


async def test_a_job_that_comes_back_does_not_turn_time_back(world: World) -> None:
    """Were time that of an old place in the queue, a newcomer would get all the turns since then at once."""
    flood = [await world.submit(party="a") for _ in range(100)]
    first = await world.take(slot="slot-x")
    assert first is not None
    await taken(world, 60)
    await world.submit(party="b")  # who learns where the queue is
    assert await world.release(first.invocation)
    late = [await world.submit(party="c") for _ in range(30)]
    order = await taken(world, 20)
    assert order[0] == flood[0]
    assert len(set(order) & set(late)) <= 10


async def test_priorities_come_before_shares(world: World) -> None:
    flood = [await world.submit(party="a", priority="high") for _ in range(5)]
    neighbour = await world.submit(party="b")
    assert await taken(world, 6) == [*flood, neighbour]


async def test_bands_are_shared_apart(world: World) -> None:
    for _ in range(50):
        await world.submit(party="a", priority="low")
    others = [await world.submit(party="b") for _ in range(10)]
    own = await world.submit(party="a")
    assert own in await taken(world, 3), f"what it has in another band counts against it: {others}"


async def test_who_is_nobody_in_particular_comes_behind_all(world: World) -> None:
    flood = [await world.submit(party="a") for _ in range(5)]
    plain = await world.submit()
    neighbour = await world.submit(party="b")
    assert await taken(world, 7) == [flood[0], neighbour, *flood[1:], plain]


async def test_once_the_queue_is_empty_it_begins_anew_behind_all_that_was(world: World) -> None:
    for _ in range(30):
        await world.submit(party="a")
    await taken(world, 30)
    await world.submit(party="b")
    after = await world.submit(party="a")
    plain = await world.submit()
    scores = [await world.redis.zscore(keys.queued(world.function), one) - 2**50 for one in (after, plain)]
    assert scores[0] >= 31, "it would stand before a job that comes back from the first thirty"
    assert scores == sorted(scores)


async def test_positions_are_those_in_which_it_is_taken(world: World) -> None:
    flood = [await world.submit(party="a") for _ in range(10)]
    neighbour = await world.submit(party="b")
    positions = {one: await world.store.invocations.position(world.function, one) for one in (*flood, neighbour)}
    order = await taken(world, 11)
    assert sorted(positions, key=lambda one: positions[one] or 0) == order


async def test_shares_go_away_with_the_queue(world: World) -> None:
    await world.submit(party="a", max_age_ms=5_000)
    left = await world.redis.pttl(keys.shares(world.function))
    assert 0 < left <= 5_000


async def test_without_parties_nothing_is_kept(world: World) -> None:
    await world.submit()
    assert not await world.redis.exists(keys.shares(world.function))
