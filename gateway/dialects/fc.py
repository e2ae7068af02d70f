"""Function Compute's calls and async tasks, as its official SDKs make them: 2023-03-30 (functions), 2016-08-15 and
2021-04-06 (functions within services). What else its API has is in fc_configs."""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Mapping
from dataclasses import replace

from aiohttp import web

from gateway import admission, bodies, calls, invoke, names
from gateway.access import LATE_CANCEL, LATE_INVOKE, LATE_READ
from gateway.admission import Plan
from gateway.auth import CALLER, needs
from gateway.context import GATEWAY, Gateway
from gateway.names import Chosen
from gateway.rendering import json_response
from gateway.results import find, matching, page_limit
from gateway.tracing import traced
from penstock.errors import AlreadyFinished, InvalidRequest, InvocationNotFound, Overloaded, RequestError
from penstock.function import Function
from penstock.headers import crosses
from penstock.invocation import Ending, Failure, FailureCode, Invocation, Request
from penstock.vendors import fc
from penstock.vendors.fc import TASK_HEADER

PREFIXES = ("/2023-03-30/", "/2016-08-15/", "/2021-04-06/")
_LOG_TAIL = 4096
_TASK_ID = re.compile(r"[A-Za-z_][\w-]{0,127}", re.ASCII)
_LONGEST_DELAY = 3600
_RETURNED = 2**20
"""Bytes of an answer that a task shows."""
_TASKS = ("async-tasks", "stateful-async-invocations")
_ERRORS = {
    "function_not_found": (404, "FunctionNotFound"),
    "version_not_found": (404, "VersionNotFound"),
    "alias_not_found": (404, "AliasNotFound"),
    "domain_not_found": (404, "DomainNameNotFound"),
    "version_in_use": (409, "VersionInUse"),
    "invocation_not_found": (404, "AsyncTaskNotFound"),
    "invocation_expired": (404, "AsyncTaskNotFound"),
    "invalid_request": (400, "InvalidArgument"),
    "payload_too_large": (413, "EntityTooLarge"),
    "idempotency_conflict": (409, "StatefulAsyncInvocationAlreadyExists"),
    "queue_full": (429, "ResourceExhausted"),
    "rate_limited": (429, "ResourceExhausted"),
    "unauthorized": (401, "InvalidAccessKeyID"),
    "name_taken": (409, "FunctionAlreadyExists"),
    "paused": (429, "ResourceExhausted"),
    "forbidden": (403, "AccessDenied"),
    "not_found": (404, "NotFound"),
    "method_not_allowed": (405, "MethodNotAllowed"),
    "cancelled": (499, "InvocationCanceled"),
    "already_finished": (409, "AsyncTaskAlreadyFinished"),
    "store_unavailable": (503, "ServiceUnavailable"),
}
"""Statuses and words of Function Compute for our codes; any other error says its own."""
_FUNCTION_ERRORS = {
    FailureCode.FUNCTION_ERROR: "HandledInvocationError",
    FailureCode.START_FAILED: "InitializationError",
}
"""What is said to have failed; anything else is unhandled."""


class _TaskExists(RequestError):
    code = "StatefulAsyncInvocationAlreadyExists"
    status = 409


class _Throttled(Overloaded):
    code = "ResourceThrottled"
    status = 503


class _StillRuns(Overloaded):
    code = "InvocationTimeout"
    status = 504


@traced
async def invocations(request: web.Request) -> web.StreamResponse:
    """POST …/functions/{f}/invocations?qualifier="""
    gateway = request.app[GATEWAY]
    kind = request.headers.get("X-Fc-Invocation-Type", "Sync")
    if kind not in ("Sync", "Async"):
        raise InvalidRequest(f"X-Fc-Invocation-Type {kind!r} is neither Sync nor Async")
    plan = _plan(request.headers, gateway, is_job=kind == "Async")
    chosen = await _chosen(request, plan.key)
    function, call = chosen.function, chosen.marked(_call(request, plan))
    calls.admit(gateway, function, plan)
    submission = await calls.receive(request, gateway, function, call, plan, followed=True)
    taken, ending = await calls.run(gateway, function, submission, plan)
    told = {"X-Fc-Request-Id": taken.id}
    if plan.is_job:
        if taken.joined:
            raise _TaskExists(f"a task with this id was submitted already, as request {taken.id}")
        return web.Response(status=202, headers=told)
    if ending is None:
        blocked = await calls.no_capacity(gateway, submission)
        if blocked is not None:
            raise _Throttled(f"{blocked}; it was not run", retry_after=30)
        raise _StillRuns(f"request {taken.id} did not end within {plan.hold:g} s and goes on as an async task")
    if request.headers.get("X-Fc-Log-Type") == "Tail":
        tail = await calls.log_tail(gateway, function.name, taken.id, _LOG_TAIL)
        told["X-Fc-Log-Result"] = base64.b64encode(tail).decode()
    return await _answer(request, gateway, ending, told)


