"""One leads: two processes on a real Redis, one lease, and what each may believe of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from penstock import clock
from penstock.errors import Stale
from penstock.store import Store
from penstock.store.leadership import Leadership
from tests.conftest import RedisServer
from tests.unit.workers.conftest import Deployed, Hand
from workers.contact import Contact
from workers.leader import Leader

SOON = 5.0
"""Seconds; a standby asks each second."""


@pytest.fixture(autouse=True)
def renewed_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.leader._RENEWAL", 0.02)


@asynccontextmanager
async def running(leader: Leader) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(leader.run())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def after(seconds: float) -> Contact:
    """That of a process which has been in contact with Redis for so long."""
    contact = Contact()
    for ago in range(round(seconds), -1, -1):
        contact.answered(clock.monotonic() - ago)
    return contact


async def elected(leader: Leader) -> int:
    await asyncio.wait_for(leader.elected.wait(), SOON)
    assert leader.epoch is not None
    return leader.epoch


async def is_sure(leader: Leader) -> bool:
    """Whether `sure` returns at once."""
    try:
        await asyncio.wait_for(leader.sure(), 0.15)
    except TimeoutError:
        return False
    return True


async def test_the_first_one_leads_and_the_second_waits(store: Store) -> None:
    first, second = Leader(store.leadership, "a", Contact()), Leader(store.leadership, "b", Contact())
    async with running(first):
        assert await elected(first) == 1
        await first.sure()
        async with running(second):
            await asyncio.sleep(0.1)  # several renewals of the first, and the second has asked
            assert second.epoch is None
            assert not second.elected.is_set()
            assert not first.lost.is_set()


async def test_before_it_is_elected_nobody_is_sure(store: Store) -> None:
    assert not await is_sure(Leader(store.leadership, "a", Contact()))


async def test_a_leader_that_resigns_makes_room_at_once(store: Store) -> None:
    first, second = Leader(store.leadership, "a", Contact()), Leader(store.leadership, "b", Contact())
    async with running(first):
        await elected(first)
    async with running(second):
        await first.resign()
        assert await elected(second) == 2
        assert await store.leadership.current() == ("b", 2, True)


async def test_resigning_takes_nothing_from_another(store: Store) -> None:
    first, second = Leader(store.leadership, "a", Contact()), Leader(store.leadership, "b", Contact())
    async with running(first):
        await elected(first)
        await second.resign()
        assert await store.leadership.current() == ("a", 1, True)


async def test_a_lease_that_ran_out_goes_to_the_next_and_fences_off_the_last(deployed: Deployed) -> None:
    await deployed.store.leadership.resign("leader")
    late = Leader(deployed.store.leadership, "a", Contact())
    async with running(late) as renewing:
        epoch = await elected(late)
        renewing.cancel()  # it hangs: no renewal any more
    next_one = Leader(deployed.open_store(11_000).leadership, "b", after(5.0))
    async with running(next_one):
        assert await elected(next_one) == epoch + 1

    with pytest.raises(Stale):
        await deployed.store.queue.take(deployed.function, epoch=epoch, slot="s", nonce="n", instance="i")
    await asyncio.wait_for(late.run(), SOON)  # it comes to itself, asks, and gives up
    assert late.lost.is_set()


async def test_after_an_outage_the_leader_that_lives_comes_before_a_standby(deployed: Deployed) -> None:
    later = deployed.open_store(11_000).leadership
    standby = Leader(later, "b", after(4.0))
    async with running(standby):
        await asyncio.sleep(0.6)  # it has asked more than once: the lease has run out, and it is not sure of it
        assert standby.epoch is None
        assert await later.lead("leader", deployed.epoch) == deployed.epoch, "the leader is back"
    assert standby.epoch is None


async def test_it_keeps_its_epoch_while_it_renews(store: Store) -> None:
    leader = Leader(store.leadership, "a", Contact())
    async with running(leader):
        epoch = await elected(leader)
        await asyncio.sleep(0.2)  # ten renewals
        assert (leader.epoch, await store.leadership.current()) == (epoch, ("a", epoch, True))


async def test_a_process_started_again_under_its_old_name_leads_at_once_and_fences_itself_off(
    store: Store,
) -> None:
    # `penstock up` names its workers process: the one that follows a crash need not wait for the lease to end.
    first, again = Leader(store.leadership, "a", Contact()), Leader(store.leadership, "a", Contact())
    async with running(first):
        epoch = await elected(first)
        async with running(again):
            assert await elected(again) == epoch + 1
            await asyncio.wait_for(first.lost.wait(), SOON)


async def test_it_is_sure_until_a_second_before_its_lease_ends(store: Store, hand: Hand) -> None:
    leader = Leader(store.leadership, "a", Contact())
    async with running(leader):
        await elected(leader)
    hand.now += 8.9
    assert await is_sure(leader)
    hand.now += 0.1
    assert not await is_sure(leader)


async def test_it_is_sure_again_after_a_renewal(store: Store, hand: Hand) -> None:
    leader = Leader(store.leadership, "a", Contact())
    async with running(leader):
        await elected(leader)
    hand.now += 60
    waiting = asyncio.create_task(leader.sure())
    async with running(leader):
        await asyncio.wait_for(waiting, SOON)


async def test_the_time_that_the_answer_took_is_not_counted(store: Store, hand: Hand) -> None:
    class Slow(Leadership):
        """Redis's answer takes 5 s to arrive."""

        async def lead(self, owner: str, epoch: int | None = None, *, lapsed: bool = True) -> int | None:
            led = await store.leadership.lead(owner, epoch)
            hand.now += 5.0
            return led

    leader = Leader(Slow(store.leadership._connection), "a", Contact())
    async with running(leader):
        await elected(leader)
    hand.now += 3.9
    assert await is_sure(leader)
    hand.now += 0.1
    assert not await is_sure(leader)


async def lose(leader: Leader, deployed: Deployed) -> None:
    """The leader leads, and then another one does."""
    await deployed.store.leadership.resign("leader")
    async with running(leader):
        await elected(leader)
    assert await deployed.open_store(11_000).leadership.lead("b") is not None
    await asyncio.wait_for(leader.run(), SOON)
    assert leader.lost.is_set()


async def test_who_lost_the_lease_is_told_so_when_it_asks(deployed: Deployed, hand: Hand) -> None:
    leader = Leader(deployed.store.leadership, "a", Contact())
    await lose(leader, deployed)
    hand.now += 9
    with pytest.raises(Stale, match="no longer leads"):
        await leader.sure()


async def test_who_knows_that_it_lost_the_lease_is_sure_no_longer(deployed: Deployed, hand: Hand) -> None:
    # Its own 9 s have not passed, but another one leads already.
    leader = Leader(deployed.store.leadership, "a", Contact())
    await lose(leader, deployed)
    with pytest.raises(Stale):
        await leader.sure()


async def test_resigning_without_redis_is_no_error(
    own_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(own_server.url)
    try:
        leader = Leader(store.leadership, "a", Contact())
        async with running(leader):
            await elected(leader)
        own_server.kill()
        await leader.resign()
        assert any(message.startswith("cannot resign: ") for message in caplog.messages)
    finally:
        await store.close()
