"""What a worker does with a run: renew its lease, finish it, send it back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from penstock import keys
from penstock.invocation import Event, Failure, FailureCode, Outcome, Response, State
from penstock.store import LEASE_MS, Retention
from penstock.store.records import decode_ending
from penstock.store.scripts import HINT_LIMIT
from tests.unit.penstock.store.world import ANSWER, ERROR, World, listening


async def test_renew_extends_the_leases_of_all_runs(world: World) -> None:
    runs = [await world.run(), await world.run()]

    assert await world.later(6_000).renew(*runs) == []
    for run in runs:
        lease = await world.score("running", run.id)
        assert lease is not None
        assert run.started_at is not None
        assert 6_000 <= lease - run.started_at - LEASE_MS < 10_000


async def test_a_renewed_lease_is_not_lost(world: World) -> None:
    run = await world.run()
    await world.later(6_000).renew(run)

    assert (await world.later(LEASE_MS + 2_000).sweep()).running == 1
    assert (await world.later(6_000 + LEASE_MS + 2_000).sweep()).running == 0


async def test_renew_names_the_runs_that_are_no_longer_the_callers(world: World) -> None:
    ended, sent_back, current = await world.run(), await world.run(), await world.run()
    await world.finish(ended)
    await world.retry(sent_back)
    unknown = replace(current, id="0190163d-8694-739b-aea5-966c26f8ad91")

    stale = await world.renew(ended, current, sent_back, unknown)

    assert stale == [ended.id, sent_back.id, unknown.id]


async def test_renewing_an_older_run_of_the_same_id_changes_nothing(world: World) -> None:
    old = await world.run()
    await world.release(old)
    assert await world.take() is not None
    before = await world.snapshot()

    assert await world.later(5_000).renew(old) == [old.id]
    assert await world.snapshot() == before


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (ANSWER, State.SUCCEEDED),
        (ERROR, State.FAILED),
        (
            Outcome(event=Event.TIME_OUT, failure=Failure(code=FailureCode.RUN_TIMEOUT, message="too long")),
            State.TIMED_OUT,
        ),
    ],
)
async def test_finish_ends_the_invocation(world: World, outcome: Outcome, state: State) -> None:
    run = await world.run()

    assert await world.finish(run, outcome) is state
    assert await world.state(run.id) is state
    assert await world.places(run.id) == {"jobs"}


async def test_the_outcome_reads_back_as_the_worker_told_it(world: World) -> None:
    outcome = Outcome(
        event=Event.FAIL,
        response=Response(status=500, headers=(("x-name", "Grüße"),), size=4, blob="out/1"),
        body=b"\x00\xff..",
        failure=Failure(code=FailureCode.FUNCTION_ERROR, message="it raised", log_tail="Traceback\n"),
        timeline={"queued": 1.5, "running": 20.0},
        cold_start=True,
    )
    run = await world.run()

    await world.finish(run, outcome)

    ending = await world.store.invocations.ending(world.function, run.id)
    assert ending is not None
    assert ending.state is State.FAILED
    assert ending.body == outcome.body
    found = await world.get(run.id)
    for told in (ending, found):
        assert told.response == outcome.response
        assert told.failure == outcome.failure
        assert told.timeline == outcome.timeline
        assert told.cold_start is True
    assert found.finished_at is not None
    assert found.started_at is not None
    assert found.finished_at >= found.started_at


async def test_finish_with_an_old_token_writes_nothing(world: World) -> None:
    old = await world.run(callback="https://example.com", gateway="gateway-1")
    await world.release(old)
    current = await world.take()
    assert current is not None
    before = await world.snapshot()

    async with listening(world.store.replies("gateway-1")) as ear:
        assert await world.finish(old) is None
        assert await world.snapshot() == before
        await world.redis.publish(keys.reply("gateway-1"), "the next that is heard")
        assert await ear.next() == (keys.reply("gateway-1"), b"the next that is heard")


async def test_finish_with_an_old_token_does_not_change_how_it_ended(world: World) -> None:
    old = await world.run()
    await world.release(old)
    current = await world.take()
    assert current is not None
    await world.finish(current.invocation, ERROR)
    before = await world.snapshot()

    assert await world.finish(old) is None
    assert await world.snapshot() == before


async def test_finish_again_with_the_same_token_keeps_the_first_outcome(world: World) -> None:
    run = await world.run(callback="https://example.com")
    await world.finish(run)
    before = await world.snapshot()

    assert await world.finish(run, ERROR) is State.SUCCEEDED
    assert await world.snapshot() == before


async def test_finish_after_a_cancel_tells_that_it_is_cancelled(world: World) -> None:
    run = await world.run()
    await world.cancel(run.id)

    assert await world.finish(run) is State.CANCELLED
    assert await world.state(run.id) is State.CANCELLED


async def test_finish_of_a_run_that_was_sent_back_is_stale(world: World) -> None:
    run = await world.run()
    await world.retry(run)

    assert await world.finish(run) is None
    assert await world.state(run.id) is State.QUEUED


async def test_finish_of_an_unknown_id_is_stale_and_makes_no_record(world: World) -> None:
    run = await world.run()
    await world.redis.delete(keys.record(world.function, run.id))

    assert await world.finish(run) is None
    assert await world.record(run.id) == {}


@pytest.mark.parametrize("event", [Event.RETRY, Event.RELEASE, Event.LOSE])
async def test_finish_refuses_an_event_that_ends_nothing(world: World, event: Event) -> None:
    run = await world.run()
    before = await world.snapshot()

    assert await world.finish(run, Outcome(event=event)) is None
    assert await world.snapshot() == before


async def test_finish_owes_the_callback_at_once(world: World) -> None:
    run = await world.run(callback="https://example.com/done")
    assert await world.store.outbox.size() == 0

    await world.finish(run)

    assert await world.store.outbox.claim(claim_ms=1_000, limit=10) == [(world.function, run.id, "completed")]


async def test_finish_owes_no_callback_that_nobody_asked_for(world: World) -> None:
    await world.finish(await world.run())

    assert await world.store.outbox.size() == 0


@pytest.mark.parametrize("size", [0, 1_000, HINT_LIMIT])
async def test_the_hint_carries_an_answer_up_to_64_kib(world: World, size: int) -> None:
    run = await world.run(kind="call", gateway="gateway-1")
    body = (b"\n\x00\xff!" * HINT_LIMIT)[:size]

    async with listening(world.store.replies("gateway-1")) as ear:
        await world.finish(run, replace(ANSWER, body=body))
        channel, hint = await ear.next()

    invocation_id, state, head, answer = hint.split(b"\n", 3)
    assert (channel, invocation_id.decode()) == (keys.reply("gateway-1"), run.id)
    ending = await world.store.invocations.ending(world.function, run.id)
    assert decode_ending(state, head, answer) == ending
    assert answer == body


async def test_the_hint_of_a_longer_answer_is_its_id_alone(world: World) -> None:
    run = await world.run(kind="call", gateway="gateway-1")

    async with listening(world.store.replies("gateway-1")) as ear:
        await world.finish(run, replace(ANSWER, body=b"x" * (HINT_LIMIT + 1)))

        assert await ear.next() == (keys.reply("gateway-1"), run.id.encode())


@pytest.mark.parametrize(("kind", "keep_ms"), [("job", 50_000_000), ("call", 40_000_000)])
async def test_an_ended_record_is_kept_as_long_as_its_kind_says(world: World, kind: str, keep_ms: int) -> None:
    world = world.keeping(Retention(job_ms=50_000_000, call_ms=40_000_000))
    run = await world.run(kind=kind)
    record = keys.record(world.function, run.id)
    assert await world.redis.pttl(record) == -1, "a running one never goes away"

    await world.finish(run)

    assert keep_ms - 10_000 < await world.redis.pttl(record) <= keep_ms


async def test_a_retried_run_is_ready_again_after_the_delay(world: World) -> None:
    run = await world.run()

    assert await world.retry(run, delay_ms=60_000)
    assert await world.places(run.id) == {"delayed", "deadlines", "jobs"}
    assert (await world.later(50_000).sweep()).delayed == 1
    assert (await world.later(61_000).sweep()).queued == 1
    assert await world.places(run.id) == {"queued", "deadlines", "jobs"}


async def test_a_retry_spends_an_attempt_and_tells_why_the_last_one_failed(world: World) -> None:
    run = await world.run()
    await world.retry(run)

    waiting = await world.get(run.id)
    assert (waiting.state, waiting.attempt, waiting.failure) == (State.QUEUED, 1, ERROR.failure)
    assert waiting.finished_at is None
    await world.sweep()
    again = await world.take()
    assert again is not None
    assert again.invocation.attempt == 2


async def test_a_retried_job_keeps_its_place(world: World) -> None:
    run = await world.run()
    later_one = await world.submit()
    await world.retry(run)
    await world.sweep()

    taken = [again.invocation.id for _ in range(2) if (again := await world.take())]

    assert taken == [run.id, later_one]


async def test_a_retried_call_is_a_held_call_again(world: World) -> None:
    run = await world.run(kind="call")
    await world.retry(run)
    await world.sweep()

    assert await world.places(run.id) == {"queued", "deadlines", "calls"}


async def test_a_function_is_due_when_its_retry_is(world: World) -> None:
    run = await world.run()
    await world.sweep()
    await world.retry(run, delay_ms=500)

    assert await world.later(600).is_due()


async def test_a_retry_does_not_put_off_what_is_due_now(world: World) -> None:
    run = await world.run()
    await world.submit()

    await world.retry(run, delay_ms=60_000)

    assert await world.is_due()


async def test_a_retry_with_an_old_token_writes_nothing(world: World) -> None:
    run = await world.run()
    await world.release(run)
    assert await world.take() is not None
    before = await world.snapshot()

    assert not await world.retry(run)
    assert await world.snapshot() == before


async def test_a_second_retry_of_the_same_run_writes_nothing(world: World) -> None:
    run = await world.run()
    await world.retry(run, delay_ms=1_000)
    before = await world.snapshot()

    assert not await world.retry(run, delay_ms=9_000)
    assert await world.snapshot() == before


async def test_a_released_run_keeps_its_place(world: World) -> None:
    run = await world.run()
    later_one = await world.submit()

    assert await world.release(run)
    taken = [again.invocation.id for _ in range(2) if (again := await world.take())]

    assert taken == [run.id, later_one]


async def test_a_release_counts_as_a_deferral_and_spends_no_attempt(world: World) -> None:
    run = await world.run()
    await world.release(run)

    waiting = await world.get(run.id)
    assert (waiting.state, waiting.deferrals, waiting.attempt) == (State.QUEUED, 1, 0)
    again = await world.take()
    assert again is not None
    assert (again.invocation.token, again.invocation.attempt) == (2, 1)


async def test_a_released_call_is_a_held_call_again_and_may_wait_its_whole_age_again(world: World) -> None:
    run = await world.run(kind="call", max_age_ms=60_000)

    await world.later(30_000).release(run)

    assert await world.places(run.id) == {"queued", "deadlines", "calls"}
    expires = await world.score("deadlines", run.id)
    assert expires is not None
    assert 90_000 <= expires - run.created_at < 95_000


async def test_a_release_wakes_the_workers(world: World) -> None:
    run = await world.run()

    async with listening(world.store.wakes()) as ear:
        await world.release(run)

        assert await ear.next() == (keys.WAKE, world.function.encode())


async def test_a_release_with_an_old_token_writes_nothing(world: World) -> None:
    run = await world.run()
    await world.release(run)
    assert await world.take() is not None
    before = await world.snapshot()

    assert not await world.release(run)
    assert await world.snapshot() == before


async def test_a_second_release_of_the_same_run_writes_nothing(world: World) -> None:
    run = await world.run()
    await world.release(run)
    before = await world.snapshot()

    assert not await world.release(run)
    assert await world.snapshot() == before


async def test_a_deposed_leader_releases_nothing(world: World) -> None:
    run = await world.run()
    await world.later(60_000).store.leadership.lead("leader-2")
    before = await world.snapshot()

    assert not await world.release(run)
    assert await world.snapshot() == before


async def test_a_deposed_leaders_result_still_counts(world: World) -> None:
    run = await world.run()
    await world.later(60_000).store.leadership.lead("leader-2")

    assert await world.renew(run) == []
    assert await world.finish(run) is State.SUCCEEDED


@pytest.mark.parametrize("how", ["retry", "release", "sweep"])
async def test_a_record_knows_when_its_last_run_was_sent_back(world: World, how: str) -> None:
    run = await world.run()
    assert run.sent_back_at is None
    later = world.later(LEASE_MS + 2_000)
    await (later.sweep() if how == "sweep" else getattr(later, how)(run))
    record = await world.get(run.id)
    assert record.sent_back
    assert record.started_at is not None
    assert record.sent_back_at is not None
    assert LEASE_MS + 2_000 <= record.sent_back_at - record.started_at < LEASE_MS + 10_000