@traced
async def proxy(request: web.Request) -> web.StreamResponse:
    """ANY /2016-08-15/proxy/{service}/{function}/{path}: an HTTP trigger."""
    chosen = await _chosen(request, admission.idempotency_key(request.headers))
    return await invoke.reach(request, chosen, lambda path: "/" + "/".join(path.split("/")[5:]))


async def task(request: web.Request) -> web.Response:
    """GET …/async-tasks/{id}"""
    gateway, record = await _task(request)
    answer = await _returned(gateway, record)
    payload = await _payload(gateway, record)
    return json_response(fc.task(record, returned=answer, payload=payload))


async def tasks(request: web.Request) -> web.Response:
    """GET …/async-tasks?status=&prefix=&startedTimeBegin=&startedTimeEnd=&limit=&nextToken=&sortOrderByTime="""
    gateway, query = request.app[GATEWAY], request.query
    function = await named(request)
    limit = page_limit(query.get("limit"))
    begin, end = (_moment(name, query.get(name)) for name in ("startedTimeBegin", "startedTimeEnd"))
    cursor = query.get("nextToken") or None
    if cursor is not None and not gateway.mint.is_ours(function.name, cursor):
        raise InvalidRequest(f"nextToken {cursor!r} is not one that a list of this function gave")
    order = query.get("sortOrderByTime") or "desc"
    if order not in ("asc", "desc"):
        raise InvalidRequest(f"sortOrderByTime {order!r} is neither asc nor desc")

    def wanted(record: Invocation) -> bool:
        return (
            query.get("status") in (None, "", fc.status(record))
            and fc.task_id(record).startswith(query.get("prefix", ""))
            and (begin is None or record.created_at >= begin)
            and (end is None or record.created_at <= end)
        )

    found, following = await matching(
        gateway, function.name, wanted, limit=limit, cursor=cursor, oldest_first=order == "asc"
    )
    with_payload = query.get("includePayload", "").lower() == "true"
    listed = [
        fc.task(one, returned=None, payload=await _payload(gateway, one) if with_payload else None)
        for one in found
    ]
    return json_response({"tasks": listed, "invocations": listed, "nextToken": following})


async def stop(request: web.Request) -> web.Response:
    """PUT …/async-tasks/{id}/stop"""
    gateway, record = await _task(request)
    done, _ = await gateway.store.queue.cancel(record.function, record.id)
    if not done:
        raise AlreadyFinished(record.id, record.state)
    return web.Response(status=204)


async def named(request: web.Request) -> Function:
    """The function of the path, or the version of it; of an alias its main one."""
    name, qualifier, service = asked(request)
    return await names.find(request, name, qualifier, service=service)


def asked(request: web.Request) -> tuple[str, str | None, str | None]:
    """Function, qualifier and service of a path, whose service may name the qualifier: `service.qualifier`."""
    match = request.match_info
    service, dot, inside = match.get("service", "").partition(".")
    beside = request.query.get("qualifier") or request.headers.get("X-Fc-Qualifier")
    return match["function"], inside if dot else beside, service or None


async def _chosen(request: web.Request, key: str | None) -> Chosen:
    name, qualifier, service = asked(request)
    return await names.choose(request, name, qualifier, service=service, key=key)


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    retryable: bool = False,
    retry_after: int | None = None,
) -> web.Response:
    """An error as both versions of its API tell it."""
    status, name = _ERRORS.get(code, (status, code if status != 500 else "InternalServerError"))
    request_id = str(uuid.uuid4())
    said = {
        "Code": name,
        "Message": detail,
        "RequestId": request_id,
        "ErrorCode": name,
        "ErrorMessage": detail,
    }
    headers = {"X-Fc-Request-Id": request_id}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    return json_response(said, status=status, headers=headers)


async def _answer(
    request: web.Request, gateway: Gateway, ending: Ending, told: dict[str, str]
) -> web.StreamResponse:
    """What the function answered, without its own headers; that it failed is said beside it."""
    if "running" in ending.timeline:
        told["X-Fc-Invocation-Duration"] = f"{ending.timeline['running']:.0f}"
    failure = ending.failure
    if failure is not None:
        if failure.code is FailureCode.EXPIRED:
            raise _Throttled(failure.message)
        if failure.code is FailureCode.CANCELLED:
            return problem(499, "cancelled", failure.message)
        told["X-Fc-Error-Type"] = _FUNCTION_ERRORS.get(failure.code, "UnhandledInvocationError")
    if ending.response is None:
        assert failure is not None, "it ended without an answer"
        return json_response(_error(failure), headers=told)
    kind = [(name, value) for name, value in ending.response.headers if name.lower() == "content-type"]
    whole = replace(ending.response, status=200, headers=tuple(kind), lambda_style=False)
    return await bodies.send(request, whole, ending.body, gateway.blobs, told)


