"""Function Compute's official SDKs, of both versions, on a deployment that runs functions."""

from __future__ import annotations

import json
from typing import Any

import fc2
import pytest
from alibabacloud_fc20230330 import models
from alibabacloud_fc20230330.client import Client
from alibabacloud_tea_openapi.exceptions import ClientException
from alibabacloud_tea_openapi.models import Config
from darabonba.runtime import RuntimeOptions
from fc2.fc_exceptions import FcError

from tests.e2e.harness import Stack, wait_until
from tests.e2e.test_e2e_bodies import noise


@pytest.fixture
def client(process_stack: Stack) -> Client:
    host = process_stack.url.removeprefix("http://")
    keys = {"access_key_id": "AKID", "access_key_secret": "secret"}
    return Client(Config(endpoint=host, protocol="http", region_id="local", read_timeout=60_000, **keys))


@pytest.fixture
def older(process_stack: Stack) -> fc2.Client:
    return fc2.Client(endpoint=process_stack.url, accessKeyID="AKID", accessKeySecret="secret")


def invoke(client: Client, function: str, body: bytes, **headers: str) -> tuple[dict[str, str], bytes]:
    named = models.InvokeFunctionHeaders(**headers)
    request = models.InvokeFunctionRequest(body=body)
    said = client.invoke_function_with_options(function, request, named, RuntimeOptions())
    return said.headers, said.body.read() if said.body is not None else b""


def task(client: Client, function: str, name: str) -> Any:
    return client.get_async_task(function, name, models.GetAsyncTaskRequest()).body


def test_the_sdk_calls_a_function(client: Client, older: fc2.Client) -> None:
    headers, body = invoke(client, "vendor", b'{"n": 1}')
    assert json.loads(body) == {"event": {"n": 1}, "request_id": headers["x-fc-request-id"]}
    said = older.invoke_function("service", "vendor", b'{"n": 2}')
    assert json.loads(said.data)["event"] == {"n": 2}


def test_the_sdk_submits_tasks_and_follows_them(client: Client, older: fc2.Client) -> None:
    invoke(client, "vendor", b'{"n": 1}', x_fc_invocation_type="Async", x_fc_async_task_id="sdk-1")
    wait_until(lambda: task(client, "vendor", "sdk-1").status == "Succeeded", 20, "it ends", every=0.1)
    ended = task(client, "vendor", "sdk-1")
    assert json.loads(ended.return_payload)["event"] == {"n": 1}
    with pytest.raises(ClientException) as raised:
        invoke(client, "vendor", b'{"n": 1}', x_fc_invocation_type="Async", x_fc_async_task_id="sdk-1")
    assert raised.value.status_code == 409
    headers = {"x-fc-invocation-type": "Async", "x-fc-stateful-async-invocation-id": "sdk-2"}
    older.invoke_function("service", "vendor", b'{"raise": "no tears left"}', headers=headers)
    wait_until(lambda: task(client, "vendor", "sdk-2").status == "Failed", 20, "it fails", every=0.1)
    assert task(client, "vendor", "sdk-2").task_error_message == "TooSad: no tears left"
    request = models.ListAsyncTasksRequest(prefix="sdk-")
    listed = client.list_async_tasks("vendor", request).body.tasks
    assert [one.task_id for one in listed] == ["sdk-2", "sdk-1"]


def test_the_sdk_stops_a_task_that_runs(client: Client) -> None:
    invoke(client, "vendor", b'{"seconds": 60}', x_fc_invocation_type="Async", x_fc_async_task_id="sdk-3")
    wait_until(lambda: task(client, "vendor", "sdk-3").status == "Running", 20, "it runs", every=0.1)
    client.stop_async_task("vendor", "sdk-3", models.StopAsyncTaskRequest())
    assert task(client, "vendor", "sdk-3").status == "Stopped"


def test_the_sdk_is_told_what_went_wrong(client: Client, older: fc2.Client) -> None:
    for function, event, kind in (
        ("vendor", b'{"raise": "no tears left"}', "HandledInvocationError"),
        ("exits", b"{}", "UnhandledInvocationError"),
        ("brief", b'{"seconds": 30}', "UnhandledInvocationError"),
        ("broken", b"{}", "InitializationError"),
    ):
        headers, _ = invoke(client, function, event)
        assert headers["x-fc-error-type"] == kind
        with pytest.raises(FcError) as raised:
            older.invoke_function("service", function, event)
        assert raised.value.status_code == 200
    with pytest.raises(ClientException) as refused:
        invoke(client, "nobody", b"")
    assert (refused.value.status_code, refused.value.code) == (404, "FunctionNotFound")


def test_the_sdk_sends_and_gets_a_mebibyte(client: Client, older: fc2.Client) -> None:
    body = noise(2**20)
    assert invoke(client, "echo", body)[1] == body
    assert older.invoke_function("service", "echo", body).data == body


def test_the_sdk_keeps_an_instance_warm_and_lists_it(client: Client, process_stack: Stack) -> None:
    given = models.PutProvisionConfigRequest(body=models.PutProvisionConfigInput(default_target=1))
    client.put_provision_config("cold", given)
    asked = models.GetProvisionConfigRequest()
    wait_until(lambda: client.get_provision_config("cold", asked).body.current == 1, 20, "it is warm", every=0.1)
    (one,) = client.list_instances("cold", models.ListInstancesRequest()).body.instances
    assert {one.instance_id} == process_stack.instances("cold")
    client.delete_provision_config("cold", models.DeleteProvisionConfigRequest())
    process_stack.gone("cold")


def test_the_older_sdk_reaches_a_server_over_http(older: fc2.Client) -> None:
    said = older.do_http_request("PUT", "service", "server", "/a/b", params={"c": "d"}, body=b"x")
    seen = said.json()
    assert (seen["method"], seen["path"], seen["body"]) == ("PUT", "/a/b?c=d", "x")
