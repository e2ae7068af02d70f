"""Lambda's Invoke, with boto3."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError

from penstock import keys
from penstock.blobs import INLINE_LIMIT
from penstock.invocation import FailureCode, State
from tests.unit.gateway.conftest import House, OpenHouse, answer, failed
from tests.unit.gateway.dialects.conftest import begin, url


def client(house: House, *, attempts: int = 0, **config: Any) -> Any:
    """`attempts`: times that it sends a request again."""
    return boto3.client(
        "lambda",
        endpoint_url=url(house),
        region_name="us-east-1",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
        config=Config(retries={"max_attempts": attempts}, **config),
    )


def invoke(house: House, *, attempts: int = 0, **call: Any) -> asyncio.Task[dict[str, Any]]:
    call = {"FunctionName": house.function, "Payload": b'{"a": 1}', **call}
    return begin(client(house, attempts=attempts).invoke, **call)


async def refused(house: House, **call: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as raised:
        await invoke(house, **call)
    said: dict[str, Any] = raised.value.response
    return said


async def test_a_call_is_answered_with_what_the_function_said(house: House) -> None:
    calling = invoke(house)
    run = await house.take()
    assert run.body == b'{"a": 1}'
    assert run.invocation.kind == "call"
    await house.finish(run, answer(b'{"label": "positive"}'))
    said = await calling
    assert said["StatusCode"] == 200
    assert json.loads(said["Payload"].read()) == {"label": "positive"}
    assert "FunctionError" not in said
    assert said["ExecutedVersion"] == "$LATEST"
    assert said["ResponseMetadata"]["RequestId"] == run.invocation.id


async def test_lambdas_own_answer_is_not_unwrapped(house: House) -> None:
    calling = invoke(house)
    proxy = b'{"statusCode": 404, "body": "none"}'
    await house.finish(await house.take(), answer(proxy, lambda_style=True))
    said = await calling
    assert (said["StatusCode"], said["Payload"].read()) == (200, proxy)


async def test_an_event_is_accepted_and_waits_as_a_job(house: House) -> None:
    said = await invoke(house, InvocationType="Event")
    assert said["StatusCode"] == 202
    record = await house.record(said["ResponseMetadata"]["RequestId"])
    assert (record.kind, record.state) == ("job", State.QUEUED)


async def test_a_dry_run_runs_nothing(house: House) -> None:
    assert (await invoke(house, InvocationType="DryRun"))["StatusCode"] == 204
    assert await house.queued() == 0
    said = await refused(house, InvocationType="DryRun", FunctionName="nobody")
    assert said["Error"]["Code"] == "ResourceNotFoundException"


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (failed(), {"errorType": "KeyError", "errorMessage": "'x'"}),
        (failed(message="exited"), {"errorType": "Error", "errorMessage": "exited"}),
        (
            failed(FailureCode.RUN_TIMEOUT, "the run took longer than 3 s"),
            {"errorType": "Sandbox.Timedout", "errorMessage": "RequestId: ID Error: the run took longer than 3 s"},
        ),
        (
            failed(FailureCode.INSTANCE_LOST, "it closed the connection"),
            {"errorType": "Runtime.ExitError", "errorMessage": "RequestId: ID Error: it closed the connection"},
        ),
        (
            failed(FailureCode.START_FAILED, "no module torch"),
            {"errorType": "Runtime.InitError", "errorMessage": "RequestId: ID Error: no module torch"},
        ),
        (answer(b'{"detail": "no such voice"}', 422), {"detail": "no such voice"}),
    ],
)
async def test_a_function_that_failed_is_an_answer_that_says_so(house: House, outcome: Any, error: Any) -> None:
    calling = invoke(house)
    run = await house.take()
    await house.finish(run, outcome)
    said = await calling
    assert (said["StatusCode"], said["FunctionError"]) == (200, "Unhandled")
    assert json.loads(said["Payload"].read().replace(run.invocation.id.encode(), b"ID")) == error


async def test_a_function_that_does_not_exist(house: House) -> None:
    lambdas = client(house)
    with pytest.raises(lambdas.exceptions.ResourceNotFoundException) as raised:
        await begin(lambdas.invoke, FunctionName="nobody")
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    assert "'nobody'" in raised.value.response["Message"]
    assert raised.value.response["Type"] == "User"


@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "{}:$LATEST",
        "function:{}",
        "123456789012:function:{}",
        "arn:aws:lambda:us-east-1:123456789012:function:{}",
        "arn:aws:lambda:us-east-1:123456789012:function:{}:$LATEST",
    ],
)
async def test_every_form_of_a_name_is_understood(house: House, form: str) -> None:
    assert (await invoke(house, FunctionName=form.format(house.function), InvocationType="Event"))[
        "StatusCode"
    ] == 202


async def test_a_version_that_does_not_exist(house: House) -> None:
    assert (await refused(house, Qualifier="7"))["Error"]["Code"] == "ResourceNotFoundException"
    assert (await refused(house, FunctionName=f"{house.function}:prod"))["Error"]["Code"] == (
        "ResourceNotFoundException"
    )
    said = await refused(house, FunctionName=f"{house.function}:prod", Qualifier="7")
    assert said["Error"]["Code"] == "InvalidParameterValueException"


async def test_a_full_queue(house: House) -> None:
    await house.deploy(queue={"max_depth": 1})
    await house.submit()
    lambdas = client(house)
    with pytest.raises(lambdas.exceptions.TooManyRequestsException) as raised:
        await begin(lambdas.invoke, FunctionName=house.function, InvocationType="Event")
    said = raised.value.response
    assert said["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert int(said["ResponseMetadata"]["HTTPHeaders"]["retry-after"]) >= 1


async def test_a_paused_function_takes_events_alone(house: House) -> None:
    house.gateway.directory.paused = (house.function,)
    assert (await refused(house))["Error"]["Code"] == "TooManyRequestsException"
    assert (await invoke(house, InvocationType="Event"))["StatusCode"] == 202


async def test_a_payload_that_is_too_large(open_house: OpenHouse) -> None:
    house = await open_house(max_body=1000)
    assert (await refused(house, Payload=b'"' + b"x" * 1000 + b'"'))["Error"]["Code"] == "RequestTooLargeException"


async def test_a_large_payload_and_a_large_answer_pass(house: House) -> None:
    large = json.dumps("x" * 2 * INLINE_LIMIT).encode()
    calling = invoke(house, Payload=large)
    run = await house.take()
    blob = run.invocation.request.blob
    assert blob is not None
    assert await house.gateway.blobs.read(blob) == large
    async with house.gateway.blobs.writer("answer") as writer:
        await writer.write(large)
        await writer.commit()
    await house.finish(run, answer(large, blob="answer"))
    assert await begin((await calling)["Payload"].read) == large


async def test_a_type_of_invocation_that_does_not_exist(house: House) -> None:
    said = await house.client.post(
        f"/2015-03-31/functions/{house.function}/invocations", headers={"X-Amz-Invocation-Type": "Later"}
    )
    assert (said.status, said.headers["x-amzn-ErrorType"]) == (400, "InvalidParameterValueException")


async def test_a_client_whose_time_is_over_asks_again_and_joins_its_own_run(open_house: OpenHouse) -> None:
    house = await open_house(hold=0.2)
    calling = invoke(house, attempts=4)
    run = await house.take()
    await asyncio.sleep(0.5)  # past the hold: it has been told 504 and comes again
    await house.finish(run, answer(b'"late"'))
    said = await calling
    assert said["Payload"].read() == b'"late"'
    assert said["ResponseMetadata"]["RetryAttempts"] >= 1
    assert await house.queued() == 0
    assert len(house.redis.cli("KEYS", keys.record(house.function, "*")).split()) == 1


async def test_a_hold_that_runs_out_says_what_goes_on(open_house: OpenHouse) -> None:
    house = await open_house(hold=0.1)
    said = await refused(house)
    assert said["ResponseMetadata"]["HTTPStatusCode"] == 504
    assert said["Error"]["Code"] == "ServiceException"
    assert "goes on" in said["Error"]["Message"]
    assert (await house.take()).invocation.kind == "job"


async def test_a_client_that_gives_up_reading_finds_its_run_when_it_asks_again(house: House) -> None:
    calling = begin(client(house, attempts=1, read_timeout=1.0).invoke, FunctionName=house.function, Payload=b"{}")
    run = await house.take()
    began = time.monotonic()
    while time.monotonic() < began + 1.3:  # its first reading is over
        await asyncio.sleep(0.05)
    await house.finish(run, answer(b'"found"'))
    assert (await calling)["Payload"].read() == b'"found"'


async def test_without_a_second_try_the_clients_own_error_is_raised(house: House) -> None:
    lambdas = client(house, read_timeout=0.3)
    with pytest.raises(ReadTimeoutError):
        await begin(lambdas.invoke, FunctionName=house.function, Payload=b"{}")
    await house.waiting(1)  # it gave an id under which it could have come again


async def test_logs_come_with_the_answer_when_they_are_wanted(house: House) -> None:
    calling = invoke(house, LogType="Tail")
    run = await house.take()
    one = run.invocation
    await house.store.events.emit(house.function, one.id, one.token, [("log", '{"line": "loading"}')], first=1)
    await house.finish(run)
    assert base64.b64decode((await calling)["LogResult"]) == b"loading\n"


async def test_a_store_that_is_away(open_house: OpenHouse, own_server: Any) -> None:
    house = await open_house(redis=own_server)
    own_server.kill()
    said = await refused(house)
    assert (said["Error"]["Code"], said["ResponseMetadata"]["HTTPStatusCode"]) == ("ServiceException", 503)


@pytest.mark.parametrize("operation", ["list_functions", "get_account_settings"])
async def test_what_is_not_supported_says_so(house: House, operation: str) -> None:
    with pytest.raises(ClientError) as raised:
        await begin(getattr(client(house), operation))
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


async def test_a_web_page_of_elsewhere_is_turned_away_in_lambdas_words(house: House) -> None:
    reply = await house.client.post(
        f"/2015-03-31/functions/{house.function}/invocations", headers={"Origin": "https://evil.com"}
    )
    assert (reply.status, reply.headers["x-amzn-ErrorType"]) == (403, "AccessDeniedException")
    assert "evil.com" in (await reply.json())["Message"]
