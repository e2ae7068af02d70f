"""Keys at work: who is served without one, what a function sees of them, how soon a revoked one is refused."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from gateway.keyring import Keyring
from penstock import apikey, clock, keys
from penstock.errors import Unauthorized
from penstock.limits import Limits
from tests.unit.gateway.conftest import House, OpenHouse, answer
from tests.unit.workers.waiting import until

ADMIN = "an admin key of 32 characters".replace(" ", "-") + "-or-more"


async def new_key(house: House, **fields: Any) -> dict[str, str]:
    text, key = apikey.make("test", now_ms=clock.now_ms(), **fields)
    await house.store.access.put(key)
    await house.gateway.keyring.renew()
    return {"Authorization": f"Bearer {text}"}


def key_of(headers: dict[str, str]) -> str:
    return headers["Authorization"].removeprefix("Bearer ")


# Without keys, and with the first one


async def test_loopback_needs_no_key_until_there_is_one(house: House) -> None:
    assert (await house.client.get("/v1/functions")).status == 200
    headers = await new_key(house)
    assert (await house.client.get("/v1/functions")).status == 401
    assert (await house.client.get("/v1/functions", headers=headers)).status == 200


async def test_to_revoke_the_last_key_opens_nothing(house: House) -> None:
    headers = await new_key(house)
    for key in await house.store.access.list():
        await house.store.access.revoke(key.id)
    await house.gateway.keyring.renew()
    assert (await house.client.get("/v1/functions")).status == 401
    assert (await house.client.get("/v1/functions", headers=headers)).status == 401


async def test_a_gateway_that_others_reach_serves_nobody_without_keys(open_house: OpenHouse) -> None:
    house = await open_house(host="0.0.0.0")
    assert (await house.client.get("/v1/functions")).status == 401
    house = await open_house(host="0.0.0.0", insecure=True)
    assert (await house.client.get("/v1/functions")).status == 200


async def test_the_admin_key_of_the_settings_may_do_everything(open_house: OpenHouse) -> None:
    house = await open_house(admin_key=ADMIN)
    assert (await house.client.get("/v1/functions")).status == 401
    for name, value in (("Authorization", f"Bearer {ADMIN}"), ("X-Api-Key", ADMIN)):
        made = await house.client.post("/v1/keys", data=json.dumps({"name": "ci"}), headers={name: value})
        assert made.status == 201
    assert (await house.client.get("/v1/gpus", headers={"X-Api-Key": ADMIN})).status == 200
    assert (await house.client.get("/v1/gpus", headers={"X-Api-Key": ADMIN[:-1]})).status == 401


# Web pages

EVIL = ({"Host": "evil.com"}, {"Origin": "https://evil.com"}, {"Host": "127.0.0.1.nip.io"}, {"Origin": "null"})


@pytest.mark.parametrize("names", EVIL)
async def test_a_web_page_of_elsewhere_reaches_nothing_without_a_key(house: House, names: dict[str, str]) -> None:
    await house.deploy(auth="anonymous")
    for keyed in (False, True):
        if keyed:
            await new_key(house)
        for path in ("/v1/functions", "/healthz", f"/fn/{house.function}/x", "/v1/keys"):
            assert (await house.client.get(path, headers=names)).status == 403, path
    assert await house.queued() == 0


@pytest.mark.parametrize("names", EVIL)
async def test_with_a_key_any_name_will_do(house: House, names: dict[str, str]) -> None:
    headers = await new_key(house)
    assert (await house.client.get("/v1/functions", headers={**headers, **names})).status == 200


async def test_where_others_reach_it_a_page_may_call_where_it_comes_from(open_house: OpenHouse) -> None:
    house = await open_house(host="0.0.0.0")
    host = {"Host": "gpu.example.com"}
    assert (await house.client.get("/healthz", headers=host)).status == 200
    own = {**host, "Origin": "https://gpu.example.com"}
    assert (await house.client.get("/healthz", headers=own)).status == 200
    assert (await house.client.get("/healthz", headers={**host, "Origin": "https://evil.com"})).status == 403


# Functions that are open to everybody


async def test_an_anonymous_function_is_called_and_read_by_id_and_nothing_else(house: House) -> None:
    await house.deploy(auth="anonymous")
    await new_key(house)
    job = await house.submit()
    assert (await house.get(job))[0] == 200
    assert (await house.client.get(f"{house.calls}/{job}/result")).status == 202
    for method, path in (
        ("GET", house.calls),
        ("DELETE", f"{house.calls}/{job}"),
        ("GET", f"/v1/functions/{house.function}"),
        ("GET", f"/v1/functions/{house.function}/instances"),
        ("GET", f"/v1/functions/{house.function}/events"),
        ("DELETE", f"/v1/functions/{house.function}/queue"),
        ("PUT", f"/v1/functions/{house.function}"),
    ):
        assert (await house.client.request(method, path)).status == 401, path


async def test_a_bad_key_is_refused_by_an_anonymous_function_too(house: House) -> None:
    await house.deploy(auth="anonymous")
    await new_key(house)
    response = await house.client.post(house.calls, headers={"X-Api-Key": apikey.mint()[0]})
    assert response.status == 401


# What is behind us sees of keys


async def test_a_functions_own_token_passes_and_our_key_does_not(house: House) -> None:
    await house.deploy(auth="anonymous")
    headers = await new_key(house)
    ours = key_of(headers)
    cases: list[tuple[dict[str, str], dict[str, str]]] = [
        ({"Authorization": "Bearer sk-own"}, {"Authorization": "Bearer sk-own"}),
        ({"X-Api-Key": "own"}, {"X-Api-Key": "own"}),
        (headers, {}),
        ({"X-Api-Key": ours, "Authorization": "Bearer sk-own"}, {"Authorization": "Bearer sk-own"}),
        ({"X-Api-Key": ours, **headers}, {}),
    ]
    for given, passed in cases:
        response = await house.client.post(f"/fn/{house.function}/x", headers={**given, "Prefer": "respond-async"})
        assert response.status == 202
        run = await house.take()
        got = {name.lower(): value for name, value in run.invocation.request.headers}
        kept = {name: got[name] for name in ("authorization", "x-api-key") if name in got}
        assert kept == {name.lower(): value for name, value in passed.items()}
        await house.finish(run, answer())


async def test_no_text_of_a_key_is_in_redis(house: House, caplog: pytest.LogCaptureFixture) -> None:
    headers = await new_key(house)
    secret = key_of(headers).split("_")[2]
    await house.post(Prefer="respond-async", **headers)
    await house.client.post(f"/fn/{house.function}/x", headers={**headers, "Prefer": "respond-async"})
    await house.client.get("/v1/functions", headers=headers)
    await house.gateway.keyring.write_uses()
    for name in house.redis.cli("KEYS", "*").splitlines():
        kind = house.redis.cli("TYPE", name)
        read = {
            "hash": ("HGETALL",),
            "string": ("GET",),
            "zset": ("ZRANGE", "0", "-1"),
            "set": ("SMEMBERS",),
        }[kind]
        assert secret not in name
        assert secret not in house.redis.cli(read[0], name, *read[1:]), name
    assert secret not in caplog.text


async def test_a_key_in_an_address_is_refused(house: House) -> None:
    headers = await new_key(house)
    response = await house.client.get("/v1/functions", params={"key": key_of(headers)}, headers=headers)
    assert (response.status, (await response.json())["code"]) == (400, "invalid_request")
    assert (await house.client.get("/v1/functions", params={"key": key_of(headers)})).status == 400


# Revocation


async def test_a_revoked_key_is_refused_within_a_second_though_no_hint_came(house: House) -> None:
    text, key = apikey.make("test", now_ms=clock.now_ms(), scopes=("*:*",))
    ring = Keyring(house.store, admin_key="", closed=False)
    watching = asyncio.create_task(ring.watch())
    try:
        await house.store.access.put(key)

        async def known() -> bool:
            return (await ring.caller(text)).key_id == key.id

        await until(known, "the key is known")
        await house.store.access.revoke(key.id)
        begun = clock.monotonic()
        with pytest.raises(Unauthorized, match="is revoked"):
            while clock.monotonic() - begun < 1.0:
                await ring.caller(text)
                await asyncio.sleep(0.01)
    finally:
        watching.cancel()


async def test_a_call_asks_the_store_nothing_about_its_key(house: House) -> None:
    headers = await new_key(house)
    await house.client.get("/v1/functions", headers=headers)
    house.redis.cli("CONFIG", "RESETSTAT")
    for _ in range(5):
        assert (await house.client.get("/v1/functions/nothing/instances", headers=headers)).status == 404
    stats = house.redis.cli("INFO", "commandstats")
    assert keys.API_KEYS not in stats
    assert "cmdstat_hgetall" not in stats, stats


async def test_when_a_key_was_last_used_is_kept(house: House) -> None:
    headers = await new_key(house, scopes=("*:*",))
    before = (await (await house.client.get("/v1/keys", headers=headers)).json())["keys"]
    assert [one["last_used_at"] for one in before] == [None]
    await house.gateway.keyring.write_uses()
    after = (await (await house.client.get("/v1/keys", headers=headers)).json())["keys"]
    assert after[0]["last_used_at"] is not None


# Keys over HTTP


async def make(house: House, headers: dict[str, str], **wanted: Any) -> tuple[int, dict[str, Any]]:
    response = await house.client.post("/v1/keys", data=json.dumps({"name": "new", **wanted}), headers=headers)
    return response.status, await response.json()


async def test_a_key_is_made_listed_and_revoked_over_http(house: House) -> None:
    admin = await new_key(house, scopes=("*:*",))
    status, made = await make(house, admin, scopes=["invoke:chat"], expires="90d", limits={"rate": "10/s"})
    assert status == 201
    assert apikey.well_formed(made["key"])
    assert made["scopes"] == ["invoke:chat"]
    assert made["limits"] == {"rate": "10/s", "burst": None, "in_flight": None}
    listed = (await (await house.client.get("/v1/keys", headers=admin)).json())["keys"]
    assert made["id"] in [one["id"] for one in listed]
    assert made["key"] not in json.dumps(listed)
    assert "digest" not in listed[0]
    revoked = await house.client.delete(f"/v1/keys/{made['id']}", headers=admin)
    assert (await revoked.json())["revoked_at"] is not None
    refused = await house.client.get("/v1/functions", headers={"X-Api-Key": made["key"]})
    assert refused.status == 401


async def test_a_key_gives_no_more_than_it_has(house: House) -> None:
    admin = await new_key(house, tenant="acme", scopes=("admin:*", "invoke:chat*"))
    assert (await make(house, admin, scopes=["invoke:chat-1"]))[0] == 201
    too_much: list[dict[str, Any]] = [{"scopes": [scope]} for scope in ("*:*", "invoke:*", "read:chat")]
    for wanted in (*too_much, {"tenant": "beta"}, {"tenant": ""}):
        status, said = await make(house, admin, **{"scopes": ["invoke:chat"], **wanted})
        assert (status, said["code"]) == (403, "forbidden"), wanted


async def test_a_tenants_admin_sees_and_revokes_the_tenants_keys_alone(house: House) -> None:
    operator, admin = await new_key(house, scopes=("*:*",)), await new_key(house, tenant="acme", scopes=("*:*",))
    everyones = (await (await house.client.get("/v1/keys", headers=operator)).json())["keys"]
    own = (await (await house.client.get("/v1/keys", headers=admin)).json())["keys"]
    assert (len(everyones), len(own)) == (2, 1)
    others = next(one["id"] for one in everyones if one["tenant"] == "")
    hidden = await house.client.delete(f"/v1/keys/{others}", headers=admin)
    nothing = await house.client.delete(f"/v1/keys/{'x' * len(others)}", headers=admin)
    assert hidden.status == nothing.status == 404
    assert (await hidden.text()).replace(others, "ID") == (await nothing.text()).replace("x" * len(others), "ID")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("", "the body must be JSON"),
        ("{}", "name: field required"),
        ('{"name": "x", "scope": ["a"]}', "did you mean scopes?"),
        ('{"name": "x", "scopes": ["a"]}', "write VERB:FUNCTION"),
        ('{"name": "x", "expires": "soon"}', "is not a duration"),
        ('{"name": "x", "expires": 1e308}', "expires"),
        ('{"name": "x", "limits": {"burst": true}}', "limits.burst"),
        ('{"name": "x", "limits": {"rate": 0}}', "rate"),
        ('{"name": ""}', "name"),
    ],
)
async def test_what_makes_no_key_is_refused_with_the_reason(house: House, body: str, says: str) -> None:
    response = await house.client.post("/v1/keys", data=body)
    said = await response.json()
    assert (response.status, said["code"]) == (400, "invalid_request")
    assert says in said["detail"]


async def test_what_all_tenants_share_a_tenant_does_not_listen_to(house: House) -> None:
    tenant, operator = await new_key(house, tenant="acme", scopes=("*:*",)), await new_key(house, scopes=("*:*",))
    spec = json.dumps({"image": "x", "triggers": [{"type": "topic", "name": "t", "topic": "orders"}]})
    refused = await house.client.put("/v1/functions/hears", data=spec, headers=tenant)
    assert (refused.status, (await refused.json())["code"]) == (403, "forbidden")
    assert (await house.client.put("/v1/functions/hears", data=spec, headers=operator)).status == 201


# Idempotency and limits


async def test_an_idempotency_key_is_its_tenants(house: House) -> None:
    await house.deploy(auth="anonymous")
    operator = await new_key(house, scopes=("*:*",))
    stranger = await new_key(house, tenant="acme")
    ids = set()
    for headers in (operator, operator, {}, {}, stranger, stranger):
        ids.add(await house.submit(Idempotency_Key="same", **headers))
    assert len(ids) == 3, "who has the key must not be told of another's call"


async def test_a_limit_is_told_with_when_to_come_again(house: House) -> None:
    headers = await new_key(house, limits=Limits(rate=0.1, burst=2))
    for _ in range(2):
        await house.submit(**headers)
    response = await house.post(Prefer="respond-async", **headers)
    said = await response.json()
    assert (response.status, said["code"], said["retryable"]) == (429, "rate_limited", True)
    assert response.headers["Retry-After"] == "10"
    assert "is limited to 6/m" in said["detail"]
    assert await house.queued() == 2


async def test_a_functions_limit_holds_without_keys_and_over_gateways(open_house: OpenHouse) -> None:
    first, second = await open_house(), await open_house()
    for house in (first, second):
        await house.deploy(limits={"in_flight": 2})
    await first.submit()
    await second.submit()
    for house in (first, second):
        response = await house.post(Prefer="respond-async")
        assert (response.status, (await response.json())["code"]) == (429, "rate_limited")
        assert int(response.headers["Retry-After"]) >= 1
    run = await second.take()
    await second.finish(run)
    await first.submit()


async def test_a_line_of_a_batch_that_is_over_the_limit_says_so(house: House) -> None:
    headers = await new_key(house, limits=Limits(rate=0.1, burst=3))
    lines = b"\n".join(b"%d" % number for number in range(5))
    url = f"/v1/functions/{house.function}/invocations:batch"
    said = await (await house.client.post(url, data=lines, headers=headers)).json()
    assert (said["accepted"], said["refused"]) == (3, 2)
    refused = [item["error"] for item in said["items"] if "error" in item]
    assert {one["code"] for one in refused} == {"rate_limited"}
    assert {one["retry_after"] for one in refused} == {10}


async def test_a_line_over_the_calls_in_flight_is_told_when_one_will_have_ended(house: House) -> None:
    headers = await new_key(house, limits=Limits(in_flight=2))
    url = f"/v1/functions/{house.function}/invocations:batch"
    said = await (await house.client.post(url, data=b"1\n2\n3", headers=headers)).json()
    refused = [item["error"] for item in said["items"] if "error" in item]
    assert [(one["code"], one["retry_after"]) for one in refused] == [("rate_limited", 5)], "nobody knows yet"


async def test_keys_share_a_functions_queue(house: House) -> None:
    many, few = await new_key(house), await new_key(house)
    flood = [await house.submit(**many) for _ in range(20)]
    neighbour = await house.submit(**few)
    order = [(await house.take()).invocation.id for _ in range(2)]
    assert order == [flood[0], neighbour]
    assert await house.store.invocations.position(house.function, flood[-1]) == 19


async def test_a_custom_domain_wants_a_key_as_its_function_does(house: House) -> None:
    headers = await new_key(house, scopes=("*:*",))
    routes = json.dumps({"routes": [{"path": "/*", "function": house.function}]})
    assert (await house.client.put("/v1/domains/api.example.com", data=routes, headers=headers)).status == 201
    host = {"Host": "api.example.com", "Prefer": "respond-async"}
    assert (await house.client.post("/x", headers=host)).status == 401
    assert (await house.client.post("/x", headers={**host, **headers})).status == 202
    run = await house.take()
    assert "authorization" not in {name.lower() for name, _ in run.invocation.request.headers}
    await house.deploy(auth="anonymous")
    assert (await house.client.post("/x", headers=host)).status == 202
