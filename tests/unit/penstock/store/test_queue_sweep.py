"""The leader's look after a function: promote, expire, take back lost leases, count, say when to look again."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from penstock import keys
from penstock.errors import Stale
from penstock.invocation import FailureCode, State
from penstock.store import LEASE_MS, Retention, Sweep
from tests.unit.penstock.store.world import World, listening

LOST_MS = LEASE_MS + 2_000
"""After this time without a word, a lease has run out."""


@pytest.mark.parametrize("options", [{"kind": "job"}, {"kind": "call"}])
async def test_what_waited_longer_than_its_age_expires(world: World, options: dict[str, Any]) -> None:
    invocation_id = await world.submit(max_age_ms=60_000, **options)

    assert (await world.later(55_000).sweep()).expired == 0
    assert (await world.later(61_000).sweep()).expired == 1
    found = await world.get(invocation_id)
    assert found.state is State.EXPIRED
    assert found.failure is not None
    assert found.failure.code is FailureCode.EXPIRED
    assert await world.places(invocation_id) <= {"jobs"}


async def test_what_take_passed_over_as_too_old_expires(world: World) -> None:
    invocation_id = await world.submit(max_age_ms=60_000)
    await world.later(61_000).take()

    assert (await world.later(61_000).sweep()).expired == 1
    assert await world.state(invocation_id) is State.EXPIRED


async def test_a_running_one_never_expires(world: World) -> None:
    run = await world.run(max_age_ms=60_000)

    sweep = await world.later(600_000).sweep(requeue=False)

    assert (sweep.expired, sweep.running) == (0, 1)
    assert await world.state(run.id) is State.RUNNING


async def test_an_expiry_tells_who_waits_and_owes_the_callback(world: World) -> None:
    invocation_id = await world.submit(max_age_ms=1_000, callback="https://example.com", gateway="gateway-1")

    async with listening(world.store.replies("gateway-1")) as ear:
        await world.later(2_000).sweep()
        _, hint = await ear.next()

    assert hint.split(b"\n")[:2] == [invocation_id.encode(), b"expired"]
    assert await world.store.outbox.size() == 1


@pytest.mark.parametrize(("kind", "keep_ms"), [("job", 50_000_000), ("call", 40_000_000)])
async def test_an_expired_record_is_kept_as_long_as_its_kind_says(world: World, kind: str, keep_ms: int) -> None:
    retention = Retention(job_ms=50_000_000, call_ms=40_000_000)
    invocation_id = await world.submit(kind=kind, max_age_ms=1_000)

    await replace(world, store=world.open_store(retention=retention, clock_offset=2_000)).sweep()

    left_ms = await world.redis.pttl(keys.record(world.function, invocation_id))
    assert keep_ms - 10_000 < left_ms <= keep_ms


async def test_a_delayed_job_becomes_ready_when_its_time_has_come(world: World) -> None:
    invocation_id = await world.submit(delay_ms=60_000)

    assert (await world.later(55_000).sweep()).queued == 0
    sweep = await world.later(60_000).sweep()

    assert (sweep.queued, sweep.delayed) == (1, 0)
    assert await world.places(invocation_id) == {"queued", "deadlines", "jobs"}


async def test_a_delayed_job_goes_before_those_submitted_after_it(world: World) -> None:
    delayed = await world.submit(delay_ms=60_000)
    await world.submit()

    await world.later(60_000).sweep()

    run = await world.take()
    assert run is not None
    assert run.invocation.id == delayed


async def test_a_lost_lease_goes_back_to_the_queue_at_its_old_place(world: World) -> None:
    run = await world.run()
    await world.submit()

    assert (await world.later(LOST_MS).sweep()).requeued == 1
    again = await world.take()

    assert again is not None
    assert (again.invocation.id, again.invocation.token, again.invocation.attempt) == (run.id, 2, 2)


async def test_a_lost_run_says_so_while_it_waits_again(world: World) -> None:
    run = await world.run()
    await world.later(LOST_MS).sweep()

    waiting = await world.get(run.id)

    assert waiting.state is State.QUEUED
    assert waiting.failure is not None
    assert waiting.failure.code is FailureCode.INSTANCE_LOST
    assert await world.places(run.id) == {"queued", "deadlines", "jobs"}


async def test_a_lease_that_has_not_run_out_is_left_alone(world: World) -> None:
    run = await world.run()

    sweep = await world.later(LEASE_MS - 2_000).sweep()

    assert (sweep.requeued, sweep.failed, sweep.running) == (0, 0, 1)
    assert await world.state(run.id) is State.RUNNING


async def test_a_lost_run_cannot_be_finished_any_more_once_it_runs_again(world: World) -> None:
    lost = await world.run()
    await world.later(LOST_MS).sweep()
    again = await world.take()
    assert again is not None

    assert await world.finish(lost) is None
    assert await world.finish(again.invocation) is State.SUCCEEDED


async def test_a_job_that_is_lost_at_its_last_attempt_has_failed(world: World) -> None:
    run = await world.run(attempts=1, callback="https://example.com")

    sweep = await world.later(LOST_MS).sweep()

    assert (sweep.requeued, sweep.failed) == (0, 1)
    found = await world.get(run.id)
    assert found.state is State.FAILED
    assert found.failure is not None
    assert found.failure.code is FailureCode.INSTANCE_LOST
    assert await world.places(run.id) == {"jobs"}
    assert await world.store.outbox.size() == 1


async def test_a_deferral_is_no_attempt_when_a_lease_is_lost(world: World) -> None:
    await world.release(await world.run(attempts=2))
    assert await world.take() is not None

    assert (await world.later(LOST_MS).sweep()).requeued == 1


async def test_a_held_call_is_not_run_again_when_its_lease_is_lost(world: World) -> None:
    run = await world.run(kind="call", attempts=3)

    assert (await world.later(LOST_MS).sweep()).failed == 1
    assert await world.state(run.id) is State.FAILED


async def test_a_call_whose_client_left_is_run_again_when_its_lease_is_lost(world: World) -> None:
    run = await world.run(kind="call")
    await world.store.queue.detach(world.function, run.id)

    assert (await world.later(LOST_MS).sweep()).requeued == 1


async def test_leases_are_not_taken_for_lost_before_the_sweeper_may(world: World) -> None:
    run = await world.run()

    sweep = await world.later(LOST_MS).sweep(requeue=False)

    assert (sweep.requeued, sweep.running) == (0, 1)
    assert await world.finish(run) is State.SUCCEEDED


async def test_leases_that_a_supervisor_freed_are_lost_at_once(world: World) -> None:
    run = await world.run()
    assert await world.store.leadership.bury("leader-1") == 1
    epoch = await world.store.leadership.lead("leader-2")
    assert epoch is not None

    assert (await replace(world, epoch=epoch).sweep(requeue=False)).requeued == 1
    assert await world.state(run.id) is State.QUEUED


async def test_an_id_without_a_running_record_only_leaves_the_leases(world: World) -> None:
    run = await world.run()
    await world.finish(run)
    await world.put("running", run.id, 0)
    before = await world.record(run.id)

    sweep = await world.sweep()

    assert (sweep.requeued, sweep.failed, sweep.running) == (0, 0, 0)
    assert await world.record(run.id) == before


async def test_a_sweep_counts_what_it_found(world: World) -> None:
    await world.run()
    await world.submit()
    await world.submit(kind="call")
    await world.submit(delay_ms=60_000)

    sweep = await world.later(5_000).sweep()

    assert sweep.oldest_ms is not None
    assert 5_000 <= sweep.oldest_ms < 8_000
    counts = {"queued": 2, "held": 1, "running": 1, "delayed": 1, "expired": 0, "requeued": 0, "failed": 0}
    expected = Sweep(**counts, oldest_ms=0, arrived=4)
    assert replace(sweep, oldest_ms=0) == expected


async def test_nobody_has_waited_in_an_empty_queue(world: World) -> None:
    await world.run()

    assert (await world.sweep()).oldest_ms is None


async def test_a_deposed_leader_sweeps_nothing(world: World) -> None:
    await world.submit(max_age_ms=1_000)
    await world.later(60_000).store.leadership.lead("leader-2")
    before = await world.snapshot()

    with pytest.raises(Stale, match=f"epoch {world.epoch} no longer leads"):
        await world.later(60_000).sweep()
    assert await world.snapshot() == before


async def test_a_function_with_work_is_looked_at_each_second(world: World) -> None:
    await world.submit()
    await world.sweep()

    wait, functions = await world.store.queue.due()
    assert functions == []
    assert 0 < wait <= 1
    assert await world.later(1_000).is_due()


async def test_a_function_that_runs_something_is_looked_at_each_second(world: World) -> None:
    await world.run()
    await world.sweep()

    assert await world.later(1_000).is_due()


async def test_an_idle_function_is_not_looked_at(world: World) -> None:
    run = await world.run()
    await world.finish(run)
    assert await world.is_due()

    await world.sweep()

    assert await world.store.queue.due() == (math.inf, [])
    assert await world.redis.exists(keys.ACTIVE) == 0, "what is idle costs nothing"


async def test_a_function_with_delayed_work_alone_is_looked_at_when_that_is_ready(world: World) -> None:
    await world.submit(delay_ms=60_000)
    await world.sweep()

    assert not await world.later(55_000).is_due()
    assert await world.later(60_000).is_due()


async def test_a_delay_does_not_use_up_the_age(world: World) -> None:
    await world.submit(delay_ms=600_000, max_age_ms=60_000)

    assert (await world.later(659_000).sweep()).expired == 0
    assert (await world.later(661_000).sweep()).expired == 1


async def test_a_run_and_the_pause_before_a_retry_do_not_use_up_the_age(world: World) -> None:
    run = await world.run(max_age_ms=60_000)
    await world.later(300_000).retry(run, delay_ms=100_000)

    assert (await world.later(455_000).sweep()).expired == 0
    assert (await world.later(461_000).sweep()).expired == 1


async def test_what_take_passed_over_is_looked_at_when_it_expires(world: World) -> None:
    await world.submit(max_age_ms=60_000)
    await world.later(61_000).take()
    await world.sweep()

    assert not await world.later(55_000).is_due()
    assert await world.later(60_000).is_due()


@pytest.mark.parametrize("counted", ["expired", "queued", "requeued"])
async def test_what_one_sweep_leaves_over_is_due_again_at_once(world: World, counted: str) -> None:
    for _ in range(201):
        match counted:
            case "expired":
                await world.submit(max_age_ms=1_000)
            case "queued":
                await world.submit(delay_ms=1_000)
            case "requeued":
                await world.run()
    later = world.later(LOST_MS)

    first = await later.sweep()

    assert 0 < getattr(first, counted) < 201, "one sweep is bounded"
    assert await later.is_due()
    await later.sweep()
    assert not await later.is_due()


async def test_due_names_the_functions_and_the_wait_until_the_next(world: World) -> None:
    await world.submit(delay_ms=90_000)
    for function in ("one", "two"):
        await world.redis.zadd(keys.ACTIVE, {function: 0})

    wait, functions = await world.store.queue.due()

    assert functions == ["one", "two"]
    assert 85 < wait <= 90


async def test_jobs_past_their_retention_leave_the_listing(world: World) -> None:
    gone, kept = await world.run(), await world.run()
    for run in (gone, kept):
        await world.finish(run)
    await world.redis.delete(keys.record(world.function, gone.id))

    await world.sweep()

    assert await world.places(gone.id) == set()
    assert await world.places(kept.id) == {"jobs"}
