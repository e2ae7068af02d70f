"""Versions and aliases over HTTP, and which of them a call lands on."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from penstock.invocation import Run
from tests.unit.gateway.conftest import House, answer
from tests.unit.workers.waiting import until

Said = tuple[int, dict[str, Any]]


async def ask(house: House, method: str, path: str, body: Any = None, **headers: str) -> Said:
    """Below the function."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    where = f"/v1/functions/{house.function}{path}"
    response = await house.client.request(method, where, json=body, headers=named)
    return response.status, await response.json(content_type=None)


async def publish(house: House, count: int) -> None:
    """So many versions, each different from the one before."""
    for number in range(count):
        await house.deploy(env={"NUMBER": str(number)})
        status, said = await ask(house, "POST", "/versions")
        assert status == 201, said


async def point(house: House, alias: str, version: str, **weights: float) -> None:
    shares = {name.removeprefix("v"): share for name, share in weights.items()}
    status, said = await ask(house, "PUT", f"/aliases/{alias}", {"version": version, "weights": shares})
    assert status in (200, 201), said


async def submit(house: House, qualifier: str, **headers: str) -> str:
    """On which function it landed."""
    status, said = await ask(house, "POST", f"@{qualifier}/invocations", Prefer="respond-async", **headers)
    assert status == 202, said
    landed: str = said["function"]
    return landed.removeprefix(house.function)


async def take(house: House, version: str) -> Run:
    async def take() -> Run | None:
        name = f"{house.function}@{version}"
        return await house.store.queue.take(name, epoch=house.epoch, slot="s", nonce="n", instance="i")

    run = await until(take, "it waits")
    assert run is not None
    return run


async def test_publishing_and_looking_at_versions(house: House) -> None:
    status, said = await ask(house, "POST", "/versions", {"description": "the first"})
    assert (status, said["version"], said["function"]) == (201, "1", f"{house.function}@1")
    assert (said["description"], said["problem"], said["aliases"]) == ("the first", "it is not prepared yet", [])
    assert (await ask(house, "POST", "/versions"))[0] == 200, "nothing has changed"
    await house.deploy(timeout="9s")
    assert (await ask(house, "POST", "/versions"))[1]["version"] == "2"
    _, said = await ask(house, "GET", "/versions")
    assert [(one["version"], one["spec"]["timeout"]) for one in said["versions"]] == [("2", "9s"), ("1", "10m")]
    assert (await ask(house, "GET", "/versions/1"))[1]["description"] == "the first"
    status, said = await ask(house, "GET", "/versions/3")
    assert (status, said["code"]) == (404, "version_not_found")
    assert (await ask(house, "GET", "@2"))[1]["version"] == "2"


async def test_a_version_is_no_function_in_the_list_unless_it_is_asked_for(house: House) -> None:
    await publish(house, 1)
    listed = await (await house.client.get("/v1/functions")).json()
    assert [one["name"] for one in listed["functions"]] == [house.function]
    listed = await (await house.client.get("/v1/functions?versions=true")).json()
    assert [(one["name"], one["version"]) for one in listed["functions"]] == [
        (house.function, None),
        (f"{house.function}@1", "1"),
    ]


async def test_a_publication_has_a_description_and_nothing_else(house: House) -> None:
    status, said = await ask(house, "POST", "/versions", {"descripton": "typo"})
    assert (status, said["detail"]) == (400, "unknown field 'descripton'; allowed is description")


async def test_a_version_cannot_be_changed(house: House) -> None:
    await publish(house, 1)
    status, said = await ask(house, "PUT", "@1", {"image": "other"})
    assert (status, said["code"]) == (400, "invalid_request")
    assert "a version does not change" in said["detail"]
    status, said = await ask(house, "DELETE", "@1")
    assert (status, "DELETE …/versions/1" in said["detail"]) == (400, True)


async def test_a_version_in_use_stays(house: House) -> None:
    await publish(house, 2)
    await point(house, "prod", "1", v2=0.1)
    for number in ("1", "2"):
        status, said = await ask(house, "DELETE", f"/versions/{number}")
        assert (status, said["code"]) == (409, "version_in_use")
        assert "alias prod" in said["detail"]
    await point(house, "prod", "2")
    await submit(house, "1")
    status, said = await ask(house, "DELETE", "/versions/1")
    assert (status, "1 wait and 0 run" in said["detail"]) == (409, True)
    run = await take(house, "1")
    status, said = await ask(house, "DELETE", "/versions/1")
    assert (status, "0 wait and 1 run" in said["detail"]) == (409, True)
    await house.store.queue.finish(run.invocation.function, run.invocation.id, run.invocation.token, answer())
    assert (await ask(house, "DELETE", "/versions/1"))[0] == 200
    assert (await ask(house, "POST", "@1/invocations"))[0] == 404
    assert (await ask(house, "GET", f"@1/invocations/{run.invocation.id}"))[1]["state"] == "succeeded"


