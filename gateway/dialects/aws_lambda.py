"""AWS Lambda's Invoke, as boto3's `lambda` client and every other AWS SDK send it.

Its clients send a request again, under the same invocation id, when they get no answer in time (60 s unless told
otherwise) or one of 500, 502, 503, 504. That id is our idempotency key, so that a repeat waits for the first one's
run instead of starting another.
"""

from __future__ import annotations

import base64
import re
from dataclasses import replace

from aiohttp import web

from gateway import bodies, calls, names
from gateway.access import LATE_INVOKE
from gateway.admission import Plan
from gateway.auth import needs
from gateway.context import GATEWAY, Gateway, function_name
from gateway.tracing import traced
from penstock.errors import FunctionNotFound, InvalidRequest, Overloaded
from penstock.invocation import Ending, Failure, FailureCode, Request

PREFIXES = ("/2015-03-31/",)
_HOLD = 55.0
"""Seconds: its clients give up after 60."""
_LOG_TAIL = 4096
_NAME = re.compile(
    r"(?:(?:arn:[a-z0-9-]+:lambda:[a-z0-9-]*:)?(?P<account>\d{12}):function:|function:)?"
    r"(?P<name>[^:/]+)(?::(?P<qualifier>[^:/]+))?"
)
"""A name, a partial or a whole ARN, each with or without a version or alias."""
_TYPES = ("RequestResponse", "Event", "DryRun")
_JSON = (("Content-Type", "application/json"),)
_RUNTIME_ERRORS = {
    FailureCode.RUN_TIMEOUT: "Sandbox.Timedout",
    FailureCode.INSTANCE_LOST: "Runtime.ExitError",
    FailureCode.START_FAILED: "Runtime.InitError",
    FailureCode.CANCELLED: "Runtime.Cancelled",
}
_ERRORS = {
    "function_not_found": (404, "ResourceNotFoundException"),
    "version_not_found": (404, "ResourceNotFoundException"),
    "alias_not_found": (404, "ResourceNotFoundException"),
    "version_in_use": (409, "ResourceConflictException"),
    "already_exists": (409, "ResourceConflictException"),
    "invalid_request": (400, "InvalidParameterValueException"),
    "payload_too_large": (413, "RequestTooLargeException"),
    "idempotency_conflict": (409, "ResourceConflictException"),
    "queue_full": (429, "TooManyRequestsException"),
    "rate_limited": (429, "TooManyRequestsException"),
    "unauthorized": (401, "UnrecognizedClientException"),
    "paused": (429, "TooManyRequestsException"),
    "expired": (429, "TooManyRequestsException"),
    "forbidden": (403, "AccessDeniedException"),
    "not_found": (404, "UnknownOperationException"),
    "method_not_allowed": (404, "UnknownOperationException"),
}
"""Statuses and names of Lambda for our codes; any other is a ServiceException."""


class _StillRuns(Overloaded):
    code = "still_runs"
    status = 504


@traced
async def invoke(request: web.Request) -> web.StreamResponse:
    """POST /2015-03-31/functions/{name or ARN}/invocations?Qualifier="""
    gateway = request.app[GATEWAY]
    name, qualifier = parse(function_name(request), request.query.get("Qualifier"))
    kind = request.headers.get("X-Amz-Invocation-Type", "RequestResponse")
    if kind not in _TYPES:
        raise InvalidRequest(f"X-Amz-Invocation-Type {kind!r} is none of {', '.join(_TYPES)}")
    again = request.headers.get("amz-sdk-invocation-id")
    chosen = await names.choose(request, name, qualifier, key=f"lambda {again}" if again else None)
    if kind == "DryRun":
        return web.Response(status=204)
    is_job, function = kind == "Event", chosen.function
    plan = Plan(
        is_job=is_job,
        hold=0.0 if is_job else min(gateway.settings.hold, _HOLD),
        key=f"lambda {again}" if again else None,
        on_disconnect="continue" if again else "continue-if-started",
    )
    calls.admit(gateway, function, plan)
    call = chosen.marked(Request(headers=_JSON))
    submission = await calls.receive(request, gateway, function, call, plan, followed=True)
    taken, ending = await calls.run(gateway, function, submission, plan)
    told = {"x-amzn-RequestId": taken.id, "X-Amz-Executed-Version": function.version or "$LATEST"}
    if is_job:
        return web.Response(status=202, headers=told)
    if ending is None:
        raise _StillRuns(
            f"{taken.id} did not end within {plan.hold:g} s and goes on; the same request under the same "
            f"amz-sdk-invocation-id waits for it"
        )
    if request.headers.get("X-Amz-Log-Type") == "Tail":
        tail = await calls.log_tail(gateway, function.name, taken.id, _LOG_TAIL)
        told["X-Amz-Log-Result"] = base64.b64encode(tail).decode()
    return await _answer(request, gateway, taken.id, ending, told)


async def _answer(
    request: web.Request, gateway: Gateway, invocation_id: str, ending: Ending, told: dict[str, str]
) -> web.StreamResponse:
    """What the function answered, as it is: also Lambda's `{statusCode, body}`, which only HTTP clients get
    unwrapped. That it failed is said beside it."""
    if ending.failure is not None:
        if ending.failure.code is FailureCode.EXPIRED:
            return problem(429, "expired", ending.failure.message)
        told["X-Amz-Function-Error"] = "Unhandled"
    if ending.response is None:
        assert ending.failure is not None, "it ended without an answer"
        return web.json_response(_payload(invocation_id, ending.failure), headers=told)
    whole = replace(ending.response, status=200, headers=_JSON, lambda_style=False)
    return await bodies.send(request, whole, ending.body, gateway.blobs, told)


def _payload(invocation_id: str, failure: Failure) -> dict[str, str]:
    kind = _RUNTIME_ERRORS.get(failure.code)
    if kind is not None:
        return {"errorType": kind, "errorMessage": f"RequestId: {invocation_id} Error: {failure.message}"}
    raised, colon, message = failure.message.partition(": ")
    return {"errorType": raised if colon else "Error", "errorMessage": message or failure.message}


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    retryable: bool = False,
    retry_after: int | None = None,
) -> web.Response:
    """An error as Lambda tells it: its name in a header, `{Type, Message}` as the body."""
    status, name = _ERRORS.get(code, (status, "ServiceException"))
    said = {"Type": "User" if status < 500 else "Service", "Message": detail}
    headers = {"x-amzn-ErrorType": name}
    if name == "TooManyRequestsException":
        said["Reason"] = "ReservedFunctionConcurrentInvocationLimitExceeded"
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    return web.json_response(said, status=status, headers=headers)


def parse(name: str, qualifier: str | None) -> tuple[str, str | None]:
    """Name and qualifier of a function's name as Lambda allows it."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise FunctionNotFound(name)
    inside = match["qualifier"]
    if inside and qualifier and inside != qualifier:
        raise InvalidRequest(f"{name!r} names another version than Qualifier {qualifier!r}")
    return match["name"], inside or qualifier


ROUTES = needs(LATE_INVOKE, web.post("/2015-03-31/functions/{function}/invocations", invoke))
