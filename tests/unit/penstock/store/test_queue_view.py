"""Reading invocations: one, how it ended, its place, the listing; and changing who waits for it."""

from __future__ import annotations

import pytest

from penstock import keys
from penstock.invocation import State
from penstock.store import LEASE_MS, Retention
from tests.unit.penstock.store.world import ANSWER, World, listening

UNKNOWN = "0190163d-8694-739b-aea5-966c26f8ad91"


def same_millisecond(number: int) -> str:
    """Ids that were made at the same time and sort by their number."""
    return f"0190163d-8694-7{number:03x}-aea5-966c26f8ad91"


async def test_an_unknown_id_has_no_record_no_ending_and_no_place(world: World) -> None:
    assert await world.store.invocations.get(world.function, UNKNOWN) is None
    assert await world.store.invocations.ending(world.function, UNKNOWN) is None
    assert await world.store.invocations.position(world.function, UNKNOWN) is None


async def test_what_has_not_ended_has_no_ending(world: World) -> None:
    run = await world.run()
    assert await world.store.invocations.ending(world.function, run.id) is None

    await world.retry(run)
    assert await world.store.invocations.ending(world.function, run.id) is None


async def test_what_was_never_answered_ends_without_a_response(world: World) -> None:
    invocation_id = await world.submit()
    await world.cancel(invocation_id)

    ending = await world.store.invocations.ending(world.function, invocation_id)

    assert ending is not None
    assert (ending.state, ending.response, ending.body) == (State.CANCELLED, None, b"")


async def test_the_position_counts_from_one_in_the_order_of_taking(world: World) -> None:
    normal, high = await world.submit(), await world.submit(priority="high")

    assert await world.store.invocations.position(world.function, high) == 1
    assert await world.store.invocations.position(world.function, normal) == 2


async def test_what_runs_or_is_delayed_has_no_position(world: World) -> None:
    run = await world.run()
    delayed = await world.submit(delay_ms=60_000)

    assert await world.store.invocations.position(world.function, run.id) is None
    assert await world.store.invocations.position(world.function, delayed) is None


async def listed(world: World, *, before: str | None = None, limit: int = 10) -> list[str]:
    jobs = await world.store.invocations.list_jobs(world.function, beyond=before, limit=limit)
    return [job.id for job in jobs]


async def test_jobs_are_listed_newest_first_whatever_their_state(world: World) -> None:
    run = await world.run(id="0190163d-8694-739b-aea5-000000000001")
    await world.finish(run)
    newer = await world.submit(id="0190163d-8695-739b-aea5-000000000002", delay_ms=60_000)
    newest = await world.submit(id="0190163d-8696-739b-aea5-000000000003")

    assert await listed(world) == [newest, newer, run.id]


async def test_held_calls_are_not_listed(world: World) -> None:
    await world.submit(kind="call")

    assert await listed(world) == []


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
async def test_pages_give_each_job_once_also_those_of_the_same_millisecond(world: World, limit: int) -> None:
    names = {await world.submit(id=same_millisecond(number)) for number in range(5)}
    names |= {await world.submit() for _ in range(2)}

    pages: list[str] = []
    while page := await listed(world, before=pages[-1] if pages else None, limit=limit):
        assert len(page) <= limit
        pages += page

    assert pages == sorted(names, reverse=True)


async def test_a_page_goes_on_from_an_id_whose_record_is_gone(world: World) -> None:
    names = [await world.submit(id=same_millisecond(number)) for number in range(3)]
    await world.redis.delete(keys.record(world.function, names[1]))

    assert await listed(world, before=names[1]) == [names[0]]


async def test_jobs_past_their_retention_take_no_room_on_a_page(world: World) -> None:
    names = [await world.submit(id=same_millisecond(number)) for number in range(4)]
    for gone in names[2:]:
        await world.redis.delete(keys.record(world.function, gone))

    assert await listed(world, limit=2) == [names[1], names[0]]
    assert await world.redis.zcard(keys.jobs(world.function)) == 2, "and they leave the listing"


