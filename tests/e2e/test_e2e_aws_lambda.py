"""boto3's `lambda` client on a deployment that runs functions."""

from __future__ import annotations

import base64
import json
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.e2e.harness import Stack, wait_until
from tests.e2e.test_e2e_bodies import noise


def client(stack: Stack, **config: Any) -> Any:
    return boto3.client(
        "lambda",
        endpoint_url=stack.url,
        region_name="us-east-1",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
        config=Config(**config),
    )


def invoke(stack: Stack, event: Any, **call: Any) -> Any:
    return client(stack).invoke(FunctionName="vendor", Payload=json.dumps(event), **call)


def test_boto3_calls_a_function(process_stack: Stack) -> None:
    said = invoke(process_stack, {"a": 1})
    assert (said["StatusCode"], "FunctionError" in said) == (200, False)
    payload = json.loads(said["Payload"].read())
    assert payload == {"event": {"a": 1}, "request_id": said["ResponseMetadata"]["RequestId"]}


def test_boto3_submits_an_event_which_runs(process_stack: Stack) -> None:
    said = invoke(process_stack, {"a": 2}, InvocationType="Event")
    assert said["StatusCode"] == 202
    job = said["ResponseMetadata"]["RequestId"]
    assert process_stack.finished("vendor", job)["state"] == "succeeded"
    assert process_stack.result("vendor", job).json()["event"] == {"a": 2}


def test_boto3_is_told_what_a_handler_raised(process_stack: Stack) -> None:
    said = invoke(process_stack, {"raise": "no tears left"})
    assert (said["StatusCode"], said["FunctionError"]) == (200, "Unhandled")
    assert json.loads(said["Payload"].read()) == {"errorType": "TooSad", "errorMessage": "no tears left"}


def test_boto3_is_told_of_a_process_that_ends_and_of_a_run_that_takes_too_long(process_stack: Stack) -> None:
    exits = client(process_stack).invoke(FunctionName="exits", Payload=b"{}")
    assert json.loads(exits["Payload"].read())["errorType"] == "Runtime.ExitError"
    brief = client(process_stack).invoke(FunctionName="brief", Payload=b'{"seconds": 30}')
    assert json.loads(brief["Payload"].read())["errorType"] == "Sandbox.Timedout"


def test_boto3_is_told_of_a_function_that_cannot_start(process_stack: Stack) -> None:
    broken = client(process_stack).invoke(FunctionName="broken", Payload=b"{}")
    assert broken["FunctionError"] == "Unhandled"
    assert json.loads(broken["Payload"].read())["errorType"] == "Runtime.InitError"


def test_boto3_sends_and_gets_a_mebibyte(process_stack: Stack) -> None:
    body = base64.b64encode(noise(2**20))
    said = client(process_stack).invoke(FunctionName="echo", Payload=body)
    assert said["Payload"].read() == body


def test_boto3_refuses_nothing_that_lambda_would_take_and_is_refused_what_it_would_not(
    process_stack: Stack,
) -> None:
    lambdas = client(process_stack)
    with pytest.raises(lambdas.exceptions.ResourceNotFoundException):
        lambdas.invoke(FunctionName="nobody")
    with pytest.raises(lambdas.exceptions.RequestTooLargeException):
        lambdas.invoke(FunctionName="echo", Payload=b"x" * (8 * 2**20 + 1))
    with pytest.raises(ClientError) as raised:
        lambdas.list_functions()
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_a_boto3_that_stops_reading_too_soon_comes_again_and_nothing_runs_twice(process_stack: Stack) -> None:
    hasty = client(process_stack, read_timeout=1, retries={"max_attempts": 4})
    said = hasty.invoke(FunctionName="vendor", Payload=b'{"seconds": 2.5}')
    payload = json.loads(said["Payload"].read())
    assert said["ResponseMetadata"]["RetryAttempts"] >= 1
    assert payload["request_id"] == said["ResponseMetadata"]["RequestId"]
    assert process_stack.record("vendor", payload["request_id"])["attempt"] == 1


def test_boto3_gets_the_log(process_stack: Stack) -> None:
    # A line comes through a pipe of its own and may be later than the answer.
    def logged() -> bool:
        said = invoke(process_stack, {"log": "about to think", "seconds": 0.2}, LogType="Tail")
        return b"about to think\n" in base64.b64decode(said["LogResult"])

    wait_until(logged, 10, "the log comes with the answer", every=0.1)
