"""What runs said is kept under their token, in order, capped by bytes; whoever follows is told of more."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock import keys
from penstock.events import BEGINNING, Gap, Place
from penstock.invocation import Invocation, Opening, Response, State
from penstock.store import Retention
from penstock.store.events import Story
from tests.unit.penstock.store.world import ANSWER, World, listening

A, B, C = '{"text": "a"}', '{"text": "b"}', '{"text": "c"}'


async def emit(world: World, run: Invocation, *data: str, first: int = 1, **more: Any) -> bool:
    kind = more.pop("kind", "output")
    said = [(kind, one) for one in data]
    return await world.store.events.emit(world.function, run.id, run.token, said, first=first, **more)


async def since(world: World, run: Invocation, place: Place = BEGINNING) -> Story:
    story = await world.store.events.since(world.function, run.id, place)
    assert story is not None
    return story


def names(story: Story) -> list[str]:
    return [f"{one.token}-{one.number} {one.data}" for one in story.said]


async def test_what_a_run_says_is_read_in_order_from_any_place(world: World) -> None:
    run = await world.run()
    assert await emit(world, run, A, B)
    assert await emit(world, run, C, first=3)
    assert names(await since(world, run)) == [f"1-1 {A}", f"1-2 {B}", f"1-3 {C}"]
    assert names(await since(world, run, Place(1, 2))) == [f"1-3 {C}"]
    assert names(await since(world, run, Place(1, 3))) == []
    assert (await since(world, run)).gap is None


async def test_nothing_said_makes_no_stream(world: World) -> None:
    run = await world.run()
    assert (await since(world, run)).said == []
    assert not await world.redis.exists(keys.events(world.function, run.id))


async def test_there_is_no_story_without_a_record(world: World) -> None:
    assert await world.store.events.since(world.function, "nobody", BEGINNING) is None


async def test_the_same_numbers_again_write_nothing(world: World) -> None:
    run = await world.run()
    await emit(world, run, A, B)
    assert await emit(world, run, A, B)
    assert await emit(world, run, A, B, C)
    assert names(await since(world, run)) == [f"1-1 {A}", f"1-2 {B}", f"1-3 {C}"]


async def test_each_run_counts_from_one(world: World) -> None:
    first = await world.run()
    await emit(world, first, A, B)
    await world.retry(first)
    await world.later(1).sweep()
    second = await world.take()
    assert second is not None
    assert await emit(world, second.invocation, C)
    assert names(await since(world, first)) == [f"1-1 {A}", f"1-2 {B}", f"2-1 {C}"]


async def test_a_stale_run_says_nothing(world: World) -> None:
    first = await world.run()
    await world.retry(first)
    assert not await emit(world, first, A)
    await world.later(1).sweep()
    assert await world.take() is not None
    before = await world.snapshot()
    assert not await emit(world, first, A)
    assert await world.snapshot() == before


async def test_after_the_end_only_lines_of_the_log_are_kept_and_as_long_as_the_record(world: World) -> None:
    run = await world.run()
    await world.finish(run)
    assert not await emit(world, run, A)
    assert not await emit(world, run, '{"progress": 1}', kind="progress")
    assert await emit(world, run, '{"line": "x"}', kind="log")
    assert names(await since(world, run)) == ['1-1 {"line": "x"}']
    left = await world.redis.pttl(keys.record(world.function, run.id))
    assert 0 < await world.redis.pttl(keys.events(world.function, run.id)) <= left


async def test_what_was_said_goes_with_the_record(world: World) -> None:
    brief = world.keeping(Retention(job_ms=50, call_ms=50))
    run = await brief.run()
    await emit(brief, run, A)
    await brief.finish(run)

    async def gone() -> None:
        while await world.redis.exists(keys.record(world.function, run.id), keys.events(world.function, run.id)):
            await asyncio.sleep(0.01)

    await asyncio.wait_for(gone(), 5)


async def test_the_oldest_go_when_there_is_too_much(world: World) -> None:
    run = await world.run()
    await emit(world, run, *["x" * 100] * 5, cap=250)
    story = await since(world, run)
    assert [one.number for one in story.said] == [4, 5]
    assert story.gap == Gap(through=Place(1, 3), bytes=300)
    assert (await since(world, run, Place(1, 3))).gap is None, "to one who has had it, nothing is missing"
    assert (await since(world, run, Place(1, 2))).gap == story.gap


async def test_the_latest_stays_however_long(world: World) -> None:
    run = await world.run()
    await emit(world, run, A, "x" * 1000, cap=250)
    story = await since(world, run)
    assert [one.number for one in story.said] == [2]
    assert story.gap == Gap(through=Place(1, 1), bytes=len(A))


async def test_what_nobody_kept_is_a_gap_too(world: World) -> None:
    run = await world.run()
    await emit(world, run, A)
    await emit(world, run, B, C, first=3, skipped=500)
    story = await since(world, run)
    assert names(story) == [f"1-3 {B}", f"1-4 {C}"], "what came before it cannot be read without it"
    assert story.gap == Gap(through=Place(1, 2), bytes=500 + len(A))
    await emit(world, run, B, C, first=3, skipped=500)
    assert await since(world, run) == story


async def test_what_comes_after_what_nobody_kept_may_go_as_well(world: World) -> None:
    run = await world.run()
    await emit(world, run, A)
    await emit(world, run, *["x" * 100] * 3, first=3, skipped=500, cap=150)
    story = await since(world, run)
    assert [one.number for one in story.said] == [5]
    assert story.gap == Gap(through=Place(1, 4), bytes=700 + len(A))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cap=st.integers(1, 400),
    batches=st.lists(
        st.tuples(st.lists(st.integers(1, 150), min_size=1, max_size=4), st.sampled_from([0, 0, 90])), max_size=8
    ),
    reads=st.sets(st.integers(0, 8)),
)
async def test_a_reader_misses_nothing_without_a_word(
    world: World, cap: int, batches: list[tuple[list[int], int]], reads: set[int]
) -> None:
    run = await world.run()
    number, place = 1, BEGINNING
    said, got, gaps = dict[int, int](), list[int](), list[Gap]()

    async def look() -> None:
        nonlocal place
        story = await since(world, run, place)
        gaps.extend([story.gap] if story.gap else [])
        got.extend(one.number for one in story.said)
        place = story.said[-1].place if story.said else place

    for turn, (sizes, skipped) in enumerate(batches):
        number += bool(skipped)
        said |= {number + i: size for i, size in enumerate(sizes)}
        await emit(world, run, *("x" * size for size in sizes), first=number, skipped=skipped, cap=cap)
        number += len(sizes)
        if turn in reads:
            await look()
    await look()
    await world.finish(run)
    assert got == sorted(set(got))
    for one in said.keys() - set(got):
        assert any(one <= gap.through.rank for gap in gaps)
    if sum(said.values()) <= cap and not any(skipped for _, skipped in batches):
        assert got == list(said)
        assert not gaps


async def test_the_latest_progress_stands_in_the_record(world: World) -> None:
    run = await world.run()
    await emit(world, run, '{"progress": 0.1}', '{"progress": 0.2}', kind="progress")
    await emit(world, run, A, first=3)
    assert (await world.get(run.id)).progress == {"progress": 0.2}


async def test_who_follows_is_told_of_everything_and_nobody_else(world: World) -> None:
    async with listening(world.store.replies("gw")) as ear:
        run = await world.run(observer="gw")
        other = await world.run()
        await emit(world, other, A)
        await world.finish(other)
        for step in ("queued", "running"):
            assert await ear.next() == (keys.reply("gw"), run.id.encode()), step
        await emit(world, run, A)
        assert await ear.next() == (keys.reply("gw"), run.id.encode())
        await emit(world, run, '{"progress": 1}', first=2, kind="progress")
        assert await ear.next() == (keys.reply("gw"), run.id.encode())
        await world.finish(run)
        assert await ear.next() == (keys.reply("gw"), run.id.encode())


async def test_a_gateway_may_begin_to_follow_later(world: World) -> None:
    run = await world.run(observer="gw-1")
    queue = world.store.queue
    for _ in range(2):
        assert await queue.watch(world.function, run.id, "gw-2", everything=True) is State.RUNNING
    assert (await world.record(run.id))["observers"] == "gw-1 gw-2"
    async with listening(world.store.replies("gw-2")) as ear:
        await emit(world, run, A)
        assert await ear.next() == (keys.reply("gw-2"), run.id.encode())


async def test_the_feed_tells_of_states_and_progress_and_not_of_output(world: World) -> None:
    async with listening(world.store.feed(world.function)) as ear:
        run = await world.run()
        await emit(world, run, A)
        await emit(world, run, '{"progress": 0.5}', first=2, kind="progress")
        await world.release(run)
        again = await world.take()
        assert again is not None
        await world.retry(again.invocation)
        await world.cancel(run.id)
        heard = [(await ear.next())[1].decode().removeprefix(run.id) for _ in range(7)]
    assert heard == [
        " queued 0",
        " running 1",
        ' progress 1 {"progress": 0.5}',
        " queued 0",
        " running 1",
        " queued 1",
        " cancelled 1",
    ]


async def test_a_glance_changes_with_everything_that_happens(world: World) -> None:
    ahead, one = await world.submit(), await world.submit()
    marks = []

    async def glance() -> int | None:
        gone, found = await world.store.events.glance([(world.function, "nobody"), (world.function, one)])
        assert (gone.mark, gone.position) == (None, None)
        marks.append(found.mark)
        return found.position

    assert await glance() == 2
    first = await world.take()
    assert first is not None
    assert first.invocation.id == ahead
    assert await glance() == 1
    assert marks[0] == marks[1], "its place alone is another"
    run = await world.take()
    assert run is not None
    assert await glance() is None
    await emit(world, run.invocation, A)
    await glance()
    await emit(world, run.invocation, B, first=2)
    await glance()
    await world.retry(run.invocation)
    await glance()
    await world.cancel(one)
    await glance()
    assert len(set(marks)) == len(marks) - 1


OPENING = Opening(
    response=Response(status=200, headers=(("Content-Type", "text/event-stream"),)),
    length=None,
    timeline={"queued": 1.0},
    cold_start=False,
    address="unix:/inner.sock",
    path="/runs/x",
)


async def test_an_answer_that_begins_is_news_for_who_waits_until_it_ends(world: World) -> None:
    run = await world.run(kind="call", gateway="gw")
    queue, news = world.store.queue, world.store.invocations.news
    assert await news(world.function, run.id) is None
    async with listening(world.store.replies("gw")) as ear:
        assert await queue.open(world.function, run.id, run.token, OPENING)
        channel, data = await ear.next()
    assert (channel, data.split(b"\n")[:2]) == (keys.reply("gw"), [run.id.encode(), b"open"])
    assert await news(world.function, run.id) == OPENING
    assert not await queue.open(world.function, run.id, run.token + 1, OPENING)
    await world.finish(run)
    ending = await news(world.function, run.id)
    assert ending == await world.store.invocations.ending(world.function, run.id)
    assert ending is not None
    assert not await queue.open(world.function, run.id, run.token, OPENING), "it is over"
    assert "stream" not in await world.record(run.id)


async def test_nobody_waits_nobody_is_told(world: World) -> None:
    run = await world.run()
    assert not await world.store.queue.open(world.function, run.id, run.token, OPENING)


async def test_an_answer_that_broke_off_is_no_news_for_the_next_run(world: World) -> None:
    run = await world.run(kind="call", gateway="gw")
    await world.store.queue.open(world.function, run.id, run.token, OPENING)
    await world.retry(run)
    assert await world.store.invocations.news(world.function, run.id) is None


async def test_sets_of_runs_are_apart(world: World) -> None:
    one, other = await world.run(), await world.run()
    await emit(world, one, A)
    await emit(world, other, B)
    assert (names(await since(world, one)), names(await since(world, other))) == ([f"1-1 {A}"], [f"1-1 {B}"])
    assert await world.finish(one, ANSWER) is State.SUCCEEDED


@pytest.mark.parametrize("text", ["Grüße \u2028", "\\u0000", '"quoted"\\n'])
async def test_data_is_kept_as_it_is(world: World, text: str) -> None:
    run = await world.run()
    await emit(world, run, text)
    assert [one.data for one in (await since(world, run)).said] == [text]
