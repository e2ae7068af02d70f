"""The ledger of callbacks: one delivery for each endpoint, attempted by one at a time, remembered for a while."""

from __future__ import annotations

from typing import Any

import pytest

from penstock import keys
from penstock.delivery import Attempt, Delivery, Endpoint
from penstock.invocation import Invocation
from penstock.store import scripts
from tests.unit.penstock.store.world import World

URL, OTHER = "https://example.com/done", "https://example.com/else"
HOST = "https://example.com:443"
FAR = 10**15


def attempt(status: int | None = 500, at: int = 1) -> Attempt:
    error = None if status == 200 else f"it answered {status}"
    return Attempt(at=at, ms=12, status=status, error=error, sha256="ab" * 32)


async def owe(world: World, *urls: str, what: str = "completed", run: Invocation | None = None) -> Invocation:
    """An invocation that has ended, and deliveries of what is owed."""
    if run is None:
        run = await world.run(callback=URL, callback_events=(what,) if what != "completed" else ("completed",))
        await world.finish(run)
    await world.redis.zadd(keys.OUTBOX, {f"{world.function} {run.id} {what}": 0})
    assert await world.store.deliveries.owe(
        world.function, run.id, what, [Endpoint(url=url) for url in urls or (URL,)]
    )
    return run


async def collect(world: World, limit: int = 10, host: str = HOST) -> list[Delivery]:
    return await world.store.deliveries.collect(host, claim_ms=30_000, limit=limit)


async def one(world: World, **changes: Any) -> Delivery:
    await owe(world, **changes)
    [delivery] = await collect(world)
    return delivery


async def again(world: World, delivery: Delivery) -> Delivery:
    found = await world.store.deliveries.get(world.function, delivery.name)
    assert found is not None
    return found


async def test_what_is_owed_becomes_a_delivery_to_each_endpoint(world: World) -> None:
    run = await owe(world, URL, OTHER)
    assert await world.store.outbox.size() == 0
    assert await world.store.deliveries.hosts_due() == [HOST]
    found = await collect(world)
    assert {(one.of, one.what, one.url, one.state, one.turn) for one in found} == {
        (run.id, "completed", URL, "pending", 1),
        (run.id, "completed", OTHER, "pending", 1),
    }
    assert {one.message for one in found} == {f"msg_{run.id}"}


async def test_what_is_not_owed_becomes_none(world: World) -> None:
    run = await owe(world)
    assert not await world.store.deliveries.owe(world.function, run.id, "completed", [Endpoint(url=OTHER)])
    assert [one.url for one in await collect(world)] == [URL]


async def test_a_delivery_that_is_claimed_is_nobody_elses_until_the_claim_runs_out(world: World) -> None:
    delivery = await one(world)
    assert await collect(world.later(25_000)) == []
    assert await world.later(25_000).store.deliveries.hosts_due() == []
    later = world.later(31_000)
    assert await later.store.deliveries.hosts_due() == [HOST]
    assert [found.name for found in await collect(later)] == [delivery.name]


async def test_each_host_has_a_lane_of_its_own(world: World) -> None:
    await owe(world, URL, "http://example.com/done", "https://example.com:8443/done", "https://EXAMPLE.com/x")
    assert sorted(await world.store.deliveries.hosts_due()) == [
        "http://example.com:80",
        "https://example.com:443",
        "https://example.com:8443",
    ]
    assert len(await collect(world)) == 2


async def test_one_that_failed_is_due_again_after_its_delay(world: World) -> None:
    delivery = await one(world)
    assert await world.store.deliveries.attempted(delivery, "pending", attempt(), delay_ms=5_000) == "pending"
    assert await collect(world.later(4_000)) == []
    [second] = await collect(world.later(5_100))
    assert (second.spent, second.made, second.attempts) == (1, 1, (attempt(),))


async def test_one_that_is_put_off_spends_nothing(world: World) -> None:
    delivery = await one(world)
    await world.store.deliveries.attempted(delivery, "pending", None, delay_ms=5_000)
    [second] = await collect(world.later(5_100))
    assert (second.spent, second.made, second.attempts) == (0, 0, ())


@pytest.mark.parametrize("state", ["delivered", "dead", "disabled"])
async def test_one_that_has_ended_is_due_no_more_and_stays_readable(world: World, state: Any) -> None:
    delivery = await one(world)
    assert await world.store.deliveries.attempted(delivery, state, attempt(200)) == state
    assert await world.store.deliveries.hosts_owed() == 0
    found = await again(world, delivery)
    assert (found.state, found.due_at, found.attempts) == (state, None, (attempt(200),))
    assert found.ended_at is not None
    assert await world.store.deliveries.ended_since(world.function, found.ended_at) == [delivery.name]