def _error(failure: Failure) -> dict[str, str]:
    raised, colon, message = failure.message.partition(": ")
    if failure.code is not FailureCode.FUNCTION_ERROR or not colon:
        return {"errorType": failure.code, "errorMessage": failure.message}
    return {"errorType": raised, "errorMessage": message}


def _call(request: web.Request, plan: Plan) -> Request:
    kind = request.headers.get("Content-Type", "")
    # Older SDKs say JSON of whatever they send.
    known = kind if kind and crosses("Content-Type", kind) else "application/octet-stream"
    own = _task_header(request.headers)
    headers = (("Content-Type", known), *([(TASK_HEADER, own)] if own and plan.is_job else []))
    return Request(headers=headers)


def _plan(headers: Mapping[str, str], gateway: Gateway, *, is_job: bool) -> Plan:
    own = _task_header(headers)
    if own is not None and not _TASK_ID.fullmatch(own):
        raise InvalidRequest(f"{TASK_HEADER} {own!r} is no name: a letter or _, then at most 127 of A-Za-z0-9_-")
    return Plan(
        is_job=is_job,
        hold=0.0 if is_job else gateway.settings.max_hold,
        key=_key(own) if own is not None and is_job else None,
        delay=_delay(headers.get("X-Fc-Async-Delay")) if is_job else 0.0,
    )


def _task_header(headers: Mapping[str, str]) -> str | None:
    return headers.get(TASK_HEADER) or headers.get("X-Fc-Stateful-Async-Invocation-Id") or None


def _key(task_id: str) -> str:
    return f"fc {task_id}"


def _delay(text: str | None) -> float:
    if text is None:
        return 0.0
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:9]) <= _LONGEST_DELAY:
        raise InvalidRequest(f"X-Fc-Async-Delay {text!r} is not a number of seconds from 1 to {_LONGEST_DELAY}")
    return float(text)


def _moment(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 15:
        raise InvalidRequest(f"{name} {text!r} is not a time in milliseconds since 1970")
    return int(text)


async def _task(request: web.Request) -> tuple[Gateway, Invocation]:
    """By the id that its client gave, or by ours; on whichever version it was run, since an alias moves on."""
    gateway, task_id = request.app[GATEWAY], request.match_info["task"]
    function = await named(request)
    digest = admission.key_digest(_key(task_id), request[CALLER].owner)
    for name in (function.name, *await names.family(gateway, function.base)):
        if gateway.mint.is_ours(name, task_id):
            return gateway, await find(gateway, name, task_id)
        known = await gateway.store.invocations.under_key(name, digest)
        if known is not None:
            return gateway, await find(gateway, name, known)
    raise InvocationNotFound(task_id)


async def _returned(gateway: Gateway, record: Invocation) -> str | None:
    response = record.response
    if response is None or response.size > _RETURNED or not record.state.terminal:
        return None
    if response.blob is not None:
        return (await gateway.blobs.read(response.blob)).decode(errors="replace")
    ending = await gateway.store.invocations.ending(record.function, record.id)
    return ending.body.decode(errors="replace") if ending is not None else None


async def _payload(gateway: Gateway, record: Invocation) -> str | None:
    """None for one that lies in a blob."""
    if record.request.blob is not None:
        return None
    return (await gateway.store.invocations.body(record.function, record.id)).decode(errors="replace")


FUNCTIONS = (
    "/2023-03-30/functions/{function}",
    "/2016-08-15/services/{service}/functions/{function}",
    "/2021-04-06/services/{service}/functions/{function}",
)
"""Where a function is, in each version of the API."""
ROUTES = (
    *needs(
        LATE_INVOKE,
        *(web.post(f"{base}/invocations", invocations) for base in FUNCTIONS),
        web.route("*", "/2016-08-15/proxy/{service}/{function}", proxy),
        web.route("*", "/2016-08-15/proxy/{service}/{function}/{path:.*}", proxy),
    ),
    *needs(
        LATE_READ,
        *(web.get(f"{base}/{kind}", tasks) for base in FUNCTIONS for kind in _TASKS),
        *(web.get(f"{base}/{kind}/{{task}}", task) for base in FUNCTIONS for kind in _TASKS),
    ),
    *needs(
        LATE_CANCEL,
        *(web.put(f"{base}/async-tasks/{{task}}/stop", stop) for base in FUNCTIONS),
        *(web.put(f"{base}/stateful-async-invocations/{{task}}", stop) for base in FUNCTIONS),
    ),
)
