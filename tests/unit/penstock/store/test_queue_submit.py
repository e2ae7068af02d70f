"""Accepting an invocation: durable, idempotent by id, bounded in depth, in order of priority."""

from __future__ import annotations

import pytest

from penstock import ids, keys
from penstock.errors import FunctionNotFound, QueueFull
from penstock.invocation import Kind, Request, State
from tests.unit.penstock.store.world import World, listening


async def test_a_submitted_invocation_reads_back_as_it_was_submitted(world: World) -> None:
    submission = world.submission(
        request=Request(
            method="PUT",
            path="/v1/images",
            query="size=2",
            headers=(("content-type", "image/png"), ("x-name", "Grüße")),
            size=4,
            blob="in/1",
        ),
        priority="high",
        attempts=5,
        callback="https://example.com/done",
        max_age_ms=60_000,
        timeout_ms=7_000,
    )

    await world.store.queue.submit(submission, depth=10)

    found = await world.get(submission.id)
    assert found.function == world.function
    assert found.id == submission.id
    assert found.request == submission.request
    assert found.priority == "high"
    assert found.attempts == 5
    assert found.callback == "https://example.com/done"
    assert (found.max_age_ms, found.timeout_ms) == (60_000, 7_000)
    assert (found.state, found.kind) == (State.QUEUED, "job")


async def test_a_new_invocation_has_not_run(world: World) -> None:
    found = await world.get(await world.submit())

    assert (found.token, found.attempt, found.deferrals) == (0, 0, 0)
    assert (found.started_at, found.finished_at, found.instance) == (None, None, None)
    assert (found.response, found.failure, found.cold_start) == (None, None, None)


async def test_the_creation_time_is_redis_own(world: World) -> None:
    seconds, _ = await world.redis.time()
    found = await world.get(await world.later(3_600_000).submit())

    assert 3_600 <= found.created_at / 1000 - seconds < 3_610


async def test_submit_tells_how_many_are_ready_before_it(world: World) -> None:
    ahead = [(await world.store.queue.submit(world.submission(), depth=10)).ahead for _ in range(3)]

    assert ahead == [0, 1, 2]


@pytest.mark.parametrize(
    ("kind", "places"),
    [("job", {"queued", "deadlines", "jobs"}), ("call", {"queued", "deadlines", "calls"})],
)
async def test_jobs_are_listed_and_held_calls_counted_apart(world: World, kind: Kind, places: set[str]) -> None:
    assert await world.places(await world.submit(kind=kind)) == places


async def test_a_job_is_listed_under_the_time_of_its_id(world: World) -> None:
    invocation_id = await world.submit()

    assert await world.score("jobs", invocation_id) == ids.created_ms(invocation_id)


async def test_the_deadline_counts_from_the_creation(world: World) -> None:
    found = await world.get(await world.submit(max_age_ms=60_000))

    assert await world.score("deadlines", found.id) == found.created_at + 60_000


async def test_the_same_id_again_changes_nothing(world: World) -> None:
    submission = world.submission(kind="call", gateway="gateway-1", callback="https://example.com")
    await world.store.queue.submit(submission, depth=10)
    before = await world.snapshot()

    assert (await world.store.queue.submit(submission, depth=10)).ahead == 0
    assert await world.snapshot() == before


async def test_the_same_id_again_is_no_second_one_that_a_full_queue_refuses(world: World) -> None:
    submission = world.submission()
    await world.store.queue.submit(submission, depth=1)

    assert (await world.store.queue.submit(submission, depth=1)).ahead == 0


async def test_an_id_that_has_ended_is_not_run_again(world: World) -> None:
    run = await world.run()
    await world.finish(run)

    assert (await world.store.queue.submit(world.submission(id=run.id), depth=10)).ahead == 0
    assert await world.take() is None
    assert await world.state(run.id) is State.SUCCEEDED


async def test_a_function_that_is_not_deployed_is_refused_and_nothing_is_written(world: World) -> None:
    before = await world.snapshot()

    with pytest.raises(FunctionNotFound, match="no function is named 'nobody'"):
        await world.store.queue.submit(world.submission(function="nobody"), depth=10)
    assert await world.snapshot() == before


@pytest.mark.parametrize(("full", "other"), [("job", "call"), ("call", "job")])
async def test_depth_is_bounded_for_calls_and_jobs_apart(world: World, full: Kind, other: Kind) -> None:
    for _ in range(2):
        await world.submit(kind=full)

    with pytest.raises(QueueFull, match=f"2 invocations already wait for {world.function}; its limit is 2"):
        await world.submit(kind=full, depth=2)
    await world.submit(kind=other, depth=1)


async def test_a_refused_submission_writes_nothing(world: World) -> None:
    await world.submit()
    before = await world.snapshot()

    with pytest.raises(QueueFull):
        await world.submit(depth=1)
    assert await world.snapshot() == before


async def test_jobs_that_wait_for_their_start_count_towards_the_depth(world: World) -> None:
    await world.submit(delay_ms=60_000)

    with pytest.raises(QueueFull):
        await world.submit(depth=1)


async def test_what_runs_does_not_count_towards_the_depth(world: World) -> None:
    await world.run()

    await world.submit(depth=1)


async def test_a_delayed_job_is_not_ready_before_its_time(world: World) -> None:
    found = await world.get(await world.submit(delay_ms=60_000))

    assert await world.places(found.id) == {"delayed", "deadlines", "jobs"}
    assert await world.score("delayed", found.id) == found.created_at + 60_000
    assert await world.take() is None


async def test_a_submission_wakes_the_workers(world: World) -> None:
    async with listening(world.store.wakes()) as ear:
        await world.submit()

        assert await ear.next() == (keys.WAKE, world.function.encode())


async def test_a_submission_makes_its_function_due_at_once(world: World) -> None:
    await world.submit()

    assert await world.is_due()


async def test_a_delayed_submission_makes_its_function_due_when_it_is_ready(world: World) -> None:
    await world.submit(delay_ms=60_000)

    wait, functions = await world.store.queue.due()
    assert functions == []
    assert 55 < wait <= 60
    assert await world.later(60_000).is_due()


async def test_a_delayed_submission_does_not_put_off_what_is_due_now(world: World) -> None:
    await world.submit()
    await world.submit(delay_ms=60_000)

    assert await world.is_due()


async def test_a_higher_priority_goes_first_and_each_keeps_its_order(world: World) -> None:
    priorities = ["low", "normal", "high", "low", "normal", "high"]
    names = [await world.submit(priority=priority) for priority in priorities]

    taken = [run.invocation.id for _ in names if (run := await world.take())]

    assert taken == [names[index] for index in (2, 5, 1, 4, 0, 3)]