async def test_a_late_failure_does_not_undo_what_was_delivered(world: World) -> None:
    delivery = await one(world)
    later = world.later(31_000)
    [same] = await collect(later)
    await later.store.deliveries.attempted(same, "delivered", attempt(200))
    assert await later.store.deliveries.attempted(delivery, "pending", attempt(), delay_ms=5_000) == "delivered"
    assert await later.store.deliveries.hosts_owed() == 0


async def test_an_update_that_comes_again_is_the_same_delivery_with_another_turn(world: World) -> None:
    run = await owe(world, what="progress")
    [first] = await collect(world)
    assert first.message == f"msg_{run.id}_progress"
    await owe(world, what="progress", run=run)
    assert await collect(world) == [], "while it is told, nobody tells it beside"
    assert await world.store.deliveries.attempted(first, "delivered", attempt(200)) == "pending"
    [second] = await collect(world)
    assert (second.name, second.turn, second.spent) == (first.name, 2, 0)
    assert second.message == f"msg_{run.id}_progress_2"
    assert await world.store.deliveries.attempted(second, "delivered", attempt(200)) == "delivered"


async def test_one_is_delivered_again_by_hand_under_the_same_id(world: World) -> None:
    delivery = await one(world)
    await world.store.deliveries.attempted(delivery, "dead", attempt())
    assert await world.store.deliveries.redeliver(delivery)
    [second] = await collect(world)
    assert (second.state, second.manual, second.spent, second.made) == ("pending", True, 0, 1)
    assert second.message == delivery.message
    assert await world.store.deliveries.ended_since(world.function, 0) == []
    await world.store.deliveries.attempted(second, "delivered", attempt(200))
    assert not (await again(world, delivery)).manual


async def test_what_the_ledger_has_forgotten_cannot_be_delivered_again(world: World) -> None:
    delivery = await one(world)
    await world.redis.delete(keys.delivery_prefix(world.function) + delivery.name)
    assert not await world.store.deliveries.redeliver(delivery)
    assert await world.store.deliveries.attempted(delivery, "delivered", attempt(200)) is None
    assert await world.store.deliveries.hosts_owed() == 0


async def test_a_record_outlives_its_retention_while_a_callback_tells_of_it(world: World) -> None:
    delivery = await one(world)
    record = keys.record(world.function, delivery.of)
    two_days = 2 * 24 * 3600 * 1000
    assert await world.redis.pttl(record) < two_days
    await world.store.deliveries.attempted(delivery, "pending", attempt(), delay_ms=two_days)
    assert await world.redis.pttl(record) > two_days


async def test_the_last_attempts_are_remembered(world: World) -> None:
    delivery = await one(world)
    for number in range(scripts.ATTEMPTS_KEPT + 5):
        await world.store.deliveries.attempted(delivery, "pending", attempt(at=number), delay_ms=0)
    found = await again(world, delivery)
    assert [kept.at for kept in found.attempts] == list(range(5, scripts.ATTEMPTS_KEPT + 5))
    assert found.made == scripts.ATTEMPTS_KEPT + 5


async def test_what_ended_a_week_ago_leaves_the_ledger_when_something_else_ends(world: World) -> None:
    old = await one(world)
    await world.store.deliveries.attempted(old, "dead", attempt())
    later = world.later(scripts.LEDGER_KEEP_MS + 60_000)
    waiting = await one(later)
    await owe(later)
    [new] = await collect(later)
    await later.store.deliveries.attempted(new, "delivered", attempt(200))
    names = await later.store.deliveries.names(world.function, since_ms=0, until_ms=FAR)
    assert {name for name, _ in names} == {waiting.name, new.name}
    assert await later.store.deliveries.get(world.function, old.name) is None


async def test_the_ledger_is_listed_newest_first(world: World) -> None:
    found = [await one(world.later(age)) for age in (0, 1_000, 2_000)]
    names = await world.store.deliveries.names(world.function, since_ms=0, until_ms=FAR)
    assert [name for name, _ in names] == [delivery.name for delivery in reversed(found)]
    since = found[1].created_at
    names = await world.store.deliveries.names(world.function, since_ms=since, until_ms=since, skip=0)
    assert names == [(found[1].name, since)]


async def test_an_endpoint_that_is_gone_is_left_alone_until_it_is_back(world: World) -> None:
    ledger = world.store.deliveries
    assert not await ledger.is_gone(world.function, URL)
    await ledger.set_gone(world.function, URL, True)
    assert await ledger.is_gone(world.function, URL)
    assert not await ledger.is_gone(world.function, OTHER)
    assert await world.redis.pttl(f"ps:{{{world.function}}}:gone:" + (await one(world)).name[-16:]) > 0
    await ledger.set_gone(world.function, URL, False)
    assert not await ledger.is_gone(world.function, URL)
