"""One leader at a time, each with an epoch of its own that fences off those before it."""

from __future__ import annotations

from dataclasses import replace

from penstock.invocation import State
from penstock.store import LEASE_MS, Store
from tests.unit.penstock.store.world import World

# `world` is led by leader-1 from the start; `store` has an empty Redis.


async def test_nobody_leads_at_first(store: Store) -> None:
    assert await store.leadership.current() == ("", 0, False)


async def test_the_first_leader_gets_the_first_epoch(store: Store) -> None:
    assert await store.leadership.lead("leader-1") == 1
    assert await store.leadership.current() == ("leader-1", 1, True)


async def test_a_leader_that_renews_keeps_its_epoch_and_extends_its_lease(world: World) -> None:
    assert await world.later(6_000).store.leadership.lead("leader-1", world.epoch) == world.epoch

    assert await world.later(LEASE_MS + 2_000).store.leadership.lead("leader-2") is None


async def test_nobody_else_leads_while_the_lease_runs(world: World) -> None:
    assert await world.store.leadership.lead("leader-2") is None
    assert await world.store.leadership.current() == ("leader-1", world.epoch, True)


async def test_a_lease_that_ran_out_goes_to_another_with_a_new_epoch(world: World) -> None:
    later = world.later(LEASE_MS + 1_000)
    assert await later.store.leadership.current() == ("leader-1", world.epoch, False)

    assert await later.store.leadership.lead("leader-2") == world.epoch + 1
    assert await later.store.leadership.current() == ("leader-2", world.epoch + 1, True)


async def test_who_is_not_sure_that_the_leader_is_gone_takes_no_lease_that_ran_out(world: World) -> None:
    later = world.later(LEASE_MS + 1_000).store.leadership
    assert await later.lead("leader-2", lapsed=False) is None
    assert await later.lead("leader-1", world.epoch) == world.epoch, "it was not gone"


async def test_a_lease_that_was_resigned_needs_no_patience(world: World) -> None:
    await world.store.leadership.resign("leader-1")
    assert await world.store.leadership.lead("leader-2", lapsed=False) == world.epoch + 1


async def test_the_first_lease_needs_no_patience(store: Store) -> None:
    assert await store.leadership.lead("leader-1", lapsed=False) == 1


async def test_a_deposed_leader_cannot_renew(world: World) -> None:
    later = world.later(LEASE_MS + 1_000)
    await later.store.leadership.lead("leader-2")
    before = await world.snapshot()

    assert await later.store.leadership.lead("leader-1", world.epoch) is None
    assert await later.later(3_600_000).store.leadership.lead("leader-1", world.epoch) is None
    assert await world.snapshot() == before


async def test_an_epoch_is_renewed_by_its_owner_alone(world: World) -> None:
    before = await world.snapshot()

    assert await world.later(3_600_000).store.leadership.lead("leader-2", world.epoch) is None
    assert await world.snapshot() == before


async def test_a_leader_that_was_late_goes_on_if_nobody_led_in_between(world: World) -> None:
    assert await world.later(3_600_000).store.leadership.lead("leader-1", world.epoch) == world.epoch


async def test_a_leader_that_was_started_again_under_its_name_gets_a_new_epoch_at_once(world: World) -> None:
    assert await world.store.leadership.lead("leader-1") == world.epoch + 1

    assert await world.store.leadership.lead("leader-1", world.epoch) is None


async def test_no_epoch_is_given_twice(world: World) -> None:
    epochs = [
        await world.later(turn * (LEASE_MS + 1_000)).store.leadership.lead(f"leader-{turn % 2}")
        for turn in range(2, 6)
    ]

    assert epochs == [world.epoch + turn for turn in range(1, 5)]


async def test_a_leader_that_resigns_makes_way_at_once(world: World) -> None:
    assert await world.store.leadership.resign("leader-1") == world.epoch

    assert await world.store.leadership.lead("leader-2") == world.epoch + 1


async def test_who_does_not_lead_cannot_resign(world: World) -> None:
    assert await world.store.leadership.resign("leader-2") is None
    assert await world.store.leadership.current() == ("leader-1", world.epoch, True)


async def test_burying_a_leader_frees_its_lead_and_its_leases_and_makes_them_due(world: World) -> None:
    runs = [await world.run(), await world.run()]
    await world.sweep()
    assert not await world.is_due()

    assert await world.store.leadership.bury("leader-1") == 2
    assert [await world.score("running", run.id) for run in runs] == [0, 0]
    assert await world.is_due()
    assert await world.store.leadership.lead("leader-2") == world.epoch + 1


async def test_burying_a_leader_leaves_the_runs_of_others_alone(world: World) -> None:
    older = await world.run()
    later = world.later(LEASE_MS + 1_000)
    epoch = await later.store.leadership.lead("leader-2")
    assert epoch is not None
    newer = await replace(later, epoch=epoch).run()

    assert await later.store.leadership.bury("leader-2") == 1
    assert await world.score("running", newer.id) == 0
    assert await world.score("running", older.id) != 0


async def test_burying_a_leader_makes_no_function_due_that_it_did_not_run(world: World) -> None:
    await world.submit(delay_ms=60_000)

    await world.store.leadership.bury("leader-1")

    assert not await world.is_due()


async def test_burying_who_does_not_lead_frees_nothing(world: World) -> None:
    run = await world.run()

    assert await world.store.leadership.bury("leader-2") == 0
    assert await world.score("running", run.id) != 0
    assert await world.store.leadership.lead("leader-2") is None


async def test_a_freed_run_that_lives_on_can_still_finish(world: World) -> None:
    run = await world.run()
    await world.store.leadership.bury("leader-1")

    assert await world.finish(run) is State.SUCCEEDED
