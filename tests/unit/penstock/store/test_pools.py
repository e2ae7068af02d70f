"""What the leader shows of a pool."""

from __future__ import annotations

import pytest

from penstock.errors import Stale
from penstock.instance import InstanceState, InstanceView
from penstock.store import PoolView
from penstock.store.pools import EMPTY
from tests.unit.penstock.store.world import World


def instance(name: str, started_at: int) -> InstanceView:
    return InstanceView(
        id=name,
        state=InstanceState.BUSY,
        revision=3,
        in_flight=2,
        started_at=started_at,
        timeline={"starting": 12.5},
        reason="2 calls wait",
    )


def view(*instances: InstanceView) -> PoolView:
    return PoolView(instances=list(instances), desired=2, reason="2 calls wait: Grüße", drain_rate=1.25)


async def test_what_the_leader_shows_reads_back_the_oldest_instance_first(world: World) -> None:
    old, young = instance("b", 1_000), instance("a", 2_000)

    await world.store.pools.show(world.function, view(young, old), epoch=world.epoch)

    assert await world.store.pools.get(world.function) == view(old, young)


async def test_what_is_shown_replaces_what_was_shown_before(world: World) -> None:
    await world.store.pools.show(world.function, view(instance("a", 1)), epoch=world.epoch)

    await world.store.pools.show(world.function, view(instance("b", 2)), epoch=world.epoch)

    assert await world.store.pools.get(world.function) == view(instance("b", 2))


async def test_what_the_leader_does_not_know_is_none_and_not_zero(world: World) -> None:
    unknown = PoolView(instances=[], desired=None, reason="no data yet", drain_rate=None)

    await world.store.pools.show(world.function, unknown, epoch=world.epoch)

    assert await world.store.pools.get(world.function) == unknown


async def test_a_pool_that_nobody_has_looked_at_says_so(world: World) -> None:
    assert await world.store.pools.get(world.function) == EMPTY


async def test_a_deposed_leader_shows_nothing(world: World) -> None:
    await world.store.pools.show(world.function, view(), epoch=world.epoch)

    with pytest.raises(Stale, match="no longer leads"):
        await world.store.pools.show(world.function, view(instance("a", 1)), epoch=world.epoch + 1)
    assert await world.store.pools.get(world.function) == view()