async def test_a_version_that_an_alias_has_just_left_is_there_for_gateways_that_have_not_heard(
    house: House,
) -> None:
    await publish(house, 2)
    await point(house, "prod", "1")
    await point(house, "prod", "2")
    deleting = asyncio.create_task(ask(house, "DELETE", "/versions/1"))
    assert await submit(house, "1") == "@1"
    status, said = await deleting
    assert (status, "1 wait" in said["detail"]) == (409, True)


async def test_aliases(house: House) -> None:
    await publish(house, 2)
    status, said = await ask(house, "PUT", "/aliases/prod", {"version": "1", "weights": {"2": 0.25}})
    assert (status, said["shares"]) == (201, {"1": 0.75, "2": 0.25})
    assert (await ask(house, "PUT", "/aliases/prod", {"version": "2", "description": "d"}))[0] == 200
    assert (await ask(house, "GET", "/aliases/prod"))[1]["description"] == "d"
    await point(house, "blue", "LATEST")
    _, said = await ask(house, "GET", "/aliases")
    assert [(one["alias"], one["version"]) for one in said["aliases"]] == [("blue", "LATEST"), ("prod", "2")]
    assert (await ask(house, "GET", "/versions/2"))[1]["aliases"] == ["prod"]
    assert (await ask(house, "DELETE", "/aliases/prod"))[0] == 200
    status, said = await ask(house, "GET", "/aliases/prod")
    assert (status, said["code"]) == (404, "alias_not_found")


@pytest.mark.parametrize(
    ("alias", "body", "status", "says"),
    [
        ("prod", {"version": "9"}, 404, "no version 9"),
        ("prod", {"version": "1", "weights": {"9": 0.1}}, 404, "no version 9"),
        ("prod", {"version": "1", "weight": {}}, 400, "unknown field; did you mean weights?"),
        ("prod", {"version": "one"}, 400, "version: must be the number"),
        ("prod", {"version": "1", "weights": {"2": 2}}, 400, "weights.2: input should be less than or equal to 1"),
        ("prod", [], 400, "a JSON object"),
        ("LATEST", {"version": "1"}, 400, "no name of an alias"),
        ("12", {"version": "1"}, 400, "no name of an alias"),
    ],
)
async def test_an_alias_that_is_refused(house: House, alias: str, body: Any, status: int, says: str) -> None:
    await publish(house, 1)
    found, said = await ask(house, "PUT", f"/aliases/{alias}", body)
    assert (found, says in said["detail"]) == (status, True), said


async def test_a_call_lands_on_the_version_that_it_names(house: House) -> None:
    await publish(house, 2)
    await point(house, "prod", "1")
    await point(house, "next", "LATEST")
    landed = {name: await submit(house, name) for name in ("1", "2", "prod", "next", "LATEST")}
    assert landed == {"1": "@1", "2": "@2", "prod": "@1", "next": "", "LATEST": ""}
    for name, code in (("9", "version_not_found"), ("test", "alias_not_found")):
        status, said = await ask(house, "POST", f"@{name}/invocations")
        assert (status, said["code"]) == (404, code)
    response = await house.client.post("/v1/functions/nobody@prod/invocations")
    assert (await response.json())["code"] == "function_not_found"


async def test_a_canary_gets_its_share(house: House) -> None:
    await publish(house, 2)
    await point(house, "prod", "1", v2=0.25)
    landed = Counter([await submit(house, "prod") for _ in range(400)])
    # 400 draws at a quarter: the mean is 100, the standard deviation 8.7; six of them are once in 500 million
    # runs.
    assert abs(landed["@2"] - 100) <= 52
    assert landed["@1"] + landed["@2"] == 400


async def test_a_key_lands_on_the_same_version_also_after_the_alias_moved(house: House) -> None:
    await publish(house, 2)
    await point(house, "prod", "1", v2=0.5)
    keys = [f"key-{number}" for number in range(20)]
    first = [await submit(house, "prod", Idempotency_Key=key) for key in keys]
    assert set(first) == {"@1", "@2"}, (
        "20 keys at a half: all on one side is one in 500,000, and the same each time"
    )
    assert [await submit(house, "prod", Idempotency_Key=key) for key in keys] == first
    await point(house, "prod", "LATEST")
    assert [await submit(house, "prod", Idempotency_Key=key) for key in keys] == first
    assert await submit(house, "prod", Idempotency_Key="another") == ""


