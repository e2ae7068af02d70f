"""Timers, objects, messages: each becomes one job, whoever dies in between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from penstock import clock, keys
from penstock.blobs import DirectoryBlobs
from penstock.function import Function, FunctionSpec
from penstock.ids import created_ms
from penstock.invocation import Invocation
from penstock.store import Store
from penstock.tasks import Tasks
from penstock.triggers import Past
from tests.conftest import RedisServer
from tests.unit.workers.samples import IDS
from tests.unit.workers.waiting import until
from workers.submitting import Submitting
from workers.triggers import Triggers


class Site:
    """Functions with triggers, and leaders that follow them one after the other."""

    def __init__(self, store: Store, redis: RedisServer, tmp_path: Path, name: str) -> None:
        self.store = store
        self.redis = redis
        self.name = name
        self.blobs = DirectoryBlobs(tmp_path / "blobs")

    async def deploy(self, *triggers: dict[str, Any], **spec: Any) -> Function:
        fields = {"command": ["server"], "triggers": triggers, **spec}
        return await self.store.catalog.deploy(self.name, FunctionSpec.model_validate(fields))

    @asynccontextmanager
    async def leader(self, *functions: Function, secret: str = IDS) -> AsyncIterator[Triggers]:
        submitting = Submitting(self.store, self.blobs, secret=secret)
        triggers = Triggers(self.store, submitting, url=self.redis.url)
        tasks = Tasks()
        tasks.loop("triggers", triggers.run)
        try:
            for function in functions:
                await triggers.follow(function)
            yield triggers
        finally:
            await tasks.stop()
            await triggers.close()

    async def jobs(self) -> list[Invocation]:
        listed: list[bytes] = await self.store._connection.command("ZRANGE", keys.jobs(self.name), 0, -1)
        found = [await self.store.invocations.get(self.name, one.decode()) for one in listed]
        return [one for one in found if one is not None]

    async def events(self) -> list[Any]:
        """Of all jobs, the first first."""
        bodies = [await self.store.invocations.body(self.name, one.id) for one in await self.jobs()]
        return [json.loads(body) for body in bodies]

    async def made(self, count: int) -> list[Any]:
        """Until there are so many jobs; their events."""

        async def enough() -> bool:
            return len(await self.jobs()) >= count

        await until(enough, f"{count} jobs")
        found = await self.events()
        assert len(found) == count
        return found

    async def past(self, trigger: str) -> Past:
        return (await self.store.triggers.pasts(self.name))[trigger]


@pytest.fixture
async def site(store: Store, redis_server: RedisServer, tmp_path: Path, unique: str) -> Site:
    return Site(store, redis_server, tmp_path, unique)


TICK = {"name": "tick", "type": "timer", "schedule": "@every 1s", "payload": "hello"}


def due_times(function: Function, count: int) -> list[int]:
    return [function.created_at + 1000 * (n + 1) for n in range(count)]


async def test_a_timer_makes_one_job_of_each_due_time(site: Site) -> None:
    function = await site.deploy(TICK)
    async with site.leader(function):
        await until(lambda: _fired(site, "tick", 2), "two due times")
        past, jobs = await site.past("tick"), await site.jobs()
    assert past.error is None
    assert past.invocation in {one.id for one in jobs}
    assert past.due == function.created_at + 1000 * past.fired
    assert [created_ms(one.id) for one in jobs] == due_times(function, len(jobs))
    assert jobs[0].request.headers == (("Content-Type", "application/json"),)
    first, *_ = await site.events()
    assert (first["triggerName"], first["payload"]) == ("tick", "hello")
    moment = datetime.fromisoformat(first["triggerTime"]).timestamp()
    assert int(moment) == (function.created_at + 1000) // 1000
    assert first["triggerTime"].endswith("Z")


async def test_of_what_was_missed_only_the_latest_is_made_up_for(site: Site) -> None:
    function = await site.deploy({**TICK, "schedule": "@every 1h"})
    long_ago = function.model_copy(update={"created_at": function.created_at - 10 * 3_600_000 - 1000})
    async with site.leader(long_ago):
        await site.made(1)
    assert (await site.past("tick")).due == long_ago.created_at + 10 * 3_600_000
    async with site.leader(long_ago):
        await asyncio.sleep(0.6)  # longer than arq takes to look
    assert len(await site.jobs()) == 1


async def test_what_died_between_its_job_and_writing_it_down_makes_no_second_job(site: Site) -> None:
    function = await site.deploy({**TICK, "schedule": "@every 1h"})
    long_ago = function.model_copy(update={"created_at": function.created_at - 3_601_000})
    async with site.leader(long_ago):
        await site.made(1)
    before = await site.past("tick")
    await site.store.triggers.write(site.name, "tick", Past(identity=before.identity, since=before.since))
    async with site.leader(long_ago):
        await until(lambda: _fired(site, "tick"), "it is fired again")
    assert len(await site.jobs()) == 1, "the same due time is the same job"


async def test_two_leaders_at_once_make_one_job(site: Site) -> None:
    function = await site.deploy(TICK)
    async with site.leader(function), site.leader(function):
        await until(lambda: _jobs(site, 2), "two due times")
    jobs = await site.jobs()
    assert [created_ms(one.id) for one in jobs] == due_times(function, len(jobs))


async def test_a_timer_that_is_disabled_or_gone_fires_no_more(site: Site) -> None:
    async with site.leader(await site.deploy(TICK)) as triggers:
        await until(lambda: _jobs(site, 1), "it fires")
        await triggers.follow(await site.deploy({**TICK, "enabled": False}))
        fired = len(await site.jobs())
        assert await site.store.triggers.pasts(site.name) == {}
        await asyncio.sleep(1.3)  # longer than until the next due time and arq's look
        assert len(await site.jobs()) == fired
        await triggers.follow(await site.deploy(TICK))
        await until(lambda: _jobs(site, fired + 1), "it fires again")
        triggers.unfollow(site.name)
        await until(lambda: _nothing_kept(site), "it is forgotten")


async def test_a_full_queue_is_said_and_the_latest_is_made_up_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.timers._TRY_AGAIN", 0.1)
    function = await site.deploy({**TICK, "schedule": "@every 1h"}, queue={"max_depth": 1})
    long_ago = function.model_copy(update={"created_at": function.created_at - 3_601_000})
    submitting = Submitting(site.store, site.blobs, secret=IDS)
    other = await submitting.submit(function, b"{}", of=("other",), at_ms=clock.now_ms())
    async with site.leader(long_ago):

        async def refused() -> bool:
            found = (await site.store.triggers.pasts(site.name)).get("tick")
            return found is not None and found.error is not None

        await until(refused, "the queue is full")
        assert "its limit is 1" in str((await site.past("tick")).error)
        await site.store.queue.cancel(site.name, other)
        await until(lambda: _fired(site, "tick"), "it fires once there is room")
        assert (await site.past("tick")).error is None


async def test_a_timer_whose_redis_was_away_goes_on(own_server: RedisServer, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        store = Store(own_server.url)
        stack.push_async_callback(store.close)
        site = Site(store, own_server, tmp_path, "f")
        function = await site.deploy(TICK)
        async with site.leader(function):
            await until(lambda: _fired(site, "tick"), "it fires")
            await asyncio.to_thread(own_server.kill)
            await asyncio.to_thread(own_server.start)
            before = (await site.past("tick")).fired

            async def more() -> bool:
                return (await site.past("tick")).fired >= before + 2

            await until(more, "it fires again")
        jobs = [one.id for one in await site.jobs()]
        assert len(jobs) == len(set(jobs))


async def test_without_a_secret_it_says_what_to_do(site: Site) -> None:
    function = await site.deploy(TICK)
    async with site.leader(function, secret=""):

        async def said() -> str | None:
            found = (await site.store.triggers.pasts(site.name)).get("tick")
            return found.error if found else None

        assert "PENSTOCK_SECRET" in str(await until(said, "the error"))


# Objects


def folder(tmp_path: Path, **more: Any) -> dict[str, Any]:
    path = tmp_path / "in"
    path.mkdir(exist_ok=True)
    return {"name": "in", "type": "objects", "bucket": str(path), "every": "100ms", **more}


async def test_a_file_that_appears_is_one_event(site: Site, tmp_path: Path) -> None:
    trigger = folder(tmp_path, prefix="a/", suffix=".txt")
    inside = tmp_path / "in" / "a"
    inside.mkdir()
    (inside / "old.txt").write_text("was there before")
    await asyncio.sleep(0.01)
    function = await site.deploy(trigger)
    async with site.leader(function):
        for name in ("one.txt", "other.png", ".hidden.txt"):
            (inside / name).write_text("new")
        (tmp_path / "in" / "above.txt").write_text("new")
        [event] = await site.made(1)
        await asyncio.sleep(0.4)
        assert len(await site.jobs()) == 1
    [one] = event["events"]
    assert (one["eventName"], one["eventSource"]) == ("ObjectCreated:PutObject", "acs:oss")
    assert one["oss"]["bucket"]["name"] == str(tmp_path / "in")
    assert (one["oss"]["object"]["key"], one["oss"]["object"]["size"]) == ("a/one.txt", 3)
    async with site.leader(function):
        (inside / "two.txt").write_text("while a new leader looks")
        events = await site.made(2)
    assert events[1]["events"][0]["oss"]["object"]["key"] == "a/two.txt"


async def test_a_file_that_is_being_written_is_no_event_until_it_is_whole(site: Site, tmp_path: Path) -> None:
    async with site.leader(await site.deploy(folder(tmp_path, every="300ms"))):
        with (tmp_path / "in" / "big").open("wb", buffering=0) as file:
            for _ in range(12):
                file.write(b"x" * 1000)
                await asyncio.sleep(0.1)
            assert await site.jobs() == []
        [event] = await site.made(1)
    assert event["events"][0]["oss"]["object"]["size"] == 12_000


async def test_a_file_that_is_written_anew_or_removed(site: Site, tmp_path: Path) -> None:
    async with site.leader(await site.deploy(folder(tmp_path, events=["created", "removed"]))):
        path = tmp_path / "in" / "x"
        path.write_text("one")
        await site.made(1)
        path.write_text("another")
        await site.made(2)
        path.unlink()
        events = [one["events"][0] for one in await site.made(3)]
    assert [one["eventName"] for one in events] == [
        "ObjectCreated:PutObject",
        "ObjectCreated:PutObject",
        "ObjectRemoved:DeleteObject",
    ]
    assert len({one["oss"]["object"]["eTag"] for one in events}) == 3


async def test_who_died_before_it_wrote_down_what_it_saw_makes_no_second_job(site: Site, tmp_path: Path) -> None:
    function = await site.deploy(folder(tmp_path))
    async with site.leader(function):
        for n in range(150):
            (tmp_path / "in" / f"{n}").write_text("x")
        await site.made(150)
    identity = function.spec.triggers[0].identity
    site.redis.cli("DEL", keys.seen(site.name, "in", identity))
    async with site.leader(function):

        async def seen() -> bool:
            return site.redis.cli("HLEN", keys.seen(site.name, "in", identity)) == "150"

        await until(seen, "all are seen again")
    assert len(await site.jobs()) == 150


async def test_a_folder_that_is_away_is_said_and_loses_nothing(site: Site, tmp_path: Path) -> None:
    async with site.leader(await site.deploy(folder(tmp_path, events=["created", "removed"]))):
        (tmp_path / "in" / "x").write_text("one")
        await site.made(1)
        (tmp_path / "in").rename(tmp_path / "away")

        async def said() -> bool:
            return (await site.past("in")).error == f"{tmp_path}/in is not a folder"

        await until(said, "what is wrong")
        (tmp_path / "away").rename(tmp_path / "in")

        async def well() -> bool:
            return (await site.past("in")).error is None

        await until(well, "it is well again")
        assert len(await site.jobs()) == 1, "nothing was removed"


# Topics

ORDERS = {"name": "orders", "type": "topic", "topic": "orders"}


async def test_a_message_becomes_a_job_of_each_trigger(site: Site) -> None:
    function = await site.deploy(ORDERS, {**ORDERS, "name": "told", "format": "json", "tag": "new"})
    async with site.leader(function) as triggers:
        await site.store.topics.publish("orders", b'{"n": 1}', content_type="application/json")
        await site.store.topics.publish("orders", b'{"n": 2}', tag="new")
        triggers.look()
        await site.made(3)
    events = await site.events()
    plain = sorted((one for one in events if "n" in one), key=lambda one: one["n"])
    [told] = [one for one in events if "n" not in one]
    assert plain == [{"n": 1}, {"n": 2}]
    assert (told["Message"], told["TopicName"], told["MessageTag"]) == ('{"n": 2}', "orders", "new")
    assert told["MessageMD5"] == "5A77EA7CA2F8D9A28EC7AD2C75E2DEE0" or len(told["MessageMD5"]) == 32
    kinds = {dict(one.request.headers)["Content-Type"] for one in await site.jobs()}
    assert kinds == {"application/json", "application/octet-stream"}
    assert (await site.past("told")).fired == 1


async def test_what_was_read_by_a_leader_that_died_is_a_job_once(site: Site) -> None:
    function = await site.deploy(ORDERS)
    group = f"{site.name}/orders"
    await site.store.topics.join("orders", group, 0)
    for n in range(3):
        await site.store.topics.publish("orders", b"%d" % n)
    read = await site.store.topics.read("orders", group, unfinished=False, limit=2)
    # One of those became a job before its leader died, and was not acknowledged.
    submitting = Submitting(site.store, site.blobs, secret=IDS)
    await submitting.submit(
        function, b"0", of=("topic", "orders", "orders", read[0].id), at_ms=read[0].published_ms
    )
    async with site.leader(function):
        assert sorted(await site.made(3)) == [0, 1, 2]

        async def finished() -> bool:
            return site.redis.cli("XPENDING", keys.topic("orders"), group).split()[0] == "0"

        await until(finished, "all are acknowledged")


async def test_messages_wait_while_the_queue_is_full(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.topics._TRY_AGAIN", 0.1)
    async with site.leader(await site.deploy(ORDERS, queue={"max_depth": 2})):
        for n in range(4):
            await site.store.topics.publish("orders", b"%d" % n)

        async def said() -> bool:
            return "its limit is 2" in str((await site.past("orders")).error)

        await until(said, "the queue is full")
        assert len(await site.jobs()) == 2
        await site.store.queue.cancel_waiting(site.name)

        async def cancelled() -> bool:
            await site.store.queue.cancel_waiting(site.name)
            return len(await site.jobs()) == 4

        await until(cancelled, "the rest follows")


async def test_a_topic_that_a_function_leaves_is_gone_with_it(site: Site) -> None:
    async with site.leader(await site.deploy(ORDERS)) as triggers:
        assert site.redis.cli("EXISTS", keys.topic("orders")) == "1", "as soon as it is followed"
        await triggers.follow(await site.deploy({**ORDERS, "topic": "others"}))
        assert site.redis.cli("EXISTS", keys.topic("orders"), keys.topic("others")) == "1"
        await site.store.catalog.delete(site.name)
        triggers.unfollow(site.name)
        await until(lambda: _nothing_kept(site), "it is forgotten")
        assert site.redis.cli("EXISTS", keys.topic("others")) == "0"


async def test_what_a_function_lost_while_nobody_led_is_forgotten(site: Site) -> None:
    async with site.leader(await site.deploy(ORDERS, TICK)):
        await until(lambda: _kept(site, "tick"), "both have begun")
    await site.deploy(TICK)
    async with site.leader():
        await until(lambda: _without(site, "orders"), "its trigger is forgotten")
    assert list(await site.store.triggers.pasts(site.name)) == ["tick"]


async def test_where_nothing_has_triggers_nothing_runs(site: Site) -> None:
    before = len(asyncio.all_tasks())
    async with site.leader(await site.deploy({"name": "web", "type": "http"})):
        assert len(asyncio.all_tasks()) == before + 1
        assert await site.store.triggers.functions() == []


async def test_a_version_of_a_function_has_no_triggers_of_its_own(site: Site) -> None:
    function = await site.deploy(TICK)
    before = len(asyncio.all_tasks())
    async with site.leader(function.model_copy(update={"name": f"{site.name}@3"})):
        assert len(asyncio.all_tasks()) == before + 1


async def _fired(site: Site, trigger: str, count: int = 1) -> bool:
    found = (await site.store.triggers.pasts(site.name)).get(trigger)
    return found is not None and found.fired >= count


async def _jobs(site: Site, count: int) -> bool:
    return len(await site.jobs()) >= count


async def _nothing_kept(site: Site) -> bool:
    return await site.store.triggers.pasts(site.name) == {}


async def _kept(site: Site, trigger: str) -> bool:
    return trigger in await site.store.triggers.pasts(site.name)


async def _without(site: Site, trigger: str) -> bool:
    return trigger not in await site.store.triggers.pasts(site.name)
