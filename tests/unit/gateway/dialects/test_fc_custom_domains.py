"""Custom domains with Function Compute's official SDKs."""

from __future__ import annotations

import fc2
import pytest
from alibabacloud_fc20230330 import models
from alibabacloud_fc20230330.client import Client
from fc2.fc_exceptions import FcError

from tests.unit.gateway.conftest import House
from tests.unit.gateway.dialects.conftest import begin
from tests.unit.gateway.dialects.test_fc import client, older, refused

__all__ = ["client", "older"]


def routes(*paths: models.PathConfig) -> models.RouteConfig:
    return models.RouteConfig(routes=list(paths))


async def test_a_domain_from_its_creation_to_its_end(house: House, client: Client) -> None:
    rewrite = models.RewriteConfig(
        equal_rules=[models.EqualRule(match="/x", replacement="/y")],
        wildcard_rules=[models.WildcardRule(match="/a/*", replacement="/$1")],
    )
    first = models.PathConfig(path="/*", function_name=house.function, methods=["GET"], rewrite_config=rewrite)
    given = models.CreateCustomDomainInput(domain_name="Shop.example", protocol="HTTP", route_config=routes(first))
    request = models.CreateCustomDomainRequest(body=given)
    made = (await begin(client.create_custom_domain, request)).body
    assert (made.domain_name, made.protocol) == ("shop.example", "HTTP")
    assert await refused(client.create_custom_domain, request) == (409, "DomainNameAlreadyExists")
    (shown,) = (await begin(client.get_custom_domain, "shop.example")).body.route_config.routes
    assert (shown.path, shown.function_name, shown.qualifier, shown.methods) == (
        "/*",
        house.function,
        "LATEST",
        ["GET"],
    )
    assert shown.rewrite_config.wildcard_rules[0].replacement == "/$1"
    refusal = await house.client.post("/", headers={"Host": "shop.example"})
    assert refusal.status == 405
    other = models.PathConfig(path="/b", function_name="Other", qualifier="prod")
    change = models.UpdateCustomDomainRequest(body=models.UpdateCustomDomainInput(route_config=routes(other)))
    changed = (await begin(client.update_custom_domain, "shop.example", change)).body
    assert [(one.path, one.qualifier) for one in changed.route_config.routes] == [("/b", "prod")]
    listed = (await begin(client.list_custom_domains, models.ListCustomDomainsRequest(prefix="shop"))).body
    assert [one.domain_name for one in listed.custom_domains] == ["shop.example"]
    await begin(client.delete_custom_domain, "shop.example")
    assert await refused(client.get_custom_domain, "shop.example") == (404, "DomainNameNotFound")


async def test_a_domain_that_cannot_be(house: House, client: Client) -> None:
    nobody = models.CreateCustomDomainInput(
        domain_name="a.example", route_config=routes(models.PathConfig(path="/*"))
    )
    local = models.CreateCustomDomainInput(
        domain_name="localhost", route_config=routes(models.PathConfig(path="/*", function_name="f"))
    )
    empty = models.CreateCustomDomainInput(domain_name="a.example", route_config=routes())
    for wrong in (nobody, local, empty):
        request = models.CreateCustomDomainRequest(body=wrong)
        assert await refused(client.create_custom_domain, request) == (400, "InvalidArgument")


async def test_the_older_sdk_routes_to_a_service(house: House, older: fc2.Client) -> None:
    config = {"routes": [{"path": "/*", "serviceName": "shop", "functionName": "Pay"}]}
    await begin(older.create_custom_domain, "pay.example", "HTTP", config)
    shown = (await begin(older.get_custom_domain, "pay.example")).data["routeConfig"]["routes"]
    assert [(one["serviceName"], one["functionName"]) for one in shown] == [("shop", "Pay")]
    response = await house.client.get("/v1/domains/pay.example")
    assert (await response.json())["routes"][0]["function"] == "shop/Pay"
    await begin(older.delete_custom_domain, "pay.example")
    with pytest.raises(FcError):
        await begin(older.get_custom_domain, "pay.example")
