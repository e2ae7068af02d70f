"""Topics in Redis: a message reaches every group once it is finished there, and is kept until then."""

from __future__ import annotations

import asyncio

import pytest

from penstock import keys
from penstock.errors import QueueFull, TopicNotFound
from penstock.store import Store, topics
from penstock.store.topics import Message
from tests.conftest import RedisServer


async def read(store: Store, group: str, *, unfinished: bool = False, limit: int = 10) -> list[Message]:
    return await store.topics.read("t", group, unfinished=unfinished, limit=limit)


async def test_a_topic_that_nobody_asks_for_takes_no_messages(store: Store, redis_server: RedisServer) -> None:
    with pytest.raises(TopicNotFound, match="'t'"):
        await store.topics.publish("t", b"lost")
    assert redis_server.cli("EXISTS", keys.topic("t")) == "0"


async def test_every_group_gets_every_message_in_order(store: Store) -> None:
    for group in ("f/one", "g/two"):
        await store.topics.join("t", group, 0)
    ids = [await store.topics.publish("t", b"%d" % n, tag="a" if n else None) for n in range(3)]
    for group in ("f/one", "g/two"):
        found = await read(store, group)
        assert [(one.id, one.body, one.tag) for one in found] == [
            (ids[0], b"0", None),
            (ids[1], b"1", "a"),
            (ids[2], b"2", "a"),
        ]
        assert await read(store, group) == []


async def test_what_was_read_and_not_finished_is_read_again(store: Store) -> None:
    await store.topics.join("t", "f/one", 0)
    for n in range(3):
        await store.topics.publish("t", b"%d" % n)
    first, second, third = await read(store, "f/one")
    await store.topics.finish("t", "f/one", [second.id])
    assert await read(store, "f/one", unfinished=True) == [first, third]
    assert await read(store, "f/one", unfinished=True, limit=1) == [first]


async def test_a_group_that_joins_again_goes_on_where_it_was(store: Store) -> None:
    await store.topics.join("t", "f/one", 0)
    await store.topics.publish("t", b"x")
    [one] = await read(store, "f/one")
    await store.topics.finish("t", "f/one", [one.id])
    await store.topics.join("t", "f/one", 0)
    assert await read(store, "f/one") == []


async def test_a_group_begins_with_its_deployment(store: Store) -> None:
    await store.topics.join("t", "f/one", 0)
    before = await store.topics.publish("t", b"before")
    published = int(before.partition("-")[0])
    await store.topics.join("t", "g/later", published + 1)
    await store.topics.join("t", "g/earlier", published)
    assert await read(store, "g/later") == []
    assert len(await read(store, "g/earlier")) == 1


async def test_with_its_last_group_a_topic_goes(store: Store) -> None:
    for group in ("f/one", "g/two"):
        await store.topics.join("t", group, 0)
    await store.topics.leave("t", "f/one")
    await store.topics.publish("t", b"x")
    assert len(await read(store, "g/two")) == 1
    await store.topics.leave("t", "g/two")
    await store.topics.leave("t", "g/two")
    with pytest.raises(TopicNotFound):
        await store.topics.publish("t", b"x")


async def test_what_others_wrote_to_the_stream_is_a_message_too(store: Store, redis_server: RedisServer) -> None:
    await store.topics.join("t", "f/one", 0)
    redis_server.cli("XADD", keys.topic("t"), "*", "body", "plain")
    redis_server.cli("XADD", keys.topic("t"), "*", "n", "1", "m", "2")
    gone = redis_server.cli("XADD", keys.topic("t"), "*", "body", "gone")
    assert [one.body for one in await read(store, "f/one")] == [b"plain", b'{"n": "1", "m": "2"}', b"gone"]
    redis_server.cli("XDEL", keys.topic("t"), gone)
    again = await read(store, "f/one", unfinished=True)
    assert [one.body for one in again] == [b"plain", b'{"n": "1", "m": "2"}']
    assert redis_server.cli("XPENDING", keys.topic("t"), "f/one").split()[0] == "2", "what was deleted is finished"


async def test_only_what_every_group_has_finished_is_dropped_after_a_minute(
    store: Store, redis_server: RedisServer
) -> None:
    for group in ("f/fast", "g/slow"):
        await store.topics.join("t", group, 0)
    command = store._connection.command
    await asyncio.gather(  # long ago
        *(command("XADD", keys.topic("t"), f"{n}-0", "body", n) for n in range(1, 301))
    )
    fast, slow = await read(store, "f/fast", limit=300), await read(store, "g/slow", limit=300)
    await store.topics.finish("t", "f/fast", [one.id for one in fast])
    await store.topics.trim("t")
    assert redis_server.cli("XLEN", keys.topic("t")) == "300", "g/slow has finished none"
    await store.topics.finish("t", "g/slow", [one.id for one in slow[:200]])
    await store.topics.trim("t")
    assert redis_server.cli("XLEN", keys.topic("t")) == "100", "dropped by whole nodes of 100"
    await store.topics.publish("t", b"young")
    [young] = await read(store, "f/fast")
    await store.topics.finish("t", "f/fast", [young.id])
    await store.topics.finish("t", "g/slow", [one.id for one in [*slow, *await read(store, "g/slow")]])
    await store.topics.trim("t")
    assert (await command("XRANGE", keys.topic("t"), young.id, "+")) != []


async def test_too_many_messages_are_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "MOST", 2)
    await store.topics.join("t", "f/one", 0)
    for _ in range(2):
        await store.topics.publish("t", b"x")
    with pytest.raises(QueueFull, match="2 messages of topic t already wait"):
        await store.topics.publish("t", b"x")
