"""Versions and aliases of AWS Lambda, with boto3."""

from __future__ import annotations

import asyncio
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.unit.gateway.conftest import House
from tests.unit.gateway.dialects.conftest import begin, url
from tests.unit.gateway.dialects.test_fc_versions import finish, take


@pytest.fixture
def client(house: House) -> Any:
    return boto3.client(
        "lambda",
        endpoint_url=url(house),
        region_name="us-east-1",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
    )


async def publish(house: House, client: Any, number: int) -> str:
    await house.deploy(env={"NUMBER": str(number)})
    said = await begin(lambda: client.publish_version(FunctionName=house.function, Description=f"no. {number}"))
    assert (said["FunctionName"], said["Description"]) == (house.function, f"no. {number}")
    version: str = said["Version"]
    return version


async def refused(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as raised:
        await begin(lambda: call(**arguments))
    code: str = raised.value.response["Error"]["Code"]
    return code


async def test_versions_and_aliases(house: House, client: Any) -> None:
    name = house.function
    assert [await publish(house, client, number) for number in (1, 2)] == ["1", "2"]
    listed = await begin(lambda: client.list_versions_by_function(FunctionName=name))
    assert [one["Version"] for one in listed["Versions"]] == ["$LATEST", "1", "2"]
    routing = {"AdditionalVersionWeights": {"2": 0.25}}
    made = await begin(
        lambda: client.create_alias(FunctionName=name, Name="prod", FunctionVersion="1", RoutingConfig=routing)
    )
    assert (made["FunctionVersion"], made["RoutingConfig"]) == ("1", routing)
    again = {"FunctionName": name, "Name": "prod", "FunctionVersion": "1"}
    assert await refused(client.create_alias, **again) == "ResourceConflictException"
    assert await refused(client.delete_function, FunctionName=name, Qualifier="2") == "ResourceConflictException"
    await begin(lambda: client.update_alias(FunctionName=name, Name="prod", FunctionVersion="2", RoutingConfig={}))
    shown = await begin(lambda: client.get_alias(FunctionName=name, Name="prod"))
    assert (shown["FunctionVersion"], "RoutingConfig" in shown) == ("2", False)
    listed = await begin(lambda: client.list_aliases(FunctionName=name, FunctionVersion="2"))
    assert [one["Name"] for one in listed["Aliases"]] == ["prod"]
    await begin(lambda: client.delete_alias(FunctionName=name, Name="prod"))
    await begin(lambda: client.delete_function(FunctionName=name, Qualifier="2"))
    assert await refused(client.get_alias, FunctionName=name, Name="prod") == "ResourceNotFoundException"
    assert await refused(client.delete_function, FunctionName=name) == "InvalidParameterValueException"
    assert [one.version for one in await house.store.versions.published(name)] == ["1"]


async def test_calls_by_qualifier(house: House, client: Any) -> None:
    name = house.function
    await publish(house, client, 1)
    await begin(lambda: client.create_alias(FunctionName=name, Name="prod", FunctionVersion="1"))
    for asked, executed in (
        ({"FunctionName": name, "Qualifier": "1"}, "1"),
        ({"FunctionName": f"{name}:prod"}, "1"),
        ({"FunctionName": name, "Qualifier": "$LATEST"}, "$LATEST"),
    ):
        calling: asyncio.Task[Any] = begin(lambda asked=asked: client.invoke(**asked, Payload=b"{}"))  # type: ignore[misc]
        await finish(house, await take(house, executed.removeprefix("$LATEST")))
        assert (await calling)["ExecutedVersion"] == executed
    assert await refused(client.invoke, FunctionName=name, Qualifier="9") == "ResourceNotFoundException"