async def test_a_gateway_that_watches_is_told_of_the_end(world: World) -> None:
    run = await world.run()
    assert await world.store.queue.watch(world.function, run.id, "gateway-2") is State.RUNNING

    async with listening(world.store.replies("gateway-2")) as ear:
        await world.finish(run)

        channel, hint = await ear.next()
    assert (channel, hint.split(b"\n")[0].decode()) == (keys.reply("gateway-2"), run.id)


async def test_all_gateways_that_watch_are_told_and_so_is_the_first(world: World) -> None:
    run = await world.run(kind="call", gateway="gateway-1")
    await world.store.queue.watch(world.function, run.id, "gateway-2")

    async with (
        listening(world.store.replies("gateway-1")) as first,
        listening(world.store.replies("gateway-2")) as second,
    ):
        await world.finish(run, ANSWER)

        assert (await first.next())[1] == (await second.next())[1]


async def test_a_gateway_that_watches_twice_is_told_once(world: World) -> None:
    run = await world.run(gateway="gateway-1")
    for _ in range(2):
        await world.store.queue.watch(world.function, run.id, "gateway-1")

    assert (await world.record(run.id))["gateways"] == "gateway-1"


async def test_a_gateway_is_not_taken_for_another_whose_name_holds_its_own(world: World) -> None:
    invocation_id = await world.submit(gateway="gateway-10")
    await world.store.queue.watch(world.function, invocation_id, "gateway-1")

    assert (await world.record(invocation_id))["gateways"] == "gateway-10 gateway-1"


async def test_watching_what_has_ended_tells_how_and_changes_nothing(world: World) -> None:
    run = await world.run()
    await world.finish(run)
    before = await world.snapshot()

    assert await world.store.queue.watch(world.function, run.id, "gateway-1") is State.SUCCEEDED
    assert await world.snapshot() == before


async def test_watching_an_unknown_id_makes_no_record(world: World) -> None:
    assert await world.store.queue.watch(world.function, UNKNOWN, "gateway-1") is None
    assert await world.record(UNKNOWN) == {}


async def test_a_detached_call_goes_on_waiting_as_a_job(world: World) -> None:
    invocation_id = await world.submit(kind="call")

    assert await world.store.queue.detach(world.function, invocation_id) is State.QUEUED
    assert (await world.get(invocation_id)).kind == "job"
    assert await world.places(invocation_id) == {"queued", "deadlines", "jobs"}
    assert await listed(world) == [invocation_id]


async def test_a_call_that_is_detached_while_it_runs_ends_as_a_job(world: World) -> None:
    world = world.keeping(Retention(job_ms=50_000_000, call_ms=40_000_000))
    run = await world.run(kind="call")

    assert await world.store.queue.detach(world.function, run.id) is State.RUNNING
    await world.finish(run)

    assert await world.redis.pttl(keys.record(world.function, run.id)) > 40_000_000
    assert await listed(world) == [run.id]


async def test_a_detached_call_that_is_sent_back_is_no_held_call_again(world: World) -> None:
    run = await world.run(kind="call")
    await world.store.queue.detach(world.function, run.id)

    await world.later(LEASE_MS + 2_000).sweep()

    assert await world.places(run.id) == {"queued", "deadlines", "jobs"}


async def test_detaching_twice_changes_nothing(world: World) -> None:
    invocation_id = await world.submit(kind="call")
    await world.store.queue.detach(world.function, invocation_id)
    before = await world.snapshot()

    assert await world.store.queue.detach(world.function, invocation_id) is State.QUEUED
    assert await world.snapshot() == before


async def test_a_call_that_has_ended_stays_a_call(world: World) -> None:
    run = await world.run(kind="call")
    await world.finish(run)
    before = await world.snapshot()

    assert await world.store.queue.detach(world.function, run.id) is State.SUCCEEDED
    assert await world.snapshot() == before


async def test_detaching_an_unknown_id_makes_no_record(world: World) -> None:
    assert await world.store.queue.detach(world.function, UNKNOWN) is None
    assert await world.record(UNKNOWN) == {}
    assert await listed(world) == []
