"""A request whose Host is a user's own reaches a function's server, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import ClientResponse

from penstock.domains import Domain
from penstock.invocation import Invocation
from tests.unit.gateway.conftest import House, OpenHouse

HOST = "api.example.com"


async def route(house: House, *routes: dict[str, Any], name: str = HOST) -> None:
    body = {"routes": [{"function": house.function, **one} for one in routes]}
    response = await house.client.put(f"/v1/domains/{name}", json=body)
    assert response.status in (200, 201), await response.text()


async def request(
    house: House, path: str, *, method: str = "GET", host: str = HOST, **headers: str
) -> ClientResponse:
    response: ClientResponse = await house.client.request(method, path, headers={"Host": host, **headers})
    await response.read()
    return response


async def reached(house: House, path: str, **more: Any) -> Invocation:
    """The call as the function's server gets it."""
    calling = asyncio.create_task(request(house, path, **more))
    run = await house.take()
    await house.finish(run)
    assert (await (await calling).read()) == b"answer"
    return run.invocation


async def code(response: ClientResponse) -> tuple[int, str]:
    said = await response.json(content_type=None)
    return response.status, said["code"]


async def test_every_path_reaches_the_function(house: House) -> None:
    await route(house, {"path": "/*"})
    for path in ("/", "/v1/functions", "/fn/x", "/healthz", "/2015-03-31/functions/x/invocations", "/a%2Fb"):
        call = (await reached(house, path + "?q=1", host=f"{HOST.upper()}:8080")).request
        assert (call.method, call.path, call.query) == ("GET", path, "q=1")


async def test_our_own_interface_is_not_there(house: House) -> None:
    await route(house, {"path": "/api/*"})
    for path in ("/v1/functions", "/healthz", "/readyz", f"/fn/{house.function}/", "/"):
        assert await code(await request(house, path)) == (404, "route_not_found")
    response = await request(house, "/v1/functions", host="localhost")
    assert response.status == 200


async def test_other_hosts_are_what_they_were(house: House) -> None:
    await route(house, {"path": "/*"})
    assert await code(await request(house, "/v1/functions", host="evil.example")) == (403, "forbidden")
    assert await code(await request(house, "/x", host=f"x.{HOST}")) == (403, "forbidden")


async def test_methods_that_a_route_does_not_take(house: House) -> None:
    await route(house, {"path": "/a", "methods": ["GET", "POST"]}, {"path": "/*"})
    refused = await request(house, "/a", method="DELETE")
    assert await code(refused) == (405, "method_not_allowed")
    assert refused.headers["Allow"] == "GET, POST"
    await reached(house, "/a", method="POST")
    await reached(house, "/b", method="DELETE")


async def test_paths_are_rewritten(house: House) -> None:
    await route(house, {"path": "/api/*", "rewrite": [{"match": "/api/*", "replacement": "/v2/$1"}]})
    assert (await reached(house, "/api/a%20b?q=%2F")).request.path == "/v2/a%20b"


async def test_a_route_may_name_an_alias_and_a_function_that_is_not_there(house: House) -> None:
    await house.store.versions.publish(house.function)
    await house.client.put(f"/v1/functions/{house.function}/aliases/prod", json={"version": "1"})
    await route(house, {"path": "/p", "qualifier": "prod"}, {"path": "/x", "qualifier": "gone"}, {"path": "/n"})
    calling = asyncio.create_task(request(house, "/p"))
    latest, house.function = house.function, f"{house.function}@1"
    run = await house.take()
    assert ("X-Fc-Qualifier", "prod") in run.invocation.request.headers
    await house.finish(run)
    house.function = latest
    assert (await calling).status == 200
    assert await code(await request(house, "/x")) == (404, "alias_not_found")
    await house.client.delete(f"/v1/functions/{latest}")
    assert await code(await request(house, "/n")) == (404, "function_not_found")


async def test_pages_of_elsewhere_may_not_call_without_keys(house: House) -> None:
    await route(house, {"path": "/*"})
    refused = await request(house, "/", Origin="https://evil.example")
    assert await code(refused) == (403, "forbidden")
    await reached(house, "/", Origin=f"https://{HOST}")
    await reached(house, "/", Origin="http://localhost:3000")


async def test_beyond_loopback_any_page_may(open_house: OpenHouse) -> None:
    house = await open_house(insecure=True)
    await route(house, {"path": "/*"})
    await reached(house, "/", Origin="https://anybody.example")


async def test_upgrades_are_refused(house: House) -> None:
    await route(house, {"path": "/*"})
    refused = await request(house, "/", Connection="Upgrade", Upgrade="websocket")
    assert await code(refused) == (501, "not_implemented")


async def test_domains_are_put_shown_and_removed(house: House) -> None:
    body = {"routes": [{"path": "/a/*", "function": "chat", "qualifier": "prod", "methods": ["GET"]}]}
    response = await house.client.put(f"/v1/domains/{HOST.upper()}", json=body)
    assert response.status == 201
    shown = await response.json()
    assert (shown["domain"], shown["routes"][0]["qualifier"]) == (HOST, "prod")
    assert await (await house.client.get(f"/v1/domains/{HOST}")).json() == shown
    assert (await (await house.client.get("/v1/domains")).json())["domains"] == [shown]
    again = await house.client.put(f"/v1/domains/{HOST}", json=body, headers={"If-None-Match": "*"})
    assert await code(again) == (409, "already_exists")
    assert (await house.client.put(f"/v1/domains/{HOST}", json=body)).status == 200
    assert (await house.client.delete(f"/v1/domains/{HOST}")).status == 200
    assert await code(await house.client.get(f"/v1/domains/{HOST}")) == (404, "domain_not_found")
    assert await code(await house.client.delete(f"/v1/domains/{HOST}")) == (404, "domain_not_found")
    assert await code(await request(house, "/")) == (403, "forbidden"), "nobody's now"


@pytest.mark.parametrize(
    ("name", "body", "says"),
    [
        ("localhost", {"routes": [{"function": "f"}]}, "where Penstock itself is reached"),
        ("127.0.0.1", {"routes": [{"function": "f"}]}, "where Penstock itself is reached"),
        ("a..b", {"routes": [{"function": "f"}]}, "no host name"),
        (HOST, {"routes": []}, "routes: tuple should have at least 1 item"),
        (HOST, {"routes": [{"function": "f"}], "route": []}, "route: unknown field; did you mean routes?"),
        (HOST, {"routes": [{"function": "f", "pth": "/"}]}, "routes.0.pth: unknown field; did you mean path?"),
        (HOST, {"routes": [{"function": "f", "path": "x"}]}, "routes.0.path"),
    ],
)
async def test_domains_that_are_refused(house: House, name: str, body: Any, says: str) -> None:
    response = await house.client.put(f"/v1/domains/{name}", json=body)
    said = await response.json()
    assert (response.status, says in said["detail"]) == (400, True), said


async def test_what_another_gateway_changed_acts_here(house: House) -> None:
    """As a second gateway's write reaches this one: by the change counter."""
    house.gateway.tasks.loop("directory", house.gateway.directory.watch)
    assert await code(await request(house, "/")) == (403, "forbidden")
    await house.store.domains.put(HOST, Domain.model_validate(house.function))

    async def routed() -> bool:
        return await house.gateway.directory.domain(HOST) is not None

    from tests.unit.workers.waiting import until

    await until(routed, "it has heard of the domain")
    await reached(house, "/")
