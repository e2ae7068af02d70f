"""Following an invocation by Server-Sent Events: everything, once, from any point on, whatever hint is missed."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway import telling
from penstock.invocation import Run, State
from tests.conftest import RedisServer
from tests.unit.gateway.conftest import House, OpenHouse, answer, failed
from tests.unit.gateway.streams import SOON, EventStream
from tests.unit.workers.waiting import until

Following = Callable[..., Any]


@asynccontextmanager
async def following(house: House, one: str, query: str = "", **headers: str) -> AsyncIterator[EventStream]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with house.client.get(f"{house.calls}/{one}/events{query}", headers=named) as response:
        yield EventStream(response)


async def say(house: House, run: Run, first: int, *data: str, kind: Any = "output", **more: int) -> None:
    one = run.invocation
    said = [(kind, json.dumps({"text": text})) for text in data]
    assert await house.store.events.emit(one.function, one.id, one.token, said, first=first, **more)


async def test_a_job_is_followed_from_its_beginning_to_its_end(house: House) -> None:
    one = await house.submit()
    async with following(house, one) as stream:
        assert stream.response.headers["Penstock-Invocation-Id"] == one
        queued = await stream.next()
        assert queued is not None
        assert (queued.id, queued.kind) == ("0-queued", "queued")
        assert queued.data.keys() == {"state", "attempt", "at"}
        run = await house.take()
        await stream.until("running")
        await house.store.events.emit(
            house.function, one, 1, [("progress", '{"progress": 0.4, "message": "step 12/30"}')], first=1
        )
        progress = await stream.next()
        assert progress is not None
        assert (progress.id, progress.kind) == ("1-1", "progress")
        assert progress.data == {"progress": 0.4, "message": "step 12/30"}
        await house.finish(run, answer(b'{"ok": true}', headers=(("Content-Type", "application/json"),)))
        (end,) = await stream.all()
    assert (end.id, end.kind) == ("1-succeeded", "succeeded")
    _, record = await house.get(one)
    assert end.data == record | {"result": {"ok": True}}


async def test_what_has_ended_is_told_as_a_whole(house: House) -> None:
    one = await house.submit()
    run = await house.take()
    await say(house, run, 1, "a", "b")
    await house.finish(run, failed())
    async with following(house, one) as stream:
        told = await stream.all()
    assert [event.id for event in told] == ["0-queued", "1-running", "1-1", "1-2", "1-failed"]
    assert (told[-1].data["error"]["code"], told[-1].data["result"]) == ("function_error", None)
    assert told[1].data["at"] is not None


@pytest.mark.parametrize("where", ["header", "query"])
async def test_it_resumes_after_any_event(house: House, where: str) -> None:
    one = await house.submit()
    run = await house.take()
    await say(house, run, 1, "a", "b")
    await house.finish(run)
    names = ["0-queued", "1-running", "1-1", "1-2", "1-succeeded"]
    for index, name in enumerate(names[:-1]):
        how = {"query": f"?last_event_id={name}"} if where == "query" else {"Last_Event_ID": name}
        async with following(house, one, **how) as stream:
            assert [event.id for event in await stream.all()] == names[index + 1 :]
    response = await house.client.get(f"{house.calls}/{one}/events?last_event_id={names[-1]}")
    assert response.status == 204, "a browser would come back for ever"


@pytest.mark.parametrize("wrong", ["1-17x", "succeeded", "-"])
async def test_an_id_of_elsewhere_is_refused(house: House, wrong: str) -> None:
    one = await house.submit()
    response = await house.client.get(f"{house.calls}/{one}/events", headers={"Last-Event-ID": wrong})
    assert response.status == 400
    assert "Last-Event-ID" in (await response.json())["detail"]


async def test_unknown_and_expired_ones_are_told_apart(house: House) -> None:
    for one, status in (("nobody", 404), (house.gateway.mint.new(house.function), 410)):
        response = await house.client.get(f"{house.calls}/{one}/events")
        assert response.status == status


async def test_what_the_cap_took_is_told(house: House) -> None:
    one = await house.submit()
    run = await house.take()
    await say(house, run, 1, *["x" * 100] * 5, cap=250)
    await house.finish(run)
    async with following(house, one) as stream:
        told = await stream.all()
    assert [event.kind for event in told] == ["queued", "running", "gap", "output", "output", "succeeded"]
    assert told[2].id is None
    assert told[2].data == {"bytes": 3 * len('{"text": "' + "x" * 100 + '"}'), "through": "1-3"}


async def test_a_long_result_stays_where_it_is(house: House) -> None:
    one = await house.submit()
    long = answer(b"", blob="x")
    await house.finish(await house.take(), long)
    async with following(house, one) as stream:
        end = (await stream.all())[-1]
    assert end.data["result"] is None
    assert end.data["links"]["result"].endswith(f"{one}/result")


async def test_its_place_in_the_queue_is_told_and_has_no_id(house: House) -> None:
    first, second = await house.submit(), await house.submit()
    async with following(house, second) as stream:
        place = (await stream.until("position"))[-1]
        assert (place.id, place.data["queue_position"]) == (None, 2)
        assert place.data["waiting_reason"]
        assert (await house.take()).invocation.id == first
        assert (await stream.until("position"))[-1].data["queue_position"] == 1


async def test_each_attempt_is_told(house: House) -> None:
    one = await house.submit()
    async with following(house, one) as stream:
        run = await house.take()
        await say(house, run, 1, "first")
        await house.store.queue.retry(house.function, one, 1, delay_ms=0, outcome=failed())
        told = await stream.until("output")
        await house.store.queue.sweep(house.function, epoch=house.epoch, requeue=False)
        run = await house.take()
        await say(house, run, 1, "second")
        await house.finish(run)
        told += await stream.all()
    ids = [event.id for event in told if event.id]
    assert ids == ["0-queued", "1-running", "1-1", "1-queued", "2-running", "2-1", "2-succeeded"]


async def test_whoever_misses_every_hint_is_told_by_looking(
    house: House, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house.gateway.observers, "hint", lambda invocation_id: None)
    monkeypatch.setattr(house.gateway.waiters, "_on_hint", lambda invocation_id: None)
    one = await house.submit()
    async with following(house, one) as stream:
        run = await house.take()
        await stream.until("running")
        await say(house, run, 1, "a")
        await stream.until("output")
        await house.finish(run)
        assert (await stream.all())[-1].kind == "succeeded"


async def test_a_sign_of_life_comes_when_nothing_happens(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "_HEARTBEAT", 0.1)
    one = await house.submit(Penstock_Delay="60s")
    async with following(house, one) as stream:
        await stream.next()
        for _ in range(2):
            line = await asyncio.wait_for(stream.response.content.readuntil(b"\n\n"), SOON)
            assert line == b": heartbeat\n\n"


async def test_two_gateways_tell_the_same(open_house: OpenHouse) -> None:
    here, there = await open_house(), await open_house()
    one = await here.submit()
    async with following(here, one) as first, following(there, one) as second:
        await first.until("queued")
        await second.until("queued")
        run = await there.take()
        await say(there, run, 1, "a")
        await there.finish(run)
        told = [[event for event in await stream.all() if event.id] for stream in (first, second)]
    assert told[0] == told[1]
    assert [event.id for event in told[0]] == ["1-running", "1-1", "1-succeeded"]


async def test_a_gateway_that_stops_lets_go_of_followers_and_of_the_feed(house: House) -> None:
    one = await house.submit()
    async with following(house, one) as stream, house.client.get(feed(house)) as response:
        await stream.next()
        events = EventStream(response)
        assert await response.content.readline() == b": heartbeat\n"
        house.gateway.observers.close()
        house.gateway.feeds.close()
        assert all(event.kind == "position" for event in await stream.all()), "without an end that it has not"
        assert await events.next() is None


async def test_followers_leave_nothing_behind(house: House) -> None:
    one = await house.submit()
    async with following(house, one) as stream:
        await stream.next()
        stream.response.close()

    async def nothing() -> bool:
        return not house.gateway.observers._observers and not house.gateway.observers._marks

    await until(nothing, "the gateway has forgotten it")


async def test_cut_and_resumed_at_random_points_nothing_is_lost_or_told_twice(house: House) -> None:
    """The client keeps what it read as a whole, closes its socket wherever it is, and comes back."""
    dice = random.Random(5)
    one = await house.submit()
    run = await house.take()

    async def talk() -> None:
        for number in range(300):
            await say(house, run, number + 1, f"{number} " + "x" * dice.randrange(200))
            if number % 3 == 0:
                await asyncio.sleep(0.002)
        await house.finish(run)

    talking = asyncio.create_task(talk())
    seen, last, cuts = list[str](), "", 0
    while not seen or not seen[-1].endswith("succeeded"):
        async with following(house, one, Last_Event_ID=last) as stream:
            for _ in range(dice.randrange(8) if cuts < 100 else 10_000):
                event = await stream.next()
                if event is None:
                    break
                if event.id:
                    seen.append(event.id)
                    last = event.id
            stream.response.close()
            cuts += 1
    await talking
    assert cuts >= 30
    assert seen == ["0-queued", "1-running", *(f"1-{n + 1}" for n in range(300)), "1-succeeded"]


async def test_an_outage_of_redis_is_a_pause_and_no_end(open_house: OpenHouse, own_server: RedisServer) -> None:
    house = await open_house(redis=own_server)
    one = await house.submit()
    run = await house.take()
    async with following(house, one) as stream, house.client.get(feed(house)) as response:
        await stream.until("running")
        events = EventStream(response)
        await say(house, run, 1, "a")
        assert (await stream.until("output"))[-1].id == "1-1"
        own_server.kill()

        async def gone() -> bool:
            return (await house.client.get("/readyz")).status == 503

        await until(gone, "the gateway sees that Redis is away")
        own_server.start()

        async def emitted() -> bool:
            try:
                await say(house, run, 2, "b")
            except Exception:
                return False
            return True

        await until(emitted, "Redis serves again")
        assert (await stream.until("output"))[-1].id == "1-2"
        await house.finish(run)
        assert (await stream.all())[-1].kind == "succeeded"
        assert (await events.until("gap"))[-1].data == {"events": None}


# Accept: text/event-stream


async def test_a_call_that_accepts_events_gets_them_instead_of_its_answer(house: House) -> None:
    calling = asyncio.create_task(house.post(Accept="text/event-stream"))
    run = await house.take()
    async with await asyncio.wait_for(calling, SOON) as response:
        assert response.headers["Penstock-Invocation-Id"] == run.invocation.id
        stream = EventStream(response)
        await stream.until("running")
        await say(house, run, 1, "token")
        assert (await stream.until("output"))[-1].data == {"text": "token"}
        await house.finish(run)
        end = (await stream.all())[-1]
    assert (end.kind, end.data["result"]) == ("succeeded", "answer")
    assert run.invocation.kind == "call"


async def test_it_is_not_answered_so_when_it_does_not_wait(house: House) -> None:
    response = await house.post(Accept="text/event-stream", Prefer="respond-async")
    assert response.status == 202


async def test_whoever_hangs_up_before_it_starts_has_it_cancelled(house: House) -> None:
    response = await house.post(Accept="text/event-stream")
    one = response.headers["Penstock-Invocation-Id"]
    response.close()

    async def cancelled() -> bool:
        return (await house.record(one)).state is State.CANCELLED

    await until(cancelled, "it is cancelled")


async def test_the_same_key_again_follows_the_first(house: House) -> None:
    first = await house.post(Accept="text/event-stream", Idempotency_Key="k")
    second = await house.post(Accept="text/event-stream", Idempotency_Key="k")
    assert first.headers["Penstock-Invocation-Id"] == second.headers["Penstock-Invocation-Id"]
    second.close()
    await house.finish(await house.take())
    assert (await EventStream(first).all())[-1].kind == "succeeded"


# The feed of a function


def feed(house: House) -> str:
    return f"/v1/functions/{house.function}/events"


async def test_the_feed_tells_what_happens_to_all(house: House) -> None:
    async with house.client.get(feed(house)) as response:
        stream = EventStream(response)
        assert await response.content.readline() == b": heartbeat\n", "from here on it hears"
        one, other = await house.submit(), await house.submit()
        run = await house.take()
        await house.store.events.emit(house.function, one, 1, [("progress", '{"progress": 0.5}')], first=1)
        await house.store.queue.cancel(house.function, other)
        await house.finish(run)
        told = await stream.until("succeeded")
    assert {event.id for event in told} == {None}
    assert [(event.kind, event.data) for event in told] == [
        ("queued", {"id": one, "state": "queued", "attempt": 0}),
        ("queued", {"id": other, "state": "queued", "attempt": 0}),
        ("running", {"id": one, "state": "running", "attempt": 1}),
        ("progress", {"id": one, "state": "running", "attempt": 1, "progress": 0.5}),
        ("cancelled", {"id": other, "state": "cancelled", "attempt": 0}),
        ("succeeded", {"id": one, "state": "succeeded", "attempt": 1}),
    ]


async def test_a_reader_of_the_feed_that_is_too_slow_is_told_what_it_missed(house: House) -> None:
    feeds = house.gateway.feeds
    events = feeds.follow(house.function)
    assert await anext(events) is None
    for _ in range(1_500):
        await house.redis_publish(f"{'i' * 30} queued 0")
    listening = feeds._listening[house.function]
    (reader,) = listening.readers

    async def dropped() -> bool:
        return reader.dropped == 500

    await until(dropped, "500 found no room")
    got = [await anext(events) for _ in range(1_000)]
    await house.redis_publish(f"{'i' * 30} queued 0")
    gap, last = await anext(events), await anext(events)
    assert {event.kind for event in got if event} == {"queued"}
    assert gap is not None
    assert (gap.kind, gap.data) == ("gap", {"events": 500})
    assert last is not None
    assert last.kind == "queued"
    await events.aclose()
    assert feeds._listening == {}


async def test_readers_share_one_subscription(house: House, redis_server: RedisServer) -> None:
    async with house.client.get(feed(house)) as first, house.client.get(feed(house)) as second:
        for response in (first, second):
            assert await response.content.readline() == b": heartbeat\n"
        counted = redis_server.cli("PUBSUB", "NUMSUB", f"ps:feed:{house.function}").split()
        assert counted[-1] == "1"

    async def nobody() -> bool:
        return redis_server.cli("PUBSUB", "NUMSUB", f"ps:feed:{house.function}").split()[-1] == "0"

    await until(nobody, "the subscription is given up")


async def test_an_unknown_function_has_no_feed(house: House) -> None:
    assert (await house.client.get("/v1/functions/nobody/events")).status == 404
