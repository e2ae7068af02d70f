"""Functions over HTTP: put, get, delete, list; specs refused with their field; nothing of the host named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock import keys
from penstock.instance import InstanceState, InstanceView
from penstock.store import PoolView
from penstock.store.pools import EMPTY
from tests.unit.gateway.conftest import House, OpenHouse

IMAGE = {"image": "my/model:1"}


async def put(house: House, name: str, spec: Any) -> tuple[int, dict[str, Any]]:
    body = spec if isinstance(spec, bytes) else json.dumps(spec).encode()
    response = await house.client.put(f"/v1/functions/{name}", data=body)
    said: dict[str, Any] = await response.json(content_type=None)
    return response.status, said


async def test_a_new_function_is_created_and_a_changed_one_updated(house: House, unique: str) -> None:
    name = f"{unique}-new"
    assert [(status, said["revision"]) for status, said in [await put(house, name, IMAGE)]] == [(201, 1)]
    assert (await put(house, name, IMAGE))[0] == 200
    assert (await put(house, name, IMAGE))[1]["revision"] == 1, "the same again changes nothing"
    status, said = await put(house, name, IMAGE | {"timeout": "5s"})
    assert (status, said["revision"], said["spec"]["timeout"]) == (200, 2, "5s")


async def test_a_function_shows_its_spec_with_the_defaults_filled_in(house: House, unique: str) -> None:
    await put(house, f"{unique}-new", IMAGE | {"scaling": {"max": 3}})
    response = await house.client.get(f"/v1/functions/{unique}-new")
    said = await response.json()
    assert response.status == 200
    assert said["spec"]["scaling"] == {
        "min": 0,
        "max": 3,
        "idle_timeout": "5m",
        "max_queue_wait": None,
        "target_utilization": None,
        "metric": "concurrency",
        "buffer": 0,
        "standby": 0,
        "weight": 1.0,
    }
    assert said["spec"]["timeout"] == "10m"
    assert said["spec"]["resources"]["memory"] == "2GiB"
    assert said["spec"]["retry"]["on"] == [408, 429, 502, 503, 504]
    assert said["decision"] == {"desired": None, "reason": EMPTY.reason}
    assert said["instances"] == {}


async def test_what_get_shows_can_be_put_again(house: House, unique: str) -> None:
    name = f"{unique}-new"
    spec = IMAGE | {"timeout": "90s", "env": {"A": "1"}, "lifecycle": {"health": {"path": "/h"}}}
    await put(house, name, spec)
    shown = (await (await house.client.get(f"/v1/functions/{name}")).json())["spec"]
    again = {field: value for field, value in shown.items() if value is not None}
    status, said = await put(house, name, again)
    assert (status, said.get("revision")) == (200, 1), said


async def test_a_put_can_be_invoked_at_once(open_house: OpenHouse, unique: str) -> None:
    house: House = await open_house()
    name = f"{unique}-new"
    assert (await house.client.post(f"/v1/functions/{name}/invocations", data=b"")).status == 404
    await put(house, name, IMAGE)
    call = house.client.post(f"/v1/functions/{name}/invocations", data=b"", headers={"Prefer": "respond-async"})
    assert (await call).status == 202


async def test_all_functions_are_listed_by_name(house: House, unique: str) -> None:
    await put(house, "zebra", IMAGE)
    await put(house, "ant", IMAGE)
    said = await (await house.client.get("/v1/functions")).json()
    assert [one["name"] for one in said["functions"]] == sorted(["ant", "zebra", unique])


async def test_a_function_is_deleted_with_what_waits_for_it(house: House) -> None:
    job = await house.submit()
    response = await house.client.delete(f"/v1/functions/{house.function}")
    assert (response.status, await response.json()) == (200, {"deleted": house.function, "cancelled": 1})
    assert (await house.client.get(f"/v1/functions/{house.function}")).status == 404
    assert (await house.get(job))[1]["state"] == "cancelled"


@pytest.mark.parametrize("name", ["unknown", "Bad", "x" * 64])
async def test_what_is_not_there_can_be_neither_shown_nor_deleted(house: House, name: str) -> None:
    for response in (
        await house.client.get(f"/v1/functions/{name}"),
        await house.client.delete(f"/v1/functions/{name}"),
        await house.client.get(f"/v1/functions/{name}/instances"),
    ):
        said = await response.json(content_type=None)
        assert (response.status, said["code"]) == (404, "function_not_found")


@pytest.mark.parametrize("name", ["Bad", "-x", "_x", "a.b", "a%20b", "%C3%BC", "x" * 64, "ps:x", "a%0A"])
async def test_a_name_must_be_one(house: House, name: str) -> None:
    status, said = await put(house, name, IMAGE)
    assert (status, said["code"]) == (400, "invalid_request")
    assert "lower-case letters, digits, - and _, at most 63" in said["detail"]


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({}, "spec: nothing to run: give path (a folder with a Python handler), image or command"),
        (IMAGE | {"scalling": {}}, "scalling: unknown field; did you mean scaling?"),
        (
            IMAGE | {"scaling": {"maxx": 1}},
            "scaling.maxx: unknown field; did you mean max? allowed are buffer, idle_timeout",
        ),
        (IMAGE | {"scaling": {"max": 0}}, "scaling.max: input should be greater than or equal to 1 (got 0)"),
        (IMAGE | {"scaling": {"min": 3, "max": 2}}, "scaling: min (3) must not be larger than max (2)"),
        (
            IMAGE | {"timeout": "5 parsecs"},
            "timeout: '5 parsecs' is not a duration; write a number and ms, s, m, h or d",
        ),
        (IMAGE | {"timeout": True}, "timeout: true is not a duration"),
        (IMAGE | {"timeout": "0.5s"}, "timeout: input should be greater than or equal to 1"),
        (IMAGE | {"resources": {"memory": "2 GIB"}}, "resources.memory: '2 GIB' is not a size"),
        (IMAGE | {"event": "xml"}, "event: input should be 'bytes' or 'json' (got 'xml')"),
        (IMAGE | {"concurrency": "many"}, "concurrency: "),
        (IMAGE | {"env": {"A": {}}}, "env.A: input should be a valid string"),
        (IMAGE | {"env": []}, "env: input should be a valid dictionary"),
        (IMAGE | {"retry": {"on": [200]}}, "retry.on.0: input should be greater than or equal to 400"),
        (IMAGE | {"lifecycle": {"initialize": {"path": "x", "timeout": "5s"}}}, "lifecycle.initialize.path: "),
        (IMAGE | {"lifecycle": {"initialize": {"path": "/x"}}}, "lifecycle.initialize.timeout: field required"),
        (IMAGE | {"handler": "app:handler"}, "spec: handler needs path"),
        ({"image": 5}, "image: input should be a valid string (got 5)"),
        ([], "spec: input should be a valid dictionary"),
        ("text", "spec: input should be a valid dictionary"),
        (None, "spec: input should be a valid dictionary"),
        (b"", "the body must be a spec as JSON"),
        (b"image: my/model", "the body must be a spec as JSON"),
        (b"\xff\xfe", "the body must be a spec as JSON"),
        (b'{"image": "\\ud800"}', "spec: image: text that is not Unicode"),
    ],
)
async def test_a_bad_spec_is_refused_with_its_field_and_what_is_allowed(
    house: House, unique: str, spec: Any, says: str
) -> None:
    status, said = await put(house, f"{unique}-new", spec)
    assert (status, said["code"]) == (400, "invalid_request")
    assert said["detail"].startswith(says)
    assert (await house.client.get(f"/v1/functions/{unique}-new")).status == 404


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 100_000, b'{"image": "x", "timeout": NaN}'], ids=["[", "{", "NaN"]
)
async def test_a_hostile_spec_is_the_clients_mistake_and_not_ours(house: House, body: bytes) -> None:
    status, said = await put(house, "hostile", body)
    assert (status, said["code"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    "spec",
    [
        {"path": "/srv/secrets"},
        {"path": "./x", "handler": "app:handler"},
        {"path": ""},
        {"path": "."},
        {"command": ["sh", "-c", "id"]},
        IMAGE | {"command": ["sh"]},
        IMAGE | {"volumes": ["/etc:/etc"]},
        IMAGE | {"secrets": ["HF_TOKEN"]},
        {"path": 5},
    ],
)
async def test_what_names_things_of_the_host_comes_from_files_only(house: House, spec: dict[str, Any]) -> None:
    status, said = await put(house, "intruder", spec)
    assert (status, said.get("code")) == (403, "forbidden"), said
    assert "comes from spec files only" in said["detail"]
    assert (await house.client.get("/v1/functions/intruder")).status == 404


async def test_an_empty_command_or_volumes_name_nothing(house: House, unique: str) -> None:
    assert (
        await put(house, f"{unique}-new", IMAGE | {"volumes": [], "secrets": [], "command": None, "path": None})
    )[0] == 201


async def test_a_spec_over_the_limit_is_too_large(open_house: OpenHouse) -> None:
    house: House = await open_house(max_body=1000)
    status, said = await put(house, "large", IMAGE | {"env": {"A": "x" * 2000}})
    assert (status, said["code"]) == (413, "payload_too_large")


async def test_the_instances_are_shown_with_their_timeline_and_the_decision(house: House) -> None:
    instance = InstanceView(
        id="i-1",
        state=InstanceState.BUSY,
        revision=1,
        in_flight=2,
        started_at=1_700_000_000_123,
        timeline={"pending": 1.0, "starting": 20.5},
        reason="demand",
    )
    view = PoolView(instances=[instance], desired=1, reason="1 queued and 2 running need 1", drain_rate=None)
    await house.store.pools.show(house.function, view, epoch=house.epoch)
    response = await house.client.get(f"/v1/functions/{house.function}/instances")
    assert await response.json() == {
        "instances": [
            {
                "id": "i-1",
                "state": "busy",
                "revision": 1,
                "provisioned": False,
                "in_flight": 2,
                "started_at": "2023-11-14T22:13:20.123Z",
                "timeline": {"pending": 1.0, "starting": 20.5},
                "gpu": None,
                "reason": "demand",
            }
        ],
        "decision": {"desired": 1, "reason": "1 queued and 2 running need 1"},
    }
    listed = await (await house.client.get("/v1/functions")).json()
    assert listed["functions"][0]["instances"] == {"busy": 1}


async def test_without_redis_managing_says_so(house: House) -> None:
    house.redis.cli("CONFIG", "SET", "maxmemory", "1")
    try:
        status, said = await put(house, "new", IMAGE)
    finally:
        house.redis.cli("CONFIG", "SET", "maxmemory", "0")
    assert (status, said["code"]) == (503, "store_unavailable")
    assert house.redis.cli("HEXISTS", keys.FUNCTIONS, "new") == "0"
