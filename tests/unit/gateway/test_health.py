"""/healthz lives, /readyz says what is wrong, and without keys only this machine is served."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.app import check, check_keys, run
from penstock import apikey
from penstock.errors import ConfigurationError
from penstock.settings import Settings
from penstock.store import Store
from tests.conftest import RedisServer
from tests.unit.gateway.conftest import House, OpenHouse


async def ready(house: House) -> tuple[int, dict[str, Any]]:
    response = await house.client.get("/readyz")
    return response.status, await response.json()


async def prepared(house: House) -> None:
    await house.store.catalog.set_ready(house.function, None)


async def test_it_is_ready_when_all_that_is_deployed_can_be_invoked(house: House) -> None:
    await prepared(house)
    assert await ready(house) == (200, {"ready": True, "problems": [], "degraded": []})


async def test_a_function_that_is_not_prepared_is_named_with_its_reason(house: House) -> None:
    status, said = await ready(house)
    assert (status, said["ready"]) == (503, False)
    assert said["problems"] == [f"function {house.function}: revision 1 is not prepared yet"]
    await house.store.catalog.set_ready(house.function, "cannot be prepared: no such image")
    assert (await ready(house))[1]["problems"] == [f"function {house.function}: cannot be prepared: no such image"]


async def test_without_workers_it_says_what_to_start(house: House) -> None:
    await prepared(house)
    await house.store.leadership.resign("leader")
    status, said = await ready(house)
    assert status == 503
    assert said["problems"] == ["no workers process leads: the last one is gone (start `penstock workers`)"]
    house.redis.cli("DEL", "ps:leader")
    assert "none was ever started" in (await ready(house))[1]["problems"][0]


@pytest.mark.parametrize(
    ("setting", "value", "normal", "says"),
    [
        ("maxmemory-policy", "allkeys-lru", "noeviction", "Redis may evict jobs"),
        ("appendonly", "no", "yes", "no append-only file"),
    ],
)
async def test_what_breaks_a_promise_is_told_and_stops_nothing(
    house: House, setting: str, value: str, normal: str, says: str
) -> None:
    await prepared(house)
    house.redis.cli("CONFIG", "SET", setting, value)
    try:
        status, said = await ready(house)
    finally:
        house.redis.cli("CONFIG", "SET", setting, normal)
    assert (status, said["ready"]) == (200, True)
    assert says in said["degraded"][0]


async def test_without_redis_it_lives_and_is_not_ready(own_server: RedisServer, open_house: OpenHouse) -> None:
    house: House = await open_house(redis=own_server)
    own_server.kill()
    status, said = await ready(house)
    assert (status, said["ready"]) == (503, False)
    assert said["problems"][0].startswith("Redis: ")
    response = await house.client.get("/healthz")
    assert (response.status, await response.json()) == (200, {"status": "ok"})


async def test_json_ends_with_a_newline(house: House) -> None:
    assert (await (await house.client.get("/healthz")).text()).endswith("}\n")


FOREIGN = [
    {"Host": "evil.com"},
    {"Host": "localhost.evil.com:8080"},
    {"Origin": "https://evil.com"},
    {"Origin": "null"},
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("path", ["/v1/functions", "/healthz", "/fn/echo/x", "/nothing"])
async def test_a_page_of_elsewhere_is_turned_away(house: House, headers: dict[str, str], path: str) -> None:
    response = await house.client.get(path, headers=headers)
    assert (response.status, (await response.json(content_type=None))["code"]) == (403, "forbidden")


async def test_a_page_of_elsewhere_submits_nothing(house: House) -> None:
    response = await house.post(Prefer="respond-async", Origin="https://evil.com")
    assert response.status == 403
    assert await house.queued() == 0


@pytest.mark.parametrize(
    "headers",
    [{"Host": "localhost:8080"}, {"Host": "127.0.0.1"}, {"Host": "[::1]:1"}, {"Origin": "http://localhost:3000"}],
)
async def test_a_local_name_is_served(house: House, headers: dict[str, str]) -> None:
    assert (await house.client.get("/healthz", headers=headers)).status == 200


@pytest.mark.parametrize("headers", FOREIGN)
async def test_insecure_serves_any_name(open_house: OpenHouse, headers: dict[str, str]) -> None:
    house: House = await open_house(insecure=True)
    assert (await house.client.get("/healthz", headers=headers)).status == 200


def settings(**gateway: Any) -> Settings:
    return Settings(secret="s", gateway=gateway)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2"])
async def test_it_may_listen_on_this_machine(store: Store, host: str) -> None:
    await check_keys(settings(host=host), store)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", ""])
async def test_it_listens_elsewhere_only_with_keys_or_when_told_so(store: Store, host: str) -> None:
    with pytest.raises(ConfigurationError, match="penstock keys create"):
        await check_keys(settings(host=host), store)
    await check_keys(settings(host=host, insecure=True), store)
    await check_keys(settings(host=host, admin_key="a" * 32), store)
    _, key = apikey.make("first", now_ms=0)
    await store.access.put(key)
    await check_keys(settings(host=host), store)
    await store.access.revoke(key.id)
    await check_keys(settings(host=host), store)  # it serves nobody then


def test_it_does_not_start_without_a_secret() -> None:
    with pytest.raises(ConfigurationError, match="PENSTOCK_SECRET"):
        check(Settings(secret=""))


async def test_a_port_in_use_is_a_configuration_error(redis_server: RedisServer, tmp_path: Any) -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    taken = Settings(secret="s", data_dir=tmp_path, gateway={"port": port}, redis={"url": redis_server.url})
    with pytest.raises(ConfigurationError, match=rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use"):
        await run(taken, asyncio.Event())
    server.close()


async def test_it_ends_when_it_is_told_to(redis_server: RedisServer, tmp_path: Any) -> None:
    stop = asyncio.Event()
    free = Settings(secret="s", data_dir=tmp_path, gateway={"port": 0}, redis={"url": redis_server.url})
    running = asyncio.create_task(run(free, stop))
    await asyncio.sleep(0.1)
    assert not running.done()
    stop.set()
    await asyncio.wait_for(running, 5)
