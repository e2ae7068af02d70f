"""RunPod's serverless endpoints, as the runpod package calls them. An endpoint's id is a function's name."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from gateway import bodies, calls, names, repeats
from gateway.access import LATE_ADMIN, LATE_CANCEL, LATE_INVOKE, LATE_READ, LATE_READ_ONE
from gateway.admission import Plan
from gateway.auth import needs
from gateway.callbacks import Callback
from gateway.context import GATEWAY, Gateway, function_name
from gateway.names import Chosen
from gateway.rendering import json_response
from gateway.results import find
from gateway.tracing import traced
from penstock.errors import InvalidRequest, InvocationNotFound
from penstock.events import BEGINNING, Place
from penstock.instance import InstanceState
from penstock.invocation import Invocation, Request, State
from penstock.vendors import output
from penstock.vendors.runpod import STATES
from penstock.vendors.shown import Shown

PREFIXES = ("/v2/",)
_HOLD = 90.0
"""Seconds that runsync waits unless told otherwise."""
_JSON = (("Content-Type", "application/json"),)
_WHOLE = 2**53
"""Rank of the place behind everything that a run can say."""


@traced
async def run(request: web.Request) -> web.Response:
    """POST /v2/{endpoint}/run: the id of a job."""
    gateway = request.app[GATEWAY]
    chosen = await names.choose(request, function_name(request))
    taken = await _submit(request, gateway, chosen, hold=0.0)
    return json_response({"id": taken, "status": STATES[State.QUEUED]})


@traced
async def run_sync(request: web.Request) -> web.Response:
    """POST /v2/{endpoint}/runsync[?wait=MS]: the job at its end, or as it stands when the wait is over."""
    gateway = request.app[GATEWAY]
    chosen = await names.choose(request, function_name(request))
    wait = _milliseconds("wait", request.query.get("wait"))
    hold = min(gateway.settings.hold, _HOLD) if wait is None else min(wait, gateway.settings.max_hold)
    taken = await _submit(request, gateway, chosen, hold=hold)
    return await _shown(gateway, await find(gateway, chosen.function.name, taken))


async def status(request: web.Request) -> web.Response:
    """GET /v2/{endpoint}/status/{id}"""
    gateway, record = await _named(request)
    return await _shown(gateway, record)


async def stream(request: web.Request) -> web.Response:
    """GET /v2/{endpoint}/stream/{id}: what it has put out since this was asked last. A client goes on asking until
    nothing is left of a job that has ended, but never ends on one that was cancelled: that is not found."""
    gateway, record = await _named(request)
    if record.state is State.CANCELLED:
        raise InvocationNotFound(record.id)
    place = await gateway.store.events.had(record.function, record.id) or BEGINNING
    story = await gateway.store.events.since(record.function, record.id, place)
    if story is None:
        raise InvocationNotFound(record.id)
    record = story.record
    said = [one for one in story.said if one.token == record.token]
    shown = Shown(gateway.store, gateway.blobs)
    found, last = output.pieces(await shown.kind(record), said, ended=record.state.terminal)
    if place == BEGINNING and not found and record.response is not None:
        # It did not come piece by piece, or too fast for that.
        whole = await shown.answer(record)
        found, last = whole if isinstance(whole, list) else [whole], Place(record.token, _WHOLE)
    if last is not None:
        await gateway.store.events.keep_had(record.function, record.id, last)
    return json_response({"status": STATES[record.state], "stream": [{"output": one} for one in found]})


async def cancel(request: web.Request) -> web.Response:
    """POST /v2/{endpoint}/cancel/{id}: how it stands then; one that has ended stays as it is."""
    gateway, record = await _named(request)
    await gateway.store.queue.cancel(record.function, record.id)
    return await _shown(gateway, await find(gateway, record.function, record.id))


@traced
async def retry(request: web.Request) -> web.Response:
    """POST /v2/{endpoint}/retry/{id}: a new job with the same input, under an id of its own."""
    gateway, record = await _named(request)
    if STATES[record.state] not in ("FAILED", "TIMED_OUT"):
        raise InvalidRequest(f"job {record.id} is {STATES[record.state]}: only FAILED and TIMED_OUT are run again")
    function = await gateway.directory.get(record.function)
    return json_response({"id": await repeats.repeat(request, function, record), "status": STATES[State.QUEUED]})


async def purge_queue(request: web.Request) -> web.Response:
    """POST /v2/{endpoint}/purge-queue"""
    gateway = request.app[GATEWAY]
    function = await names.find(request, function_name(request))
    removed = await gateway.store.queue.cancel_waiting(function.name)
    return json_response({"removed": removed, "status": "completed"})


async def health(request: web.Request) -> web.Response:
    """GET /v2/{endpoint}/health. How many have ever completed or been retried is not counted."""
    gateway = request.app[GATEWAY]
    function = await names.find(request, function_name(request))
    waiting, running, dead = await gateway.store.queue.depth(function.name)
    states = [one.state for one in (await gateway.store.pools.get(function.name)).instances]
    idle, busy = states.count(InstanceState.IDLE), states.count(InstanceState.BUSY)
    starting = (InstanceState.PENDING, InstanceState.STARTING, InstanceState.INITIALIZING)
    return json_response(
        {
            "jobs": {
                "completed": None,
                "failed": dead,
                "inProgress": running,
                "inQueue": waiting,
                "retried": None,
            },
            "workers": {
                "idle": idle,
                "initializing": sum(state in starting for state in states),
                "ready": idle + busy,
                "running": busy,
            },
        }
    )


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    retryable: bool = False,
    retry_after: int | None = None,
) -> web.Response:
    """An error as RunPod tells it."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return json_response({"error": detail, "code": code}, status=status, headers=headers)


