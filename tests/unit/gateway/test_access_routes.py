"""Every route of the table, tried with every kind of key that must not open it."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from aiohttp import ClientResponse

from gateway import dialects
from gateway.access import OPEN, Target
from gateway.auth import NEEDS, Route
from gateway.routes import ROUTES
from penstock import apikey, clock
from penstock.apikey import Verb
from penstock.function import FunctionSpec
from tests.unit.gateway.conftest import House, OpenHouse

TABLE: tuple[Route, ...] = (*ROUTES, *dialects.ROUTES)
GUARDED = tuple(route for route in TABLE if route.need != OPEN)
SHARED = (Target.DEPLOYMENT, Target.METRICS)
BODY = {
    "input": {},
    "functionName": "",
    "runtime": "custom-container",
    "customContainerConfig": {"image": "x"},
    "image": "x",
}


class Door:
    """A gateway with keys, and a function of the tenant acme."""

    def __init__(self, house: House) -> None:
        self.house = house

    async def key(self, tenant: str = "acme", **fields: Any) -> dict[str, str]:
        """The header of a new key."""
        revoked = fields.pop("revoked", False)
        text, key = apikey.make("test", now_ms=clock.now_ms(), tenant=tenant, **fields)
        await self.house.store.access.put(key)
        if revoked:
            await self.house.store.access.revoke(key.id)
        await self.house.gateway.keyring.renew()
        return {"Authorization": f"Bearer {text}"}

    async def deploy(self) -> None:
        spec = FunctionSpec(image="x")
        await self.house.store.catalog.deploy("acmes", spec, tenant="acme")
        await self.house.store.aliases.put({"svc/Acmes": "acmes"})

    async def ask(self, route: Route, headers: Mapping[str, str], function: str = "acmes") -> ClientResponse:
        method = "POST" if route.definition.method == "*" else route.definition.method
        mint = self.house.gateway.mint
        parts = {
            "function": function,
            "name": function,
            "owner": "me",
            "service": "svc",
            "version": function if "/models/" in route.definition.path else "1",
            "alias": "prod",
            "task": mint.new(function),
            "id": mint.new(function),
            "instance": "i-1",
            "gpu": "GPU-1",
            "key": "abcdefgh",
            "topic": "orders",
            "asset": "start.js",
            "path": "x",
        }
        if route.definition.path.startswith("/v1/predictions/"):
            parts["id"] = f"{function}.{parts['id']}"
        path = re.sub(r"\{(\w+)[^}]*\}", lambda match: parts[match[1]], route.definition.path)
        vendors = {"/2023-03-30/functions": "functionName", "/v1/predictions": "version"}
        body = {**BODY, vendors.get(path, "input"): function} if path in vendors else BODY
        if route.need.target is Target.NAME and not route.need.late:
            body = {"image": "x"}
        return await self.house.client.request(
            method, path, data=json.dumps(body), headers={"Prefer": "respond-async", **headers}
        )

    async def statuses(self, headers: Mapping[str, str], routes: tuple[Route, ...] = GUARDED) -> dict[str, int]:
        found = {}
        for route in routes:
            response = await self.ask(route, headers)
            found[name(route)] = response.status
            response.close()
        return found


def name(route: Route) -> str:
    return f"{route.definition.method} {route.definition.path}"


@pytest.fixture
async def door(open_house: OpenHouse) -> AsyncIterator[Door]:
    house = await open_house(hold=0.05, max_hold=0.05)
    door = Door(house)
    await door.deploy()
    await door.key(tenant="")  # from here on there are keys
    yield door


def test_every_route_says_what_it_needs(house: House) -> None:
    needs = house.client.app[NEEDS]  # those of HEAD, too
    served = list(house.client.app.router.routes())
    assert served
    assert [route for route in served if route not in needs] == []


def test_a_route_that_is_about_a_function_names_it() -> None:
    for route in TABLE:
        if route.need.verb and not route.need.late and route.need.target in (Target.FUNCTION, Target.NAME):
            assert "{function}" in route.definition.path, name(route)


def test_only_probes_and_the_description_are_open() -> None:
    docs = {"GET /openapi.json", "GET /docs", "GET /docs/{asset}"}
    opened = {name(route) for route in TABLE if route.need.verb is None}
    assert opened == {"GET /healthz", "GET /readyz"} | docs


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer something-else"},
        {"X-Api-Key": "something-else"},
        {"Authorization": f"Bearer {apikey.mint()[0]}"},
        {"Authorization": f"Bearer {apikey.mint()[0][:-1]}"},
        {"X-Api-Key": "psk_"},
        {"Cookie": f"key={apikey.mint()[0]}"},
    ],
    ids=["none", "another token", "another key", "unknown", "cut", "prefix alone", "cookie"],
)
async def test_without_a_good_key_every_route_answers_401(door: Door, headers: dict[str, str]) -> None:
    assert {what: status for what, status in (await door.statuses(headers)).items() if status != 401} == {}


async def test_a_revoked_and_an_expired_key_are_refused_by_every_route(door: Door) -> None:
    for headers in (await door.key(scopes=("*:*",), revoked=True), await door.key(scopes=("*:*",), lifetime=-1)):
        assert {what: status for what, status in (await door.statuses(headers)).items() if status != 401} == {}


@pytest.mark.parametrize("verb", list(Verb))
async def test_a_key_that_lacks_the_verb_or_the_function_is_refused(door: Door, verb: Verb) -> None:
    routes = tuple(route for route in GUARDED if route.need.verb is verb)
    assert routes
    others = tuple(f"{other}:*" for other in Verb if other is not verb)
    assert set((await door.statuses(await door.key(scopes=others), routes)).values()) == {403}
    elsewhere = await door.key(scopes=(f"{verb}:another", *others))
    named = tuple(route for route in routes if route.need.target in (Target.FUNCTION, Target.NAME))
    assert set((await door.statuses(elsewhere, named)).values()) <= {403}


async def test_a_refusal_names_the_scope_that_is_missing(door: Door) -> None:
    headers = await door.key(scopes=("read:*",))
    response = await door.house.client.post("/v1/functions/acmes/invocations", headers=headers)
    said = await response.json()
    assert (response.status, said["code"]) == (403, "forbidden")
    assert "lacks the scope invoke:acmes" in said["detail"]


def without_chance(text: str, headers: Mapping[str, str], function: str) -> tuple[str, dict[str, str]]:
    uuids = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
    kept = {field: uuids.sub("ID", value) for field, value in headers.items() if field != "Date"}
    return uuids.sub("ID", text).replace(function, "NAME"), kept


async def test_another_tenants_function_is_as_one_that_does_not_exist(door: Door) -> None:
    headers = await door.key(tenant="beta", scopes=("*:*",))
    for route in GUARDED:
        if route.need.target is not Target.FUNCTION:
            continue
        theirs = await door.ask(route, headers)
        nobodys = await door.ask(route, headers, function="nobod")
        assert theirs.status == 404, name(route)
        assert without_chance(await theirs.text(), theirs.headers, "acmes") == without_chance(
            await nobodys.text(), nobodys.headers, "nobod"
        ), name(route)


async def test_what_was_deleted_stays_its_tenants(door: Door) -> None:
    own, other = await door.key(scopes=("*:*",)), await door.key(tenant="beta", scopes=("*:*",))
    client = door.house.client
    job = await client.post("/v1/functions/acmes/invocations", headers={**own, "Prefer": "respond-async"})
    link = job.headers["Location"]
    assert (await client.delete("/v1/functions/acmes", headers=own)).status == 200
    await door.house.gateway.keyring.renew()
    assert (await client.get(link, headers=own)).status == 200
    assert (await client.get(link, headers=other)).status == 404
    taken = await client.put("/v1/functions/acmes", data=json.dumps({"image": "x"}), headers=other)
    assert (taken.status, (await taken.json())["code"]) == (409, "name_taken")
    again = await client.put("/v1/functions/acmes", data=json.dumps({"image": "x"}), headers=own)
    assert again.status == 201


async def test_a_name_that_another_tenant_has_is_taken(door: Door) -> None:
    headers = await door.key(tenant="beta", scopes=("*:*",))
    for route in GUARDED:
        if route.need.target is Target.NAME:
            assert (await door.ask(route, headers)).status == 409, name(route)


async def test_a_listing_shows_ones_own_alone(door: Door) -> None:
    own, other = await door.key(scopes=("*:*",)), await door.key(tenant="beta", scopes=("*:*",))
    few = await door.key(scopes=("read:some*",))
    listings = [
        route for route in GUARDED if route.need.target is Target.ANY and "cost" not in route.definition.path
    ]
    config = {"defaultTarget": 1}
    put = await door.house.client.put("/v1/functions/acmes/provision-config", data=json.dumps(config), headers=own)
    assert put.status == 200, await put.text()
    for route in listings:
        if "keys" in route.definition.path:
            continue
        assert "acmes" in await (await door.ask(route, own)).text(), name(route)
        for headers in (other, few):
            hidden = await door.ask(route, headers)
            assert hidden.status == 200
            assert "acmes" not in await hidden.text(), name(route)


async def test_what_all_tenants_share_is_the_operators(door: Door) -> None:
    headers = await door.key(tenant="acme", scopes=("*:*",))
    shared = tuple(route for route in GUARDED if route.need.target in SHARED)
    assert set((await door.statuses(headers, shared)).values()) == {403}
    operator = await door.key(tenant="", scopes=("*:*",))
    assert not set((await door.statuses(operator, shared)).values()) & {401, 403}


async def test_a_key_with_every_scope_opens_every_route_of_its_tenant(door: Door) -> None:
    headers = await door.key(scopes=("*:*",))
    for route in GUARDED:
        if route.need.target not in SHARED:
            await door.deploy()
            response = await door.ask(route, headers)
            assert response.status not in (401, 403), f"{name(route)}: {await response.text()}"
            response.close()


async def test_the_operator_sees_every_tenants(door: Door) -> None:
    headers = await door.key(tenant="", scopes=("*:*",))
    client = door.house.client
    assert (await client.get("/v1/functions/acmes", headers=headers)).status == 200
    put = await client.put("/v1/functions/acmes", data=json.dumps({"image": "y"}), headers=headers)
    assert (put.status, (await put.json())["tenant"]) == (200, "acme")
    caller = await door.key(tenant="", scopes=("invoke:*", "read:*"))
    assert (await client.get("/v1/functions/acmes", headers=caller)).status == 404


async def test_probes_are_answered_whatever_they_carry(door: Door) -> None:
    for headers in ({}, {"Authorization": "Bearer psk_wrong"}):
        assert (await door.house.client.get("/healthz", headers=headers)).status == 200
        said = await (await door.house.client.get("/readyz", headers=headers)).text()
        assert "acmes" not in said, "names are for those who may see them"
        assert "cannot be invoked" in said


async def test_a_401_says_how_to_do_better(door: Door) -> None:
    for headers, says in (
        ({}, "send one as `Authorization: Bearer KEY`"),
        ({"Authorization": "Bearer psk_abc"}, "its checksum is wrong"),
        ({"Authorization": f"Bearer {apikey.mint()[0]}"}, "is not known"),
        (await door.key(revoked=True), "is revoked"),
        (await door.key(lifetime=-1), "is expired"),
    ):
        response = await door.house.client.get("/v1/functions", headers=headers)
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="penstock"'
        said = await response.json()
        assert (response.status, said["code"]) == (401, "unauthorized")
        assert says in said["detail"]


async def test_metrics_are_open_where_a_setting_says_so(open_house: OpenHouse) -> None:
    for opened, status in ((False, 401), (True, 200)):
        house = await open_house(open_metrics=opened, admin_key="a" * 32)
        assert (await house.client.get("/metrics")).status == status
        assert (await house.client.get("/v1/functions")).status == 401
