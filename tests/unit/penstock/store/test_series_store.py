"""Series in a real Redis: points of seconds become points of minutes, whoever adds them."""

from __future__ import annotations

import pytest

from penstock import clock, keys
from penstock.errors import Stale
from penstock.series import MINUTE_KEPT_MS, SECOND_KEPT_MS, Point, merge
from tests.unit.penstock.store.world import World

MINUTE = 60_000
EVER = 2**42


async def at(world: World, offset_ms: int, point: Point, *, epoch: int | None = None) -> None:
    """Adds a point when so much time has gone by."""
    connection = world.store._connection
    connection.clock_offset = offset_ms
    try:
        await world.store.series.add(world.function, point, epoch=epoch)
    finally:
        connection.clock_offset = 0


def aligned() -> int:
    """Milliseconds to the beginning of the next minute but one: what comes there shares no minute with now."""
    return 2 * MINUTE - clock.now_ms() % MINUTE


async def test_points_come_back_in_the_order_of_time(world: World) -> None:
    begin = aligned()
    for second in range(3):
        await at(world, begin + 1000 * second, {"s": 1, "n": second + 1, "d": {"-3": 1, "41": 2}})
    found = await world.store.series.seconds(world.function, 0, EVER)
    assert [point["n"] for _, point in found] == [1, 2, 3]
    assert found[0][1]["d"] == {"-3": 1, "41": 2}
    assert 900 < found[1][0] - found[0][0] < 2_000


async def test_a_minute_is_summed_up_by_the_first_point_of_another(world: World) -> None:
    begin = aligned()
    points: list[Point] = [
        {"s": 1, "n": 4, "t": 0.25, "pr": 2, "d": {"10": 3, "-2": 1}},
        {"s": 1, "n": 1, "t": 0.5, "pr": 1, "c": 7, "d": {"10": 1}},
        {"n": 2, "ce": 2},
    ]
    for second, point in enumerate(points):
        await at(world, begin + 1000 * second, point)
    assert await world.redis.xlen(keys.minutes(world.function)) == 0
    await at(world, begin + 3 * MINUTE, {"s": 1, "n": 9})
    assert await world.redis.xlen(keys.minutes(world.function)) == 1
    found = await world.store.series.minutes(world.function, 0, EVER)
    assert [point["n"] for _, point in found] == [7, 9], "the last minute is read from its seconds"
    assert found[0][1] == merge(points), "Lua adds as Python does"
    assert found[0][0] % MINUTE == 0


async def test_what_the_next_leader_adds_is_in_the_same_series(world: World) -> None:
    begin = aligned()
    await at(world, begin, {"s": 1, "n": 1}, epoch=world.epoch)
    deposed = world.epoch
    await world.store.leadership.bury("leader-1")
    following = await world.store.leadership.lead("another")
    assert following is not None
    assert following > deposed
    with pytest.raises(Stale):
        await at(world, begin + 1000, {"s": 1, "n": 100}, epoch=deposed)
    await at(world, begin + 2000, {"s": 1, "n": 2}, epoch=following)
    await at(world, begin + MINUTE, {"s": 1}, epoch=following)
    found = await world.store.series.minutes(world.function, 0, EVER)
    assert found[0][1]["n"] == 3


async def test_seconds_go_after_an_hour_and_minutes_after_a_week(world: World) -> None:
    for number in range(300):  # streams are cut by nodes of 100
        await at(world, aligned() + number * 1000, {"s": 1, "n": 1})
    await at(world, aligned() + SECOND_KEPT_MS + 600_000, {"s": 1, "n": 5})
    assert await world.redis.xlen(keys.seconds(world.function)) <= 101
    found = await world.store.series.minutes(world.function, 0, EVER)
    assert sum(point["n"] for _, point in found) == 305, "what left the seconds is in the minutes"
    for kind, kept in ((keys.seconds, SECOND_KEPT_MS), (keys.minutes, MINUTE_KEPT_MS)):
        assert 0 < await world.redis.pttl(kind(world.function)) <= kept


async def test_a_clock_that_goes_back_loses_nothing(world: World) -> None:
    await at(world, aligned() + 5_000, {"s": 1, "n": 1})
    await at(world, aligned(), {"s": 1, "n": 2})
    await at(world, aligned() - 5_000, {"s": 1, "n": 3})
    found = await world.store.series.seconds(world.function, 0, EVER)
    assert sorted(point["n"] for _, point in found) == [1, 2, 3]


async def test_functions_with_points_are_listed_the_latest_first(world: World) -> None:
    await world.store.series.add(world.function, {"s": 1})
    await world.store.series.add("another", {"s": 1, "n": 1})
    assert set(await world.store.series.active(clock.now_ms() - MINUTE)) == {world.function, "another"}
    assert await world.store.series.active(clock.now_ms() + MINUTE) == []
