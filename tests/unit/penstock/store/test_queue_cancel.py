"""Ending what has not ended: cancel in every state, purge a queue, reject calls that cannot be started."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from penstock import keys
from penstock.errors import Stale
from penstock.invocation import Event, FailureCode, Outcome, State
from penstock.store import Retention
from tests.unit.penstock.store.world import ANSWER, NO_START, World, listening


@pytest.mark.parametrize("options", [{"kind": "job"}, {"kind": "call"}, {"kind": "job", "delay_ms": 60_000}])
async def test_a_waiting_invocation_is_cancelled_at_once(world: World, options: dict[str, Any]) -> None:
    invocation_id = await world.submit(**options)

    assert await world.cancel(invocation_id) == (True, State.QUEUED)
    assert await world.places(invocation_id) <= {"jobs"}
    found = await world.get(invocation_id)
    assert found.state is State.CANCELLED
    assert found.failure is not None
    assert found.failure.code is FailureCode.CANCELLED
    assert await world.take() is None
    assert await world.store.queue.take_cancels() == []


async def test_a_running_invocation_is_cancelled_and_its_worker_told(world: World) -> None:
    run = await world.run()

    assert await world.cancel(run.id) == (True, State.RUNNING)
    assert await world.state(run.id) is State.CANCELLED
    assert await world.places(run.id) == {"jobs"}
    assert await world.store.queue.take_cancels() == [(world.function, run.id, run.token)]


async def test_the_workers_are_woken_for_a_running_one(world: World) -> None:
    run = await world.run()

    async with listening(world.store.wakes()) as ear:
        await world.cancel(run.id)

        assert await ear.next() == (keys.WAKE, b"!cancel")


async def test_a_cancelled_run_is_stale_for_its_worker(world: World) -> None:
    run = await world.run()
    await world.cancel(run.id)
    before = await world.snapshot()

    assert await world.renew(run) == [run.id]
    assert not await world.retry(run)
    assert not await world.release(run)
    assert await world.snapshot() == before


async def test_cancels_are_handed_out_once(world: World) -> None:
    runs = [await world.run() for _ in range(3)]
    for run in runs:
        await world.cancel(run.id)

    first = await world.store.queue.take_cancels()

    assert sorted(first) == sorted((world.function, run.id, 1) for run in runs)
    assert await world.store.queue.take_cancels() == []


async def test_a_running_one_can_be_left_alone(world: World) -> None:
    run = await world.run()
    before = await world.snapshot()

    assert await world.cancel(run.id, only_queued=True) == (False, State.RUNNING)
    assert await world.snapshot() == before


async def test_a_waiting_one_is_cancelled_also_when_running_ones_are_left_alone(world: World) -> None:
    assert await world.cancel(await world.submit(), only_queued=True) == (True, State.QUEUED)


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (Event.SUCCEED, State.SUCCEEDED),
        (Event.FAIL, State.FAILED),
        (Event.TIME_OUT, State.TIMED_OUT),
        (Event.CANCEL, State.CANCELLED),
    ],
)
async def test_what_a_run_ended_as_stays(world: World, event: Event, state: State) -> None:
    run = await world.run()
    await world.finish(run, Outcome(event=event))
    before = await world.snapshot()

    assert await world.cancel(run.id) == (False, state)
    assert await world.snapshot() == before


async def test_what_expired_stays_expired(world: World) -> None:
    invocation_id = await world.submit(max_age_ms=1_000)
    await world.later(2_000).sweep()

    assert await world.cancel(invocation_id) == (False, State.EXPIRED)


async def test_a_second_cancel_changes_nothing(world: World) -> None:
    run = await world.run(callback="https://example.com")
    await world.cancel(run.id)
    before = await world.snapshot()

    assert await world.cancel(run.id) == (False, State.CANCELLED)
    assert await world.snapshot() == before


async def test_an_unknown_id_has_no_state(world: World) -> None:
    assert await world.cancel("0190163d-8694-739b-aea5-966c26f8ad91") == (False, None)


@pytest.mark.parametrize("runs", [False, True])
async def test_a_cancel_tells_who_waits_and_owes_the_callback(world: World, runs: bool) -> None:
    submit = world.run if runs else world.submit
    invocation = await submit(callback="https://example.com", gateway="gateway-1")
    invocation_id = invocation if isinstance(invocation, str) else invocation.id

    async with listening(world.store.replies("gateway-1")) as ear:
        await world.cancel(invocation_id)
        _, hint = await ear.next()

    assert hint.split(b"\n")[:2] == [invocation_id.encode(), b"cancelled"]
    assert await world.store.outbox.size() == 1


@pytest.mark.parametrize(("kind", "keep_ms"), [("job", 50_000_000), ("call", 40_000_000)])
async def test_a_cancelled_record_is_kept_as_long_as_its_kind_says(world: World, kind: str, keep_ms: int) -> None:
    world = world.keeping(Retention(job_ms=50_000_000, call_ms=40_000_000))
    invocation_id = await world.submit(kind=kind)

    await world.cancel(invocation_id)

    left_ms = await world.redis.pttl(keys.record(world.function, invocation_id))
    assert keep_ms - 10_000 < left_ms <= keep_ms


async def test_a_queue_is_purged_of_all_that_waits(world: World) -> None:
    run = await world.run()
    waiting = [await world.submit(), await world.submit(delay_ms=60_000), await world.submit(kind="call")]

    assert await world.store.queue.cancel_waiting(world.function) == 3
    assert [await world.state(invocation_id) for invocation_id in waiting] == [State.CANCELLED] * 3
    assert await world.state(run.id) is State.RUNNING
    assert await world.store.queue.cancel_waiting(world.function) == 0


async def test_held_calls_of_a_function_that_cannot_start_fail_at_once(world: World) -> None:
    calls = [await world.submit(kind="call"), await world.submit(kind="call")]

    assert await world.reject_held() == 2
    for invocation_id in calls:
        found = await world.get(invocation_id)
        assert (found.state, found.failure) == (State.FAILED, NO_START)
        assert await world.places(invocation_id) == set()


async def test_jobs_go_on_waiting_for_a_function_that_cannot_start(world: World) -> None:
    job = await world.submit()
    detached = await world.submit(kind="call")
    await world.store.queue.detach(world.function, detached)

    assert await world.reject_held() == 0
    assert await world.state(job) is await world.state(detached) is State.QUEUED


async def test_a_running_call_is_not_rejected(world: World) -> None:
    run = await world.run(kind="call")

    assert await world.reject_held() == 0
    assert await world.finish(run, ANSWER) is State.SUCCEEDED


async def test_the_client_of_a_rejected_call_is_told_why(world: World) -> None:
    invocation_id = await world.submit(kind="call", gateway="gateway-1")

    async with listening(world.store.replies("gateway-1")) as ear:
        await world.reject_held()
        _, hint = await ear.next()

    assert hint.split(b"\n")[:2] == [invocation_id.encode(), b"failed"]
    assert NO_START.message.encode() in hint


async def test_a_rejected_call_is_kept_as_long_as_a_call(world: World) -> None:
    world = world.keeping(Retention(job_ms=50_000_000, call_ms=40_000_000))
    invocation_id = await world.submit(kind="call")

    await world.reject_held()

    left_ms = await world.redis.pttl(keys.record(world.function, invocation_id))
    assert 39_990_000 < left_ms <= 40_000_000


async def test_a_deposed_leader_rejects_nothing(world: World) -> None:
    await world.submit(kind="call")
    before = await world.snapshot()

    with pytest.raises(Stale):
        await replace(world, epoch=world.epoch + 1).reject_held()
    assert await world.snapshot() == before
