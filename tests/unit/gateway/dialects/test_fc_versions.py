"""Versions, aliases and qualifiers of Function Compute, with the official SDKs of both versions of its API."""

from __future__ import annotations

from typing import Any

import fc2
import pytest
from alibabacloud_fc20230330 import models
from alibabacloud_fc20230330.client import Client
from fc2.fc_exceptions import FcError

from penstock.invocation import Run
from tests.unit.gateway.conftest import House, answer
from tests.unit.gateway.dialects.conftest import begin
from tests.unit.gateway.dialects.test_fc import client, invoke, older, refused
from tests.unit.workers.waiting import until

__all__ = ["client", "older"]

Alias = models.CreateAliasInput


async def publish(house: House, client: Client, number: int) -> str:
    """What is deployed as that version of a function, each different from the one before."""
    await house.deploy(env={"NUMBER": str(number)})
    request = models.PublishFunctionVersionRequest(body=models.PublishVersionInput(description=f"no. {number}"))
    said = (await begin(client.publish_function_version, house.function, request)).body
    assert said.description == f"no. {number}"
    version: str = said.version_id
    return version


async def point(house: House, client: Client, name: str, version: str, **weights: float) -> Any:
    shares = {key.removeprefix("v"): share for key, share in weights.items()}
    given = Alias(alias_name=name, version_id=version, additional_version_weight=shares, description="d")
    return (await begin(client.create_alias, house.function, models.CreateAliasRequest(body=given))).body


async def take(house: House, version: str) -> Run:
    async def take() -> Run | None:
        name = f"{house.function}@{version}" if version else house.function
        return await house.store.queue.take(name, epoch=house.epoch, slot="s", nonce=version, instance="i")

    run = await until(take, "it waits")
    assert run is not None
    return run


async def finish(house: House, run: Run) -> None:
    one = run.invocation
    await house.store.queue.finish(one.function, one.id, one.token, answer(b"said"))


async def test_versions(house: House, client: Client) -> None:
    assert [await publish(house, client, number) for number in (1, 2, 3)] == ["1", "2", "3"]
    listed = (
        await begin(client.list_function_versions, house.function, models.ListFunctionVersionsRequest())
    ).body
    assert [one.version_id for one in listed.versions] == ["3", "2", "1"]
    request = models.ListFunctionVersionsRequest(direction="FORWARD", limit=2)
    listed = (await begin(client.list_function_versions, house.function, request)).body
    assert ([one.version_id for one in listed.versions], listed.next_token) == (["1", "2"], "3")
    request = models.ListFunctionVersionsRequest(direction="FORWARD", next_token="3")
    listed = (await begin(client.list_function_versions, house.function, request)).body
    assert ([one.version_id for one in listed.versions], listed.next_token) == (["3"], None)
    await begin(client.delete_function_version, house.function, "2")
    assert await refused(client.delete_function_version, house.function, "2") == (404, "VersionNotFound")
    assert [one.version for one in await house.store.versions.published(house.function)] == ["1", "3"]


async def test_aliases(house: House, client: Client) -> None:
    for number in (1, 2):
        await publish(house, client, number)
    made = await point(house, client, "prod", "1", v2=0.25)
    assert (made.alias_name, made.version_id, made.additional_version_weight) == ("prod", "1", {"2": 0.25})
    again = models.CreateAliasRequest(body=Alias(alias_name="prod", version_id="1"))
    assert await refused(client.create_alias, house.function, again) == (409, "AliasAlreadyExists")
    change = models.UpdateAliasRequest(body=models.UpdateAliasInput(version_id="2", additional_version_weight={}))
    await begin(client.update_alias, house.function, "prod", change)
    shown = (await begin(client.get_alias, house.function, "prod")).body
    assert (shown.version_id, shown.additional_version_weight, shown.description) == ("2", {}, "d")
    await point(house, client, "test", "1")
    listed = (await begin(client.list_aliases, house.function, models.ListAliasesRequest(prefix="te"))).body
    assert [one.alias_name for one in listed.aliases] == ["test"]
    assert await refused(client.delete_function_version, house.function, "2") == (409, "VersionInUse")
    await begin(client.delete_alias, house.function, "prod")
    assert await refused(client.get_alias, house.function, "prod") == (404, "AliasNotFound")
    nowhere = models.CreateAliasRequest(body=Alias(alias_name="x", version_id="9"))
    assert await refused(client.create_alias, house.function, nowhere) == (404, "VersionNotFound")


