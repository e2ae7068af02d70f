"""The store as a whole: does it answer, which deployment is it, is what it acknowledges durable."""

from __future__ import annotations

import asyncio

from penstock.store import Store
from tests.conftest import RedisServer


async def test_a_redis_that_keeps_everything_has_no_problems(store: Store) -> None:
    assert await store.durability() == []


async def test_a_redis_without_an_append_only_file_is_a_problem(own_server: RedisServer) -> None:
    await asyncio.to_thread(own_server.cli, "CONFIG", "SET", "appendonly", "no")
    store = Store(own_server.url)

    [problem] = await store.durability()

    assert "a restart of it loses jobs (set appendonly yes)" in problem
    await store.close()


async def test_a_redis_that_evicts_is_a_problem(own_server: RedisServer) -> None:
    await asyncio.to_thread(own_server.cli, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    store = Store(own_server.url)

    assert await store.durability() == [
        "Redis may evict jobs: maxmemory-policy is allkeys-lru (set it to noeviction)"
    ]
    await store.close()


async def test_a_deployment_keeps_the_id_that_it_got_first(store: Store) -> None:
    assert await store.deployment("first") == "first"
    assert await store.deployment("second") == "first"
