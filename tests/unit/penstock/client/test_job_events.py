"""Following an invocation through a real gateway: all events, in order, once, whatever breaks on the way."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import aclosing

import pytest

from penstock import client as api
from penstock.client import AsyncClient
from penstock.events import Kind
from penstock.instance import InstanceState, InstanceView
from penstock.invocation import Run
from penstock.store import PoolView
from tests.faults.proxy import Proxy
from tests.unit.gateway.conftest import House, answer, failed
from tests.unit.workers.waiting import until


async def say(house: House, run: Run, first: int, *said: tuple[Kind, object]) -> None:
    """`first`: the number of the first of them."""
    one = run.invocation
    lines = [(kind, json.dumps(data)) for kind, data in said]
    assert await house.store.events.emit(house.function, one.id, one.token, lines, first=first)


async def ids(job: api.AsyncJob, after: str | None = None) -> list[str]:
    """Of all that is stored or follows from the record."""
    return [event.id async for event in job.events(after) if event.id is not None]


async def test_all_that_happens_is_told_as_it_happens(house: House, client: AsyncClient) -> None:
    job = await client.submit(house.function)
    async with aclosing(job.events()) as events:
        queued = await anext(events)
        assert isinstance(queued, api.StateChanged)
        assert (queued.state, queued.attempt, queued.id) == ("queued", 0, "0-queued")
        run = await house.take()
        running = await anext(events)
        while isinstance(running, api.Position):
            running = await anext(events)
        assert (running.kind, running.id) == ("running", "1-running")
        await say(house, run, 1, ("progress", {"progress": 0.4, "message": "step 12/30"}))
        progress = await anext(events)
        assert isinstance(progress, api.Progress)
        assert (progress.progress, progress.message) == (0.4, "step 12/30")
        await say(house, run, 2, ("output", {"base64": "AP8="}), ("log", {"line": "a line"}))
        output, log = await anext(events), await anext(events)
        assert isinstance(output, api.Output)
        assert output.content == b"\x00\xff"
        assert isinstance(log, api.Log)
        assert (log.line, log.id) == ("a line", "1-3")
        await house.finish(run, answer(b"the answer"))
        ended = await anext(events)
        assert isinstance(ended, api.StateChanged)
        assert (ended.state, ended.ended, ended.data["result"]) == ("succeeded", True, "the answer")
        with pytest.raises(StopAsyncIteration):
            await anext(events)


async def test_where_it_waits_is_told_and_why(house: House, client: AsyncClient) -> None:
    await client.submit(house.function)
    job = await client.submit(house.function)
    async with aclosing(job.events()) as events:
        assert (await anext(events)).kind == "queued"
        position = await anext(events)
        assert isinstance(position, api.Position)
        assert (position.queue_position, position.id) == (2, None)
        assert position.waiting_reason
        await house.take()
        moved = await anext(events)
        assert isinstance(moved, api.Position)
        assert moved.queue_position == 1


async def test_a_start_that_gets_further_is_told_although_the_position_stays(
    house: House, client: AsyncClient
) -> None:
    job = await client.submit(house.function)

    async def show(stage: InstanceState, spent: float) -> None:
        starting = InstanceView(
            id="i-1", state=stage, revision=1, in_flight=0, timeline={"starting": spent}, started_at=0, reason=""
        )
        pool = PoolView(instances=[starting], desired=1, reason="1 queued", drain_rate=None)
        await house.store.pools.show(house.function, pool, epoch=house.epoch)

    await show(InstanceState.STARTING, 100.0)
    async with aclosing(job.events()) as events:
        assert (await anext(events)).kind == "queued"
        first = await anext(events)
        await show(InstanceState.INITIALIZING, 1200.0)
        second = await anext(events)
    assert isinstance(first, api.Position)
    assert isinstance(second, api.Position)
    assert (first.queue_position, first.waiting_reason) == (1, "instance i-1 is starting, 0.1 s into its start")
    assert (second.queue_position, second.waiting_reason) == (
        1,
        "instance i-1 is initializing, 1.2 s into its start",
    )


async def test_whether_to_follow_is_true_or_false(house: House, client: AsyncClient) -> None:
    job = await client.submit(house.function)
    with pytest.raises(api.InvalidRequest, match="follow='later' is neither true nor false"):
        await client.get(f"{house.calls}/{job.id}/events", follow="later")


async def test_after_its_end_all_of_it_is_told_and_from_any_place(house: House, client: AsyncClient) -> None:
    job = await client.submit(house.function)
    run = await house.take()
    await say(house, run, 1, *[("log", {"line": f"line {number}"}) for number in range(3)])
    assert [event.id async for event in job.events(follow=False) if event.id] == [
        *("0-queued", "1-running", "1-1", "1-2", "1-3")
    ], "all up to now, without waiting for more"
    await house.finish(run, failed())
    whole = ["0-queued", "1-running", "1-1", "1-2", "1-3", "1-failed"]
    assert await ids(job) == whole
    for place, name in enumerate(whole):
        assert await ids(job, name) == whole[place + 1 :]
    assert [line async for line in job.logs()] == ["line 0", "line 1", "line 2"]
    assert [line async for line in job.logs(follow=False)] == ["line 0", "line 1", "line 2"]
    with pytest.raises(api.InvalidRequest, match="Last-Event-ID"):
        await ids(job, "nonsense")


async def test_a_connection_that_is_cut_again_and_again_loses_nothing_and_repeats_nothing(
    house: House, proxy: Proxy, patient: AsyncClient
) -> None:
    job = await patient.submit(house.function)
    run = await house.take()
    following = asyncio.create_task(ids(job))
    cuts = 0
    for number in range(100):
        await say(house, run, number + 1, ("log", {"line": str(number)}))
        if random.random() < 0.3:
            links = proxy.links
            proxy.drop()
            cuts += 1
            if cuts % 3 == 0:

                async def back(links: int = links) -> bool:
                    return proxy.links > links

                await until(back, "the client is back")
    await house.finish(run, answer(b"x"))
    got = await asyncio.wait_for(following, 20)
    assert got == ["0-queued", "1-running", *(f"1-{number}" for number in range(1, 101)), "1-succeeded"]
    assert cuts > 5


async def test_events_go_on_when_the_gateway_comes_back(house: House, proxy: Proxy, patient: AsyncClient) -> None:
    job = await patient.submit(house.function)
    async with aclosing(job.events()) as events:
        assert (await anext(events)).kind == "queued"
        proxy.cut()
        run = await house.take()
        await house.finish(run, answer(b"x"))
        coming = asyncio.create_task(anext(events))
        await asyncio.sleep(0.3)  # some tries fail meanwhile
        proxy.heal()
        assert (await coming).kind == "running"
        assert (await anext(events)).kind == "succeeded"


async def test_a_gateway_that_stays_away_is_told(house: House, proxy: Proxy) -> None:
    async with AsyncClient(f"http://127.0.0.1:{proxy.port}", retries=2) as client:
        job = await client.submit(house.function)
        async with aclosing(job.events()) as events:
            assert (await anext(events)).kind == "queued"
            proxy.cut()
            with pytest.raises(api.Unreachable):
                while True:
                    assert (await anext(events)).kind == "position"