async def test_calls_by_qualifier(house: House, client: Client, older: fc2.Client) -> None:
    await publish(house, client, 1)
    await point(house, client, "prod", "1")
    await house.store.aliases.put({"my-service/Chat": house.function})
    for qualifier, version in (("1", "1"), ("prod", "1"), ("LATEST", ""), ("$LATEST", ""), (None, "")):
        calling = invoke(client, house.function, qualifier=qualifier)
        run = await take(house, version)
        await finish(house, run)
        assert (await calling)[2] == b"said"
        called = begin(older.invoke_function, "my-service", "Chat", b"x", qualifier=qualifier)
        await finish(house, await take(house, version))
        assert (await called).data == b"said"
    assert await refused(invoke, client, house.function, qualifier="9") == (404, "VersionNotFound")
    with pytest.raises(FcError) as raised:
        await begin(older.invoke_function, "my-service", "Chat", b"x", qualifier="x")
    assert (raised.value.status_code, raised.value.err_code) == (404, "AliasNotFound")


async def test_a_task_is_found_on_whichever_version_it_runs(house: House, client: Client) -> None:
    await publish(house, client, 1)
    await publish(house, client, 2)
    await point(house, client, "prod", "1")
    headers = {"x_fc_invocation_type": "Async", "x_fc_async_task_id": "task-1"}
    status, told, _ = await invoke(client, house.function, qualifier="prod", **headers)
    assert status == 202
    change = models.UpdateAliasRequest(body=models.UpdateAliasInput(version_id="2"))
    await begin(client.update_alias, house.function, "prod", change)
    for qualifier in ("prod", "1", None):
        for name in ("task-1", told["x-fc-request-id"]):
            asked = models.GetAsyncTaskRequest(qualifier=qualifier)
            said = (await begin(client.get_async_task, house.function, name, asked)).body
            assert (said.task_id, said.qualifier, said.status) == ("task-1", "prod", "Enqueued")
    assert (await refused(invoke, client, house.function, qualifier="prod", **headers))[0] == 409
    run = await take(house, "1")
    sent = {name.lower(): value for name, value in run.invocation.request.headers}
    assert (sent["x-fc-async-task-id"], sent["x-fc-qualifier"]) == ("task-1", "prod")


async def test_tasks_oldest_first(house: House, client: Client) -> None:
    for number in range(3):
        await invoke(client, house.function, x_fc_invocation_type="Async", x_fc_async_task_id=f"task-{number}")
    names, token = [], None
    for _ in range(3):
        request = models.ListAsyncTasksRequest(sort_order_by_time="asc", limit=1, next_token=token)
        page = (await begin(client.list_async_tasks, house.function, request)).body
        names += [one.task_id for one in page.tasks]
        token = page.next_token
    assert names == ["task-0", "task-1", "task-2"]
    assert (await begin(client.list_async_tasks, house.function, request)).body.next_token is not None


