"""Leasing the next invocation: once per nonce, by the leader alone, never one that is too old."""

from __future__ import annotations

from dataclasses import replace

import pytest

from penstock import keys
from penstock.errors import Stale
from penstock.invocation import State
from penstock.store import LEASE_MS
from tests.unit.penstock.store.world import World


async def test_take_hands_out_the_head_of_the_queue_with_its_body(world: World) -> None:
    first = await world.submit(body=b"\x00\xff first")
    await world.submit(body=b"second")

    run = await world.take()

    assert run is not None
    assert (run.invocation.id, run.body) == (first, b"\x00\xff first")


async def test_a_taken_invocation_runs_its_first_attempt(world: World) -> None:
    run = await world.run()

    assert (run.state, run.token, run.attempt, run.instance) == (State.RUNNING, 1, 1, "instance-1")
    assert run.started_at is not None
    assert run.started_at >= run.created_at


async def test_take_returns_what_the_record_says(world: World) -> None:
    run = await world.run(priority="low", callback="https://example.com")

    assert run == await world.get(run.id)


@pytest.mark.parametrize(("kind", "places"), [("job", {"running", "jobs"}), ("call", {"running"})])
async def test_a_taken_invocation_no_longer_waits(world: World, kind: str, places: set[str]) -> None:
    run = await world.run(kind=kind)

    assert await world.places(run.id) == places


async def test_a_run_is_leased_from_its_start(world: World) -> None:
    run = await world.run()

    assert run.started_at is not None
    assert await world.score("running", run.id) == run.started_at + LEASE_MS


async def test_an_empty_queue_gives_nothing(world: World) -> None:
    assert await world.take() is None


async def test_the_same_nonce_again_returns_the_same_run_and_spends_nothing(world: World) -> None:
    await world.submit()
    await world.submit()
    first = await world.take("slot-1", "nonce-1")
    before = await world.snapshot()

    assert await world.take("slot-1", "nonce-1") == first
    assert await world.snapshot() == before


async def test_the_next_nonce_of_a_slot_takes_the_next_invocation(world: World) -> None:
    first, second = await world.submit(), await world.submit()

    runs = [await world.take("slot-1", nonce) for nonce in ("nonce-1", "nonce-2")]

    assert [run.invocation.id for run in runs if run] == [first, second]


async def test_each_slot_has_nonces_of_its_own(world: World) -> None:
    first, second = await world.submit(), await world.submit()

    runs = [await world.take(slot, "nonce-1") for slot in ("slot-1", "slot-2")]

    assert [run.invocation.id for run in runs if run] == [first, second]


async def test_a_replayed_take_of_a_run_that_has_ended_takes_the_next_one(world: World) -> None:
    await world.submit()
    second = await world.submit()
    run = await world.take("slot-1", "nonce-1")
    assert run is not None
    await world.finish(run.invocation)

    again = await world.take("slot-1", "nonce-1")

    assert again is not None
    assert again.invocation.id == second


async def test_a_replayed_take_never_returns_the_run_of_another_slot(world: World) -> None:
    await world.submit()
    await world.take("slot-1", "nonce-1")
    after_the_lease = world.later(LEASE_MS + 1_000)
    await after_the_lease.sweep()
    second = await after_the_lease.take("slot-2", "nonce-2")
    assert second is not None
    assert second.invocation.token == 2

    assert await after_the_lease.take("slot-1", "nonce-1") is None


async def test_a_deposed_leader_takes_nothing(world: World) -> None:
    await world.submit()
    await world.later(60_000).store.leadership.lead("leader-2")
    before = await world.snapshot()

    with pytest.raises(Stale, match=f"epoch {world.epoch} no longer leads"):
        await world.take()
    assert await world.snapshot() == before


async def test_a_deposed_leader_is_not_told_again_what_it_took(world: World) -> None:
    await world.submit()
    await world.take("slot-1", "nonce-1")
    await world.later(60_000).store.leadership.lead("leader-2")

    with pytest.raises(Stale):
        await world.take("slot-1", "nonce-1")


async def test_a_new_leader_takes(world: World) -> None:
    invocation_id = await world.submit()
    epoch = await world.later(60_000).store.leadership.lead("leader-2")
    assert epoch is not None

    run = await replace(world, epoch=epoch).take()

    assert run is not None
    assert run.invocation.id == invocation_id


@pytest.mark.parametrize("kind", ["job", "call"])
async def test_what_is_past_its_age_is_never_taken(world: World, kind: str) -> None:
    old = await world.submit(kind=kind, max_age_ms=60_000)
    young = await world.submit(kind=kind, max_age_ms=70_000)

    run = await world.later(65_000).take()

    assert run is not None
    assert run.invocation.id == young
    assert await world.state(old) is State.QUEUED
    assert "deadlines" in await world.places(old), "the next sweep ends it as expired"
    assert await world.later(65_000).take() is None


async def test_take_drops_an_id_whose_record_is_gone(world: World) -> None:
    gone, there = await world.submit(), await world.submit()
    await world.redis.delete(keys.record(world.function, gone))

    run = await world.take()

    assert run is not None
    assert run.invocation.id == there
    assert await world.places(gone) <= {"jobs"}


async def test_each_take_grows_the_token(world: World) -> None:
    await world.submit()
    tokens = []
    for _ in range(3):
        run = await world.take()
        assert run is not None
        tokens.append(run.invocation.token)
        await world.retry(run.invocation)
        await world.sweep()

    assert tokens == [1, 2, 3]
