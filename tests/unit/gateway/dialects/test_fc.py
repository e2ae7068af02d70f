"""Function Compute's API, with the official SDKs of both versions."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import fc2
import pytest
from alibabacloud_fc20230330 import models
from alibabacloud_fc20230330.client import Client
from alibabacloud_tea_openapi.exceptions import ClientException, ServerException
from alibabacloud_tea_openapi.models import Config
from darabonba.runtime import RuntimeOptions
from fc2.fc_exceptions import FcError

from penstock.blobs import INLINE_LIMIT
from penstock.instance import InstanceState, InstanceView
from penstock.invocation import FailureCode, Run, State
from penstock.store import PoolView
from tests.unit.gateway.conftest import House, OpenHouse, answer, failed
from tests.unit.gateway.dialects.conftest import begin, url

KEYS = {"access_key_id": "AKID", "access_key_secret": "secret"}


def sdk(house: House, **config: Any) -> Client:
    host = url(house).removeprefix("http://")
    return Client(Config(endpoint=host, protocol="http", region_id="local", **KEYS, **config))


@pytest.fixture
def client(house: House) -> Client:
    return sdk(house)


@pytest.fixture
def older(house: House) -> fc2.Client:
    return fc2.Client(endpoint=url(house), accessKeyID="AKID", accessKeySecret="secret")


def invoke(
    client: Client, function: str, body: bytes = b"event", *, qualifier: str | None = None, **headers: str
) -> asyncio.Task[tuple[int, dict[str, str], bytes]]:
    """Status, headers and body."""
    named = models.InvokeFunctionHeaders(
        common_headers={
            name.replace("_", "-"): value for name, value in headers.items() if not name.startswith("x_fc")
        },
        **{name: value for name, value in headers.items() if name.startswith("x_fc")},
    )
    request = models.InvokeFunctionRequest(body=body, qualifier=qualifier)

    def call() -> tuple[int, dict[str, str], bytes]:
        said = client.invoke_function_with_options(function, request, named, RuntimeOptions())
        return said.status_code, said.headers, said.body.read() if said.body is not None else b""

    return begin(call)


async def submit(client: Client, house: House, **headers: str) -> str:
    status, told, _ = await invoke(client, house.function, x_fc_invocation_type="Async", **headers)
    assert status == 202
    return told["x-fc-request-id"]


async def refused(call: Any, *args: Any, kind: type[Exception] = ClientException, **more: Any) -> tuple[int, str]:
    with pytest.raises(kind) as raised:
        await (call(*args, **more) if call is invoke else begin(call, *args, **more))
    error: Any = raised.value
    return error.status_code, error.code


async def show(house: House, *instances: InstanceView, **more: Any) -> None:
    view = PoolView(instances=instances, desired=1, reason="", drain_rate=None, **more)
    await house.store.pools.show(house.function, view, epoch=house.epoch)


async def say(house: House, run: Run, *lines: str) -> None:
    one = run.invocation
    told: Any = [("log", json.dumps({"line": line})) for line in lines]
    await house.store.events.emit(house.function, one.id, one.token, told, first=1)


# Calls.


async def test_a_synchronous_call(house: House, client: Client) -> None:
    calling = invoke(client, house.function, b"Nice to meet you", x_fc_log_type="Tail")
    run = await house.take()
    assert (run.body, run.invocation.kind) == (b"Nice to meet you", "call")
    await say(house, run, "thinking")
    await house.finish(run, answer(b"Me too"))
    status, headers, body = await calling
    assert (status, body) == (200, b"Me too")
    assert headers["x-fc-request-id"] == run.invocation.id
    assert base64.b64decode(headers["x-fc-log-result"]) == b"thinking\n"
    assert headers["content-type"] == "text/plain"
    assert "x-model" not in headers, "a function's own headers stay with it"


async def test_lambdas_answer_is_passed_on_as_it_is(house: House, client: Client) -> None:
    calling = invoke(client, house.function)
    await house.finish(await house.take(), answer(b'{"statusCode": 404}', lambda_style=True))
    assert (await calling)[2] == b'{"statusCode": 404}'


@pytest.mark.parametrize(
    ("outcome", "kind", "body"),
    [
        (failed(), "HandledInvocationError", {"errorType": "KeyError", "errorMessage": "'x'"}),
        (answer(b'{"a": 1}', 422), "HandledInvocationError", {"a": 1}),
        (
            failed(FailureCode.RUN_TIMEOUT, "too long"),
            "UnhandledInvocationError",
            {"errorType": "run_timeout", "errorMessage": "too long"},
        ),
        (
            failed(FailureCode.INSTANCE_LOST, "gone"),
            "UnhandledInvocationError",
            {"errorType": "instance_lost", "errorMessage": "gone"},
        ),
        (
            failed(FailureCode.START_FAILED, "no torch"),
            "InitializationError",
            {"errorType": "start_failed", "errorMessage": "no torch"},
        ),
    ],
)
async def test_a_function_that_failed(
    house: House, client: Client, older: fc2.Client, outcome: Any, kind: str, body: Any
) -> None:
    calling = invoke(client, house.function)
    await house.finish(await house.take(), outcome)
    status, headers, said = await calling
    assert (status, headers["x-fc-error-type"], json.loads(said)) == (200, kind, body)
    calling_older = begin(older.invoke_function, "service", house.function, b"event")
    await house.finish(await house.take(), outcome)
    with pytest.raises(FcError) as raised:
        await calling_older
    assert raised.value.status_code == 200
    assert json.loads(raised.value.message).items() >= body.items()


async def test_names_of_the_vendor_mean_ours(house: House, client: Client, older: fc2.Client) -> None:
    await house.store.aliases.put({"Sentiment": house.function, "Shop/Sentiment": house.function})
    for function in ("Sentiment", "Shop$Sentiment", house.function):
        await invoke(client, function, x_fc_invocation_type="Async")
    for service in ("Shop", "Shop.LATEST"):
        headers = {"x-fc-invocation-type": "Async"}
        await begin(older.invoke_function, service, "Sentiment", b"event", headers=headers)
    assert await house.queued() == 5


async def test_names_that_do_not_exist(house: House, client: Client, older: fc2.Client) -> None:
    assert await refused(invoke, client, "Nobody") == (404, "FunctionNotFound")
    assert await refused(invoke, client, house.function, qualifier="prod") == (404, "AliasNotFound")
    with pytest.raises(FcError) as raised:
        await begin(older.invoke_function, "service", "nobody", b"event")
    assert (raised.value.status_code, raised.value.err_code) == (404, "FunctionNotFound")
    with pytest.raises(FcError) as raised:
        await begin(older.list_services)
    assert (raised.value.status_code, raised.value.err_code) == (404, "NotFound")


async def test_a_full_queue_and_a_paused_function(house: House, client: Client) -> None:
    await house.deploy(queue={"max_depth": 1})
    await submit(client, house)
    again = refused(invoke, client, house.function, x_fc_invocation_type="Async")
    assert await again == (429, "ResourceExhausted")
    house.gateway.directory.paused = (house.function,)
    assert await refused(invoke, client, house.function) == (429, "ResourceExhausted")


@pytest.mark.parametrize(
    "headers",
    [
        {"x_fc_invocation_type": "Later"},
        {"x_fc_invocation_type": "Async", "x_fc_async_task_id": "1st"},
        {"x_fc_invocation_type": "Async", "x_fc_async_task_id": "a" * 129},
        {"x_fc_invocation_type": "Async", "X_Fc_Async_Delay": "0"},
        {"x_fc_invocation_type": "Async", "X_Fc_Async_Delay": "3601"},
    ],
)
async def test_headers_that_are_wrong(house: House, client: Client, headers: dict[str, str]) -> None:
    named = {name.replace("X_Fc", "X-Fc").replace("-Fc_", "-Fc-"): value for name, value in headers.items()}
    assert await refused(invoke, client, house.function, **named) == (400, "InvalidArgument")


async def test_large_bodies_and_one_that_is_too_large(open_house: OpenHouse) -> None:
    house = await open_house(max_body=4 * INLINE_LIMIT)
    client, large = sdk(house), b"x" * 2 * INLINE_LIMIT
    calling = invoke(client, house.function, large)
    run = await house.take()
    blob = run.invocation.request.blob
    assert blob is not None
    async with house.gateway.blobs.writer("answer") as writer:
        await writer.write(large)
        await writer.commit()
    await house.finish(run, answer(large, blob="answer"))
    assert (await calling)[2] == large
    assert await refused(invoke, client, house.function, large * 3) == (413, "EntityTooLarge")


async def test_a_hold_that_runs_out(open_house: OpenHouse) -> None:
    house = await open_house(max_hold=0.2)
    found = await refused(invoke, sdk(house), house.function, kind=ServerException)
    assert found == (504, "InvocationTimeout")
    assert (await house.take()).invocation.kind == "job"


async def test_no_place_for_an_instance(open_house: OpenHouse) -> None:
    house = await open_house(max_hold=0.2)
    await show(house, blocked="no GPU is free")
    found = await refused(invoke, sdk(house), house.function, kind=ServerException)
    assert found == (503, "ResourceThrottled")
    assert await house.queued() == 0


async def test_a_client_that_stops_reading_before_its_call_began(house: House) -> None:
    with pytest.raises(Exception, match=r"[Tt]imed? ?out"):
        await invoke(sdk(house, read_timeout=300), house.function)
    await house.waiting(0)


async def test_an_http_trigger_of_the_older_kind(house: House, older: fc2.Client) -> None:
    calling = begin(older.do_http_request, "PUT", "service", house.function, "/a/b", params={"c": "d"}, body=b"x")
    run = await house.take()
    request = run.invocation.request
    assert (request.method, request.path, request.query, run.body) == ("PUT", "/a/b", "c=d", b"x")
    await house.finish(run, answer(b"there"))
    said = await calling
    assert (said.status_code, said.content, said.headers["X-Model"]) == (200, b"there", "m1")


# Async tasks.


async def test_a_task_and_its_states(house: House, client: Client) -> None:
    await submit(client, house, x_fc_async_task_id="order-1")

    async def task() -> models.AsyncTask:
        said = await begin(client.get_async_task, house.function, "order-1", models.GetAsyncTaskRequest())
        return said.body

    assert ((await task()).status, (await task()).task_payload) == ("Enqueued", "event")
    run = await house.take()
    assert ("X-Fc-Async-Task-Id", "order-1") in run.invocation.request.headers
    assert (await task()).status == "Running"
    one = run.invocation
    await house.store.queue.retry(house.function, one.id, one.token, delay_ms=0, outcome=failed())
    await house.store.queue.sweep(house.function, epoch=house.epoch, requeue=False)
    assert (await task()).status == "Retrying"
    await house.finish(await house.take(), answer(b"done"))
    ended = await task()
    assert (ended.status, ended.return_payload, ended.task_id) == ("Succeeded", "done", "order-1")
    assert (ended.request_id, ended.instance_id, ended.already_retried_times) == (one.id, "instance-1", 1)
    assert [event.status for event in ended.events] == ["Enqueued", "Running", "Succeeded"]
    assert ended.duration_ms >= 0
    by_request = await begin(client.get_async_task, house.function, one.id, models.GetAsyncTaskRequest())
    assert by_request.body.task_id == "order-1"


async def test_a_task_is_submitted_once(house: House, client: Client) -> None:
    await submit(client, house, x_fc_async_task_id="order-1")
    for body in (b"event", b"another"):
        again = invoke(client, house.function, body, x_fc_invocation_type="Async", x_fc_async_task_id="order-1")
        with pytest.raises(ClientException) as raised:
            await again
        assert (raised.value.status_code, raised.value.code) == (409, "StatefulAsyncInvocationAlreadyExists")
    assert await house.queued() == 1


async def test_a_task_that_failed_or_expired(house: House, client: Client) -> None:
    ids = [await submit(client, house) for _ in range(2)]
    for outcome in (failed(), failed(FailureCode.RUN_TIMEOUT, "too long")):
        await house.finish(await house.take(), outcome)
    for job, message in zip(ids, ("KeyError: 'x'", "too long"), strict=True):
        said = await begin(client.get_async_task, house.function, job, models.GetAsyncTaskRequest())
        assert (said.body.status, said.body.task_error_message) == ("Failed", message)


async def test_stopping_a_task(house: House, client: Client) -> None:
    job = await submit(client, house, x_fc_async_task_id="order-1")
    request = models.StopAsyncTaskRequest()
    assert (await begin(client.stop_async_task, house.function, "order-1", request)).status_code == 204
    assert (await house.record(job)).state is State.CANCELLED
    said = await begin(client.get_async_task, house.function, "order-1", models.GetAsyncTaskRequest())
    assert said.body.status == "Stopped"
    again = refused(client.stop_async_task, house.function, "order-1", request)
    assert await again == (409, "AsyncTaskAlreadyFinished")
    none = refused(client.get_async_task, house.function, "order-2", models.GetAsyncTaskRequest())
    assert await none == (404, "AsyncTaskNotFound")


async def test_listing_tasks(house: House, client: Client) -> None:
    ids = [await submit(client, house, x_fc_async_task_id=f"order-{n}") for n in range(3)]
    await submit(client, house)
    await house.finish(await house.take())

    async def listed(**query: Any) -> models.ListAsyncTaskOutput:
        request = models.ListAsyncTasksRequest(**query)
        return (await begin(client.list_async_tasks, house.function, request)).body

    orders = (await listed(prefix="order-")).tasks
    assert [task.task_id for task in orders] == ["order-2", "order-1", "order-0"]
    assert [task.request_id for task in (await listed(status="Succeeded")).tasks] == [ids[0]]
    assert (await listed(status="Running")).tasks == []
    assert (await listed(prefix="order-2", include_payload=True)).tasks[0].task_payload == "event"
    first = await listed(limit=3)
    second = await listed(limit=3, next_token=first.next_token)
    assert len({task.task_id for task in first.tasks + second.tasks}) == 4
    since = orders[0].started_time
    assert all(task.started_time >= since for task in (await listed(started_time_begin=since)).tasks)
    assert (await listed(started_time_end=1)).tasks == []
    for wrong in ({"limit": 0}, {"next_token": "x"}, {"sort_order_by_time": "up"}):
        request = models.ListAsyncTasksRequest(**wrong)
        found = await refused(client.list_async_tasks, house.function, request)
        assert found == (400, "InvalidArgument")


async def test_a_delayed_task_waits(house: House, client: Client) -> None:
    job = await submit(client, house, **{"X-Fc-Async-Delay": "60"})
    assert await house.queued() == 0
    assert (await house.record(job)).state is State.QUEUED


# Configs.


async def test_provision_configs(house: House, client: Client, older: fc2.Client) -> None:
    given = models.PutProvisionConfigRequest(
        body=models.PutProvisionConfigInput(default_target=2), qualifier="LATEST"
    )
    said = (await begin(client.put_provision_config, house.function, given)).body
    assert (said.default_target, said.current) == (2, 0)
    assert house.function in said.function_arn
    asked = models.GetProvisionConfigRequest(qualifier="LATEST")
    assert (await begin(client.get_provision_config, house.function, asked)).body.default_target == 2
    all_of_it = models.ListProvisionConfigsRequest(function_name=house.function)
    (only,) = (await begin(client.list_provision_configs, all_of_it)).body.provision_configs
    assert only.default_target == 2
    await begin(older.put_provision_config, "service", "LATEST", house.function, 3)
    found = (await begin(older.get_provision_config, "service", "LATEST", house.function)).data
    assert (found["current"], found["resource"]) == (0, f"local#LATEST#{house.function}")
    assert len((await begin(older.list_provision_configs, "service", "LATEST")).data["provisionConfigs"]) == 1
    gone = models.DeleteProvisionConfigRequest(qualifier="LATEST")
    assert (await begin(client.delete_provision_config, house.function, gone)).status_code == 204
    assert (await begin(client.list_provision_configs, all_of_it)).body.provision_configs == []
    bad = models.PutProvisionConfigRequest(body=models.PutProvisionConfigInput(default_target=-1))
    assert await refused(client.put_provision_config, house.function, bad) == (400, "InvalidArgument")


async def test_concurrency_configs(house: House, client: Client) -> None:
    await house.deploy(concurrency=4)
    assert await refused(client.get_concurrency_config, house.function) == (404, "ConfigNotFound")
    for reserved, ok in ((30, False), (0, False), (32, True)):
        given = models.PutConcurrencyConfigRequest(body=models.PutConcurrencyInput(reserved_concurrency=reserved))
        if ok:
            said = (await begin(client.put_concurrency_config, house.function, given)).body
            assert said.reserved_concurrency == reserved
        else:
            found = await refused(client.put_concurrency_config, house.function, given)
            assert found == (400, "InvalidArgument")
    function = await house.store.catalog.get(house.function)
    assert function is not None
    assert function.spec.scaling.max == 8
    assert (await begin(client.get_concurrency_config, house.function)).body.reserved_concurrency == 32
    await begin(client.delete_concurrency_config, house.function)
    assert await refused(client.get_concurrency_config, house.function) == (404, "ConfigNotFound")


async def test_a_destination_that_is_a_function(house: House, client: Client) -> None:
    await house.store.aliases.put({"Shop/Thanks": "thanks-2"})

    async def put(arn: str) -> str | None:
        config = models.DestinationConfig(on_success=models.Destination(destination=arn))
        body = models.PutAsyncInvokeConfigInput(destination_config=config)
        given = models.PutAsyncInvokeConfigRequest(body=body)
        said = (await begin(client.put_async_invoke_config, house.function, given)).body
        assert said.destination_config.on_success.destination.startswith("acs:fc:local:0:functions/")
        return (await house.gateway.directory.get(house.function)).spec.callbacks.on_success

    assert await put("acs:fc:eu:1:functions/Next/LATEST") == "function:next"
    assert await put("acs:fc:eu:1:services/Shop.LATEST/functions/Thanks") == "function:thanks-2"


async def test_async_invoke_configs(house: House, client: Client, older: fc2.Client) -> None:
    failure = models.Destination(destination="http://127.0.0.1:8099/failed")
    body = models.PutAsyncInvokeConfigInput(
        max_async_retry_attempts=1,
        max_async_event_age_in_seconds=600,
        destination_config=models.DestinationConfig(on_failure=failure),
    )
    given = models.PutAsyncInvokeConfigRequest(body=body)
    said = (await begin(client.put_async_invoke_config, house.function, given)).body
    assert (said.max_async_retry_attempts, said.max_async_event_age_in_seconds) == (1, 600)
    assert said.destination_config.on_failure.destination == failure.destination
    one = await house.store.catalog.get(house.function)
    assert one is not None
    assert (one.spec.retry.attempts, one.spec.queue.max_age) == (2, 600)
    older_said = await begin(older.get_function_async_invoke_config, "service", "LATEST", house.function)
    assert older_said.data["maxAsyncRetryAttempts"] == 1
    for wrong in (
        models.PutAsyncInvokeConfigInput(max_async_retry_attempts=9),
        models.PutAsyncInvokeConfigInput(
            destination_config=models.DestinationConfig(on_success=models.Destination(destination="acs:mns:::x"))
        ),
    ):
        bad = models.PutAsyncInvokeConfigRequest(body=wrong)
        assert await refused(client.put_async_invoke_config, house.function, bad) == (400, "InvalidArgument")
    await begin(client.delete_async_invoke_config, house.function, models.DeleteAsyncInvokeConfigRequest())
    after = await begin(client.get_async_invoke_config, house.function, models.GetAsyncInvokeConfigRequest())
    assert after.body.max_async_retry_attempts == 2


async def test_functions_and_their_instances(house: House, client: Client, older: fc2.Client) -> None:
    resources = {"memory": "4GiB", "gpu": {"memory": "16GiB", "type": "fc.gpu.tesla.1"}}
    await house.deploy(command=None, image="my/model:1", concurrency=4, resources=resources)
    said = (await begin(client.get_function, house.function, models.GetFunctionRequest())).body
    assert (said.function_name, said.memory_size, said.instance_concurrency) == (house.function, 4096, 4)
    assert said.custom_container_config.image == "my/model:1"
    assert (said.gpu_config.gpu_memory_size, said.gpu_config.gpu_type) == (16384, "fc.gpu.tesla.1")
    assert (await begin(older.get_function, "service", house.function)).data["memorySize"] == 4096
    found = (await begin(client.list_functions, models.ListFunctionsRequest(prefix="t"))).body.functions
    assert [one.function_name for one in found] == [house.function]
    instance = InstanceView(
        id="i-1", revision=3, state=InstanceState.IDLE, in_flight=0, started_at=5, timeline={}, reason=""
    )
    await show(house, instance)
    listed = (await begin(client.list_instances, house.function, models.ListInstancesRequest())).body.instances
    assert [(one.instance_id, one.version_id, one.created_time_ms) for one in listed] == [("i-1", "LATEST", 5)]
    assert (await begin(client.delete_function, house.function)).status_code == 204
    gone = refused(client.get_function, house.function, models.GetFunctionRequest())
    assert await gone == (404, "FunctionNotFound")


def container(**more: Any) -> models.CreateFunctionRequest:
    given = {
        "function_name": "Sentiment",
        "runtime": "custom-container",
        "handler": "index.handler",
        "memory_size": 4096,
        "custom_container_config": models.CustomContainerConfig(image="my/model:1", port=9001),
        "gpu_config": models.GPUConfig(gpu_memory_size=8192, gpu_type="fc.gpu.tesla.1"),
        **more,
    }
    return models.CreateFunctionRequest(body=models.CreateFunctionInput(**given))


async def test_a_function_is_created_and_changed(house: House, client: Client) -> None:
    said = (await begin(client.create_function, container(instance_concurrency=4))).body
    assert (said.function_name, said.memory_size) == ("sentiment", 4096)
    function = await house.store.catalog.get("sentiment")
    assert function is not None
    spec = function.spec
    assert (spec.image, spec.port, spec.concurrency) == ("my/model:1", 9001, 4)
    assert (await invoke(client, "Sentiment", x_fc_invocation_type="Async"))[0] == 202
    again = refused(client.create_function, container())
    assert await again == (409, "FunctionAlreadyExists")
    changed = models.UpdateFunctionRequest(body=models.UpdateFunctionInput(timeout=300, memory_size=8192))
    said = (await begin(client.update_function, "Sentiment", changed)).body
    assert (said.timeout, said.memory_size) == (300, 8192)
    after = await house.store.catalog.get("sentiment")
    assert after is not None
    assert after.revision == 2
    assert after.spec.model_copy(update={"timeout": spec.timeout, "resources": spec.resources}) == spec
    assert after.spec.resources.gpu == spec.resources.gpu


async def test_what_is_changed_leaves_the_rest_alone(house: House, client: Client) -> None:
    scaling = {"min": 1, "max": 3}
    await house.deploy(command=None, image="my/model:1", scaling=scaling, resources={"gpu": {}})
    variables = models.UpdateFunctionInput(environment_variables={"A": "b"})
    await begin(client.update_function, house.function, models.UpdateFunctionRequest(body=variables))
    function = await house.store.catalog.get(house.function)
    assert function is not None
    assert (function.spec.env, function.spec.scaling.max) == ({"A": "b"}, 3)
    assert function.spec.resources.gpu is not None


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"runtime": "python3.10", "code": models.InputCodeLocation(zip_file="UEs=")}, 400),
        (
            {"custom_container_config": models.CustomContainerConfig(image="i", command=["sh"])},
            403,
        ),
        ({"memory_size": 1}, 400),
        ({"custom_container_config": None}, 400),
        ({"function_name": None}, 400),
        ({"function_name": "no name"}, 400),
    ],
)
async def test_functions_that_are_not_created(
    house: House, client: Client, more: dict[str, Any], status: int
) -> None:
    found, _ = await refused(client.create_function, container(**more))
    assert found == status
    assert [one.name for one in await house.store.catalog.list()] == [house.function]
    changed = models.UpdateFunctionRequest(body=models.UpdateFunctionInput(timeout=5))
    assert await refused(client.update_function, house.function, changed) == (403, "AccessDenied")


async def test_a_web_page_of_elsewhere_is_turned_away(house: House) -> None:
    path = f"/2023-03-30/functions/{house.function}/invocations"
    reply = await house.client.post(path, headers={"Origin": "https://evil.com"})
    assert (reply.status, (await reply.json())["Code"]) == (403, "AccessDenied")