async def test_provision_configs_by_qualifier(house: House, client: Client) -> None:
    await publish(house, client, 1)
    await point(house, client, "prod", "1")
    given = models.PutProvisionConfigInput(default_target=2)
    request = models.PutProvisionConfigRequest(body=given, qualifier="prod")
    said = (await begin(client.put_provision_config, house.function, request)).body
    assert said.function_arn.endswith(f"functions/{house.function}/prod")
    asked = models.GetProvisionConfigRequest(qualifier="prod")
    assert (await begin(client.get_provision_config, house.function, asked)).body.default_target == 2
    latest = (await begin(client.get_provision_config, house.function, models.GetProvisionConfigRequest())).body
    assert latest.default_target == 0
    listing = models.ListProvisionConfigsRequest(function_name=house.function)
    listed = (await begin(client.list_provision_configs, listing)).body.provision_configs
    assert [(one.function_arn.rpartition("/")[2], one.default_target) for one in listed] == [("prod", 2)]
    await begin(
        client.delete_provision_config, house.function, models.DeleteProvisionConfigRequest(qualifier="prod")
    )
    assert await house.store.controls.provisions() == {}


async def test_a_version_takes_no_new_configs(house: House, client: Client) -> None:
    await publish(house, client, 1)
    given = models.PutAsyncInvokeConfigInput(max_async_retry_attempts=1)
    request = models.PutAsyncInvokeConfigRequest(body=given, qualifier="1")
    assert await refused(client.put_async_invoke_config, house.function, request) == (400, "InvalidArgument")


async def test_code_is_not_taken_over_http_and_it_is_said_what_to_do(house: House, client: Client) -> None:
    code = models.InputCodeLocation(zip_file="UEsDBA==")
    given = models.CreateFunctionInput(function_name="f", runtime="python3.10", handler="a.b", code=code)
    with pytest.raises(Exception, match="run `penstock deploy`, or build an image") as raised:
        await begin(client.create_function, models.CreateFunctionRequest(body=given))
    error: Any = raised.value
    assert (error.status_code, error.code) == (400, "InvalidArgument")
    update = models.UpdateFunctionRequest(body=models.UpdateFunctionInput(code=code))
    assert (await refused(client.update_function, house.function, update)) == (400, "InvalidArgument")


async def test_a_services_versions_are_those_of_all_its_functions(
    house: House, older: fc2.Client, unique: str
) -> None:
    other = f"{unique}-b"
    await house.deploy(other)
    await house.store.aliases.put({"shop/Pay": house.function, "shop/Ship": other})
    assert (await begin(older.publish_version, "shop", "first")).data["versionId"] == "1"
    assert (await begin(older.publish_version, "shop")).data["versionId"] == "1", "nothing has changed"
    await house.deploy(other, timeout="9s")
    assert (await begin(older.publish_version, "shop")).data["versionId"] == "2"
    for name in (house.function, other):
        assert [one.version for one in await house.store.versions.published(name)] == ["1", "2"]
    listed = (await begin(older.list_versions, "shop")).data["versions"]
    assert [one["versionId"] for one in listed] == ["2", "1"]
    made = (await begin(older.create_alias, "shop", "prod", "1", "d", {"2": 0.5})).data
    assert (made["versionId"], made["additionalVersionWeight"]) == ("1", {"2": 0.5})
    await begin(older.update_alias, "shop", "prod", "2", additionalVersionWeight={})
    assert (await begin(older.get_alias, "shop", "prod")).data["versionId"] == "2"
    assert [one["aliasName"] for one in (await begin(older.list_aliases, "shop")).data["aliases"]] == ["prod"]
    called = begin(older.invoke_function, "shop", "Ship", b"x", qualifier="prod")
    house.function, first = other, house.function
    await finish(house, await take(house, "2"))
    assert (await called).data == b"said"
    house.function = first
    with pytest.raises(FcError) as raised:
        await begin(older.delete_version, "shop", "2")
    assert raised.value.status_code == 409
    await begin(older.delete_alias, "shop", "prod")
    await begin(older.delete_version, "shop", "2")
    assert [one.version for one in await house.store.versions.published(other)] == ["1"]
    with pytest.raises(FcError) as raised:
        await begin(older.publish_version, "nobodys")
    assert (raised.value.status_code, raised.value.err_code) == (404, "ServiceNotFound")