async def test_the_call_of_an_alias_is_found_under_it_wherever_it_landed(house: House) -> None:
    await publish(house, 2)
    await point(house, "prod", "1")
    _, said = await ask(house, "POST", "@prod/invocations", Prefer="respond-async")
    await point(house, "prod", "2")
    job = said["id"]
    assert said["links"]["self"] == f"/v1/functions/{house.function}@1/invocations/{job}"
    assert said["request"]["headers"]["X-Fc-Qualifier"] == "prod"
    assert (await ask(house, "GET", f"@prod/invocations/{job}"))[1]["function"] == f"{house.function}@1"
    assert (await ask(house, "DELETE", f"@prod/invocations/{job}"))[1]["state"] == "cancelled"
    assert (await ask(house, "POST", f"@prod/invocations/{job}/retry"))[1]["function"] == f"{house.function}@1"
    status, said = await ask(house, "GET", f"/invocations/{job}")
    assert (status, said["code"]) == (404, "invocation_not_found"), "the id is of version 1, not of LATEST"


async def test_a_held_call_of_an_alias_is_answered(house: House) -> None:
    await publish(house, 1)
    await point(house, "prod", "1")
    calling = asyncio.create_task(house.client.post(f"/v1/functions/{house.function}@prod/invocations", data=b"x"))
    run = await take(house, "1")
    assert ("X-Fc-Qualifier", "prod") in run.invocation.request.headers
    await house.store.queue.finish(run.invocation.function, run.invocation.id, run.invocation.token, answer())
    assert await (await calling).read() == b"answer"


async def test_a_batch_of_an_alias_stays_together(house: House) -> None:
    await publish(house, 2)
    await point(house, "prod", "1", v2=0.5)
    where = f"/v1/functions/{house.function}@prod/invocations:batch"
    landed = set()
    for _ in range(4):
        headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": "batch-7"}
        response = await house.client.post(where, data=b"1\n2\n3\n", headers=headers)
        said = await response.json()
        assert (response.status, said["accepted"]) == (202, 3)
        landed.add((response.headers["Location"], said["batch"]))
    assert len(landed) == 1
    batch = next(iter(landed))[1]
    assert (await ask(house, "GET", f"@prod/batches/{batch}"))[1]["accepted"] == 3


async def test_deleting_a_function_deletes_its_versions_and_cancels_what_waits(house: House) -> None:
    await publish(house, 2)
    await point(house, "prod", "1")
    await submit(house, "1")
    await submit(house, "2")
    await house.store.controls.provision(f"{house.function}@prod", '{"target": 1}')
    status, said = await ask(house, "DELETE", "")
    assert (status, said["cancelled"]) == (200, 2)
    assert (await ask(house, "POST", "@1/invocations"))[1]["code"] == "function_not_found"
    assert await house.store.controls.provisions() == {}
    assert await house.store.versions.all() == {}


async def test_provision_configs_by_qualifier(house: House) -> None:
    await publish(house, 2)
    await point(house, "prod", "1", v2=0.5)
    for name in ("", "@2", "@prod"):
        status, said = await ask(house, "PUT", f"{name}/provision-config", {"target": 2})
        assert (status, said["function"]) == (200, house.function + name)
    listed = await (await house.client.get("/v1/provision-configs")).json()
    names = [one["function"].removeprefix(house.function) for one in listed["provisionConfigs"]]
    assert names == ["", "@2", "@prod"]
    await ask(house, "DELETE", "/aliases/prod")
    await point(house, "prod", "1")
    assert (await ask(house, "GET", "@prod/provision-config"))[1]["defaultTarget"] == 0, "it went with its alias"


async def test_names_of_other_vendors_in_our_own_paths(house: House) -> None:
    await publish(house, 1)
    await house.store.aliases.put({"Chat-Model": house.function, "my-service/Chat": house.function})
    for name in ("Chat-Model", "my-service%2FChat", "my-service$Chat"):
        response = await house.client.get(f"/v1/functions/{name}")
        assert (response.status, (await response.json())["name"]) == (200, house.function), name
        response = await house.client.post(
            f"/v1/functions/{name}@1/invocations", headers={"Prefer": "respond-async"}
        )
        said = await response.json()
        assert said["function"] == f"{house.function}@1"
        response = await house.client.get(f"/v1/functions/{name}@1/invocations/{said['id']}")
        assert response.status == 200
    response = await house.client.get("/v1/functions/Nobody/invocations/x")
    assert (response.status, (await response.json())["code"]) == (404, "function_not_found")


@pytest.mark.parametrize("name", ["a}:queued{b", "UPPER", "a b", "a@@1", "a@1@2", "@1", "a@01", "ü@prod"])
async def test_names_that_could_name_another_key_are_not_found(house: House, name: str) -> None:
    from urllib.parse import quote

    for path in ("", "/invocations/x", "/batches/x", "/deliveries", "/invocations"):
        response = await house.client.get(f"/v1/functions/{quote(name, safe='')}{path}")
        assert response.status == 404, (path, await response.text())