async def _named(request: web.Request) -> tuple[Gateway, Invocation]:
    gateway, job = request.app[GATEWAY], request.match_info["id"]
    function = await names.owner(request, function_name(request), lambda name: gateway.mint.is_ours(name, job))
    return gateway, await find(gateway, function, job)


async def _submit(request: web.Request, gateway: Gateway, chosen: Chosen, *, hold: float) -> str:
    function = chosen.function
    given = await bodies.receive_object(request, limit=gateway.settings.max_body)
    if "input" not in given:
        raise InvalidRequest('the body must be JSON with an input, as in {"input": {"prompt": "a cat"}}')
    plan = _plan(gateway, given, hold)
    calls.admit(gateway, function, plan)
    event = json.dumps(given["input"]).encode()
    call = chosen.marked(Request(headers=_JSON))
    submission = await calls.enclose(request, gateway, function, call, plan, event)
    taken, _ = await calls.run(gateway, function, submission, plan)
    return taken.id


def _plan(gateway: Gateway, given: dict[str, Any], hold: float) -> Plan:
    policy = given.get("policy") or {}
    if not isinstance(policy, dict):
        raise InvalidRequest('policy must be an object, as in {"executionTimeout": 60000}')
    webhook = given.get("webhook")
    if webhook is not None:
        gateway.egress.check(str(webhook), "webhook")
    return Plan(
        is_job=not hold,
        hold=hold,
        callback=Callback(url=webhook, payload="runpod") if webhook is not None else None,
        priority="low" if policy.get("lowPriority") is True else "normal",
        timeout=_milliseconds("policy.executionTimeout", policy.get("executionTimeout")),
        max_queue=_milliseconds("policy.ttl", policy.get("ttl")),
        on_disconnect="continue",
    )


def _milliseconds(name: str, given: object) -> float | None:
    """Seconds."""
    if given is None:
        return None
    try:
        milliseconds = int(str(given))
    except ValueError:
        milliseconds = 0
    if not 1_000 <= milliseconds <= 7 * 86_400_000:
        raise InvalidRequest(f"{name} {given!r} is not between 1000 ms and 7 d")
    return milliseconds / 1000


async def _shown(gateway: Gateway, record: Invocation) -> web.Response:
    return json_response(await Shown(gateway.store, gateway.blobs).job(record))


_POST_OR_GET = ("GET", "POST")
ROUTES = (
    *needs(
        LATE_INVOKE,
        web.post("/v2/{function}/run", run),
        web.post("/v2/{function}/runsync", run_sync),
        web.post("/v2/{function}/retry/{id}", retry),
    ),
    *needs(
        LATE_READ_ONE,
        *(web.route(method, "/v2/{function}/status/{id}", status) for method in _POST_OR_GET),
        *(web.route(method, "/v2/{function}/stream/{id}", stream) for method in _POST_OR_GET),
    ),
    *needs(LATE_CANCEL, web.post("/v2/{function}/cancel/{id}", cancel)),
    *needs(LATE_ADMIN, web.post("/v2/{function}/purge-queue", purge_queue)),
    *needs(LATE_READ, web.get("/v2/{function}/health", health)),
)
