"""What triggers have done and seen, in Redis."""

from __future__ import annotations

from penstock import keys
from penstock.store import Store
from penstock.store.triggers import group
from penstock.triggers import ObjectsTrigger, Past
from tests.conftest import RedisServer

FOLDER = ObjectsTrigger(name="in", type="objects", bucket="/srv/in")


async def test_a_past_is_kept_as_it_is(store: Store) -> None:
    past = Past(identity="i", since=1, due=2, fired=3, fired_at=4, invocation="x", error="e", error_at=5)
    await store.triggers.write("f", "tick", past)
    assert await store.triggers.pasts("f") == {"tick": past}
    assert await store.triggers.functions() == ["f"]
    assert await store.triggers.pasts("g") == {}


async def test_objects_that_were_seen_whatever_their_names(store: Store) -> None:
    odd = {"a b": "1", "ü/x": "2", "\udcff": "3"}
    await store.triggers.saw("f", FOLDER, odd)
    assert await store.triggers.seen("f", FOLDER) == odd
    await store.triggers.gone("f", FOLDER, ["\udcff", "a b"])
    assert await store.triggers.seen("f", FOLDER) == {"ü/x": "2"}
    elsewhere = FOLDER.model_copy(update={"bucket": "/srv/out"})
    assert await store.triggers.seen("f", elsewhere) == {}


async def test_what_is_forgotten_leaves_nothing(store: Store, redis_server: RedisServer) -> None:
    await store.triggers.write("f", "in", Past(identity=FOLDER.identity, since=1))
    await store.triggers.saw("f", FOLDER, {"a": "1"})
    await store.topics.join("t", group("f", "orders"), 0)
    await store.triggers.write("f", "orders", Past(identity="i", since=1, topic="t"))
    await store.triggers.forget("f", {"in"})
    assert list(await store.triggers.pasts("f")) == ["orders"]
    assert await store.triggers.functions() == ["f"]
    assert redis_server.cli("EXISTS", keys.seen("f", "in", FOLDER.identity)) == "0"
    await store.triggers.forget("f")
    assert redis_server.cli("KEYS", "*") == ""
