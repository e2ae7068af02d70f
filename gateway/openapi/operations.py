"""What each native route does: what it takes, what it answers, how it can fail. By method and path, as in
gateway/routes.py.

A route without an entry here fails a test.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.keys import Wanted
from gateway.openapi import bodies, versions
from gateway.openapi.parameters import CALL, CURSOR, FOLLOW, JOB, KEY, LIMIT, STATE, WAIT
from gateway.openapi.parts import Body, Operation, header, query
from penstock.errors import (
    AlreadyFinished,
    BatchExpired,
    BatchNotFound,
    DeliveryNotFound,
    FunctionNotFound,
    FunctionPaused,
    IdempotencyConflict,
    InFlightLimited,
    InstanceNotFound,
    InvalidRequest,
    InvocationExpired,
    InvocationNotFound,
    KeyNotFound,
    NameTaken,
    NoLeader,
    PayloadTooLarge,
    QueueFull,
    TopicNotFound,
    UnsupportedMedia,
)
from penstock.function import FunctionSpec
from penstock.provision import ProvisionConfig

_F = "/v1/functions/{function}"
_I = f"{_F}/invocations/{{id}}"
_FIND = (FunctionNotFound, InvocationNotFound, InvocationExpired)
_EVENT = Body(media="*/*", text="The event: passed on byte for byte under its own content type.", optional=True)
_OWN = ("Penstock-Invocation-Id", "Penstock-Cold-Start", "Server-Timing")
_ANSWER = Body(media="*/*", text="The function's own answer: its status, headers and body.", headers=_OWN)
_ACCEPTED = Body(
    model=bodies.Invocation,
    text="A job now: this is where to look.",
    headers=("Location", "Penstock-Invocation-Id", "Preference-Applied"),
)
_TIME = {"type": "string", "examples": ["2026-01-31T12:00:00Z", "1769860800"]}
_STREAM = Body(media="text/event-stream", text="Server-Sent Events, each with one line of JSON.")
_RUN_FAILED = {
    499: "`cancelled`: it was cancelled.",
    502: "`function_error`: it raised, or its server did not answer properly; `instance_lost`: its instance died.",
    503: "`start_failed`: no instance starts, the detail says why; `no_capacity`: none found a place; `paused`.",
    504: "`run_timeout`: the run took too long; `expired`: it waited too long.",
}
_SUBMIT = (FunctionNotFound, PayloadTooLarge, UnsupportedMedia, QueueFull, InFlightLimited, IdempotencyConflict)
_AGAIN = (*_FIND, QueueFull, InFlightLimited, IdempotencyConflict)
_TRIGGER = "The function's own server gets method, path, query, headers and body; what it answers streams back."


def _trigger(method: str, path: str) -> Operation:
    return Operation(
        id=f"{method.lower()}Trigger{'Path' if 'path' in path else ''}",
        tag="HTTP triggers",
        summary=f"{method} of the function's own server",
        text=_TRIGGER,
        body=None if method in ("GET", "HEAD", "OPTIONS") else _EVENT,
        parameters=CALL,
        answers={"default": _ANSWER, 202: _ACCEPTED},
        errors=(*_SUBMIT, FunctionPaused),
        failures={
            **_RUN_FAILED,
            405: "`method_not_allowed`: its http triggers take other methods, which `Allow` names.",
            501: "`not_implemented`: an Upgrade, such as to a WebSocket.",
        },
    )


TRIGGER_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
"""What a route for any method is described with."""

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("POST", f"{_F}/invocations"): Operation(
        id="invoke",
        tag="Invocations",
        summary="Call a function",
        text=(
            "Waits for the answer, unless `Prefer` says otherwise. When the hold runs out it goes on as a job. "
            "With `Accept: text/event-stream` the connection carries the events of the call instead of its answer."
            " The event may be a CloudEvent 1.0, binary or structured: one of the same source and id is one call."
        ),
        body=_EVENT,
        parameters=CALL,
        answers={"default": _ANSWER, 202: _ACCEPTED},
        errors=(*_SUBMIT, FunctionPaused, UnsupportedMedia),
        failures=_RUN_FAILED,
    ),
    ("GET", f"{_F}/invocations"): Operation(
        id="listInvocations",
        tag="Invocations",
        summary="List async jobs, newest first",
        parameters=(STATE, LIMIT, CURSOR),
        answers={200: Body(model=bodies.Invocations)},
        errors=(FunctionNotFound,),
    ),
    ("GET", _I): Operation(
        id="getInvocation",
        tag="Invocations",
        summary="The record: how it stands, and why it waits",
        parameters=(WAIT,),
        answers={200: Body(model=bodies.Invocation)},
        errors=_FIND,
    ),
    ("DELETE", _I): Operation(
        id="cancelInvocation",
        tag="Invocations",
        summary="Cancel",
        answers={
            200: Body(model=bodies.Invocation, text="It had not started."),
            202: Body(model=bodies.Invocation, text="It ran; its container's request is being aborted."),
        },
        errors=(*_FIND, AlreadyFinished),
    ),
    ("GET", f"{_I}/result"): Operation(
        id="getResult",
        tag="Invocations",
        summary="The function's own answer, byte for byte",
        text="The problem of a job that ended without one.",
        answers={
            "default": _ANSWER,
            202: Body(model=bodies.Invocation, text="There is none yet.", headers=("Retry-After",)),
        },
        errors=_FIND,
        failures=_RUN_FAILED,
    ),
    ("GET", f"{_I}/events"): Operation(
        id="followInvocation",
        tag="Events",
        summary="All that happened and happens to it, until it has ended",
        parameters=(
            FOLLOW,
            header("Last-Event-ID", {"type": "string", "examples": ["1-running"]}, "Go on after this event."),
            query("last_event_id", {"type": "string"}, "The same, for those who cannot send headers."),
        ),
        answers={200: _STREAM, 204: Body(media="", text="There is nothing after that event, nor will there be.")},
        errors=_FIND,
    ),
    ("GET", f"{_F}/events"): Operation(
        id="followFunction",
        tag="Events",
        summary="What happens to all its invocations from now on",
        answers={200: _STREAM},
        errors=(FunctionNotFound,),
    ),
    ("POST", f"{_I}/retry"): Operation(
        id="retryInvocation",
        tag="Invocations",
        summary="Run again what has ended, as a new job",
        parameters=(KEY,),
        answers={202: Body(model=bodies.Invocation, headers=("Location", "Penstock-Invocation-Id"))},
        errors=_AGAIN,
    ),
    ("POST", f"{_F}/invocations:batch"): Operation(
        id="submitBatch",
        tag="Batches",
        summary="Submit up to 10,000 jobs",
        text="Each line is one job's JSON body; the headers hold for all. Says of each line what became of it.",
        body=Body(media="application/x-ndjson", text="One JSON value in each line."),
        parameters=JOB,
        answers={202: Body(model=bodies.BatchSubmitted, headers=("Location",))},
        errors=(FunctionNotFound, PayloadTooLarge, IdempotencyConflict, BatchExpired),
    ),
    ("GET", f"{_F}/batches/{{id}}"): Operation(
        id="getBatch",
        tag="Batches",
        summary="How many of its jobs are in which state",
        parameters=(WAIT,),
        answers={200: Body(model=bodies.BatchView)},
        errors=(FunctionNotFound, BatchNotFound, BatchExpired),
    ),
    ("DELETE", f"{_F}/batches/{{id}}"): Operation(
        id="cancelBatch",
        tag="Batches",
        summary="Cancel all of its jobs that have not ended",
        answers={200: Body(model=bodies.Cancelled)},
        errors=(FunctionNotFound, BatchNotFound, BatchExpired),
    ),
    ("GET", f"{_F}/batches/{{id}}/invocations"): Operation(
        id="listBatchInvocations",
        tag="Batches",
        summary="Its jobs in the order of their lines",
        parameters=(STATE, LIMIT, CURSOR),
        answers={200: Body(model=bodies.BatchInvocations)},
        errors=(FunctionNotFound, BatchNotFound, BatchExpired),
    ),
    ("GET", f"{_F}/dead-letters"): Operation(
        id="listDeadLetters",
        tag="Dead letters",
        summary="Jobs that ended without success, the latest first",
        parameters=(LIMIT,),
        answers={200: Body(model=bodies.DeadLetters)},
        errors=(FunctionNotFound,),
    ),
    ("POST", f"{_F}/dead-letters/redrive"): Operation(
        id="redrive",
        tag="Dead letters",
        summary="Run dead letters again as new jobs",
        body=Body(model=bodies.Redrive, text="Which; without a body all of them.", optional=True),
        answers={200: Body(model=bodies.RedriveResult)},
        errors=(FunctionNotFound, InvocationExpired, PayloadTooLarge, QueueFull, InFlightLimited),
    ),
    ("DELETE", f"{_F}/queue"): Operation(
        id="purgeQueue",
        tag="Functions",
        summary="Cancel all that waits",
        answers={200: Body(model=bodies.Purged)},
        errors=(FunctionNotFound,),
    ),
    ("GET", f"{_F}/deliveries"): Operation(
        id="listDeliveries",
        tag="Deliveries",
        summary="The ledger of callbacks, newest first",
        parameters=(
            query("endpoint", {"type": "string"}, "Those to this URL alone."),
            query(
                "state", {"type": "string", "enum": ["pending", "delivered", "dead", "disabled"]}, "In this state."
            ),
            query("since", {"type": "string", "format": "date-time"}, "First owed from then on."),
            query("until", {"type": "string", "format": "date-time"}, "First owed up to then."),
            query("invocation", {"type": "string"}, "Those that tell of this invocation or batch."),
            LIMIT,
            CURSOR,
        ),
        answers={200: Body(model=bodies.Deliveries)},
        errors=(FunctionNotFound,),
    ),
    ("POST", f"{_F}/deliveries/redeliver"): Operation(
        id="redeliverFailed",
        tag="Deliveries",
        summary="Tell again all that was given up since a time",
        body=Body(model=bodies.Since),
        answers={202: Body(model=bodies.Redelivered)},
        errors=(FunctionNotFound, PayloadTooLarge),
    ),
    ("GET", f"{_F}/deliveries/{{id}}"): Operation(
        id="getDelivery",
        tag="Deliveries",
        summary="One delivery, with its last attempts",
        answers={200: Body(model=bodies.Delivery)},
        errors=(FunctionNotFound, DeliveryNotFound),
    ),
    ("POST", f"{_F}/deliveries/{{id}}/redeliver"): Operation(
        id="redeliver",
        tag="Deliveries",
        summary="Tell it again at once, under the same webhook-id",
        answers={202: Body(model=bodies.Delivery)},
        errors=(FunctionNotFound, DeliveryNotFound, InvocationExpired),
    ),
    ("GET", f"{_F}/triggers"): Operation(
        id="listTriggers",
        tag="Functions",
        summary="What calls it beside clients, what each has done and when it is next due",
        answers={200: Body(model=bodies.Triggers)},
        errors=(FunctionNotFound,),
    ),
    ("POST", "/v1/topics/{topic}/messages"): Operation(
        id="publish",
        tag="Topics",
        summary="Send a message to every function that has a trigger on the topic",
        body=Body(media="*/*", text="The message, 256 KiB at most.", optional=True),
        parameters=(
            header("Penstock-Tag", {"type": "string", "maxLength": 128}, "For triggers with this `tag`."),
        ),
        answers={202: Body(model=bodies.Published, text="It is written.")},
        errors=(TopicNotFound, PayloadTooLarge, QueueFull),
    ),
    ("GET", f"{_F}/instances"): Operation(
        id="listInstances",
        tag="Functions",
        summary="Its instances, and why there are that many",
        answers={200: Body(model=bodies.Instances)},
        errors=(FunctionNotFound,),
    ),
    ("GET", f"{_F}/instances/{{instance}}/logs"): Operation(
        id="getLogs",
        tag="Functions",
        summary="What an instance writes",
        parameters=(
            query(
                "tail", {"type": "integer", "minimum": 0, "maximum": 10_000, "default": 100}, "Last lines, first."
            ),
            FOLLOW,
        ),
        answers={200: Body(media="text/plain", schema={"type": "string"}, text="Lines.")},
        errors=(FunctionNotFound, InstanceNotFound, NoLeader),
    ),
    ("POST", f"{_F}/pause"): Operation(
        id="pauseFunction",
        tag="Operators",
        summary="Its instances end once they are idle, its jobs wait, its calls get 503",
        answers={200: Body(model=bodies.Paused)},
        errors=(FunctionNotFound,),
    ),
    ("POST", f"{_F}/resume"): Operation(
        id="resumeFunction",
        tag="Operators",
        summary="Go on",
        answers={200: Body(model=bodies.Paused)},
        errors=(FunctionNotFound,),
    ),
    ("POST", f"{_F}/warmup"): Operation(
        id="warmUp",
        tag="Operators",
        summary="Start instances ahead; they stay for the idle timeout",
        body=Body(model=bodies.WarmUp, text="How many; without a body one.", optional=True),
        answers={202: Body(model=bodies.WarmUpAccepted)},
        errors=(FunctionNotFound, PayloadTooLarge),
    ),
    ("PUT", f"{_F}/provision-config"): Operation(
        id="putProvisionConfig",
        tag="Provisioned instances",
        summary="Keep instances warm: by number, schedule and metric",
        body=Body(model=ProvisionConfig, text="In Function Compute's fields; unknown ones are told as warnings."),
        answers={200: Body(model=bodies.Provision)},
        errors=(FunctionNotFound, PayloadTooLarge),
    ),
    ("GET", f"{_F}/provision-config"): Operation(
        id="getProvisionConfig",
        tag="Provisioned instances",
        summary="The config that rules, and what it comes to",
        answers={200: Body(model=bodies.Provision)},
        errors=(FunctionNotFound,),
    ),
    ("DELETE", f"{_F}/provision-config"): Operation(
        id="deleteProvisionConfig",
        tag="Provisioned instances",
        summary="What its spec says rules again",
        answers={200: Body(model=bodies.Provision)},
        errors=(FunctionNotFound,),
    ),
    ("GET", "/v1/provision-configs"): Operation(
        id="listProvisionConfigs",
        tag="Provisioned instances",
        summary="Of every function that has one",
        answers={200: Body(model=bodies.Provisions)},
    ),
    ("GET", "/v1/cost"): Operation(
        id="getCost",
        tag="Operators",
        summary="What functions used, and what it costs",
        parameters=(
            query(
                "days", {"type": "integer", "minimum": 1, "maximum": 400, "default": 1}, "UTC days up to today."
            ),
            query("price", {"type": "number", "exclusiveMinimum": 0}, "Of a GB-second."),
            query("card_price", {"type": "number", "exclusiveMinimum": 0}, "Of an hour of a card elsewhere."),
            query(
                "discount", {"type": "number", "minimum": 0, "exclusiveMaximum": 1}, "On provisioned GB-seconds."
            ),
        ),
        answers={200: Body(model=bodies.Cost)},
    ),
    ("GET", "/v1/gpus"): Operation(
        id="listGpus",
        tag="Operators",
        summary="The cards, what is reserved on each, and what keeps one from being used",
        answers={200: Body(model=bodies.Gpus)},
    ),
    ("POST", "/v1/gpus/{gpu}/pause"): Operation(
        id="pauseGpu",
        tag="Operators",
        summary="Lend a card: its instances end once they are idle, and nothing is started there",
        answers={200: Body(model=bodies.GpuPaused)},
    ),
    ("POST", "/v1/gpus/{gpu}/resume"): Operation(
        id="resumeGpu",
        tag="Operators",
        summary="Take it back",
        answers={200: Body(model=bodies.GpuPaused)},
    ),
    ("GET", _F): Operation(
        id="getFunction",
        tag="Functions",
        summary="Its spec with the defaults filled in, and how its pool stands",
        answers={200: Body(model=bodies.Function)},
        errors=(FunctionNotFound,),
    ),
    ("PUT", _F): Operation(
        id="putFunction",
        tag="Functions",
        summary="Deploy",
        text="The same spec again changes nothing. `path`, `command`, `volumes` and `secrets` come from spec "
        "files only (403).",
        body=Body(model=FunctionSpec),
        answers={
            200: Body(model=bodies.Function, text="Changed, or equal."),
            201: Body(model=bodies.Function, text="New."),
        },
        errors=(PayloadTooLarge, NameTaken),
    ),
    ("DELETE", _F): Operation(
        id="deleteFunction",
        tag="Functions",
        summary="Delete: what waits is cancelled, what runs is finished",
        answers={200: Body(model=bodies.Deleted)},
        errors=(FunctionNotFound,),
    ),
    ("GET", "/v1/functions"): Operation(
        id="listFunctions",
        tag="Functions",
        summary="All functions",
        parameters=(query("versions", {"type": "boolean"}, "Whether to list published versions, too."),),
        answers={200: Body(model=bodies.Functions)},
    ),
    **{
        (method, path): _trigger(method, path)
        for path in ("/fn/{function}", "/fn/{function}/{path}")
        for method in TRIGGER_METHODS
    },
    **versions.OPERATIONS,
    ("GET", f"{_F}/metrics"): Operation(
        id="getMetrics",
        tag="Functions",
        summary="What it did over time, under Function Compute's names",
        parameters=(
            query(
                "name", {"type": "string", "examples": ["P99"]}, "Metrics, separated by commas; without it all."
            ),
            query("from", _TIME, "First moment; ten minutes before `to` without it."),
            query("to", _TIME, "Last moment; now without it."),
            query("step", {"type": "integer", "minimum": 1, "maximum": 604_800}, "Seconds between two points."),
        ),
        answers={200: Body(model=bodies.Metrics)},
        errors=(FunctionNotFound,),
    ),
    ("GET", "/metrics"): Operation(
        id="metrics",
        tag="Operations",
        summary="What is counted here, for Prometheus",
        parameters=(
            query("format", {"type": "string", "enum": ["prometheus", "fc"]}, "`fc`: Function Compute's names."),
        ),
        answers={200: Body(media="text/plain", schema={"type": "string"}, text="Prometheus's text format.")},
        errors=(InvalidRequest,),
        failures={404: "`not_found`: the setting telemetry.enabled is false."},
    ),
    ("POST", "/v1/keys"): Operation(
        id="createKey",
        tag="API keys",
        summary="Make an API key",
        text="It gives what the caller's own key may do, and no more. The answer shows it this once.",
        body=Body(model=Wanted),
        answers={201: Body(model=bodies.ApiKeyMade)},
        errors=(PayloadTooLarge,),
    ),
    ("GET", "/v1/keys"): Operation(
        id="listKeys",
        tag="API keys",
        summary="The keys of the caller's tenant; an operator's key sees all",
        answers={200: Body(model=bodies.ApiKeys)},
    ),
    ("DELETE", "/v1/keys/{key}"): Operation(
        id="revokeKey",
        tag="API keys",
        summary="Revoke: every gateway refuses it within a second",
        answers={200: Body(model=bodies.ApiKey)},
        errors=(KeyNotFound,),
    ),
    ("GET", "/healthz"): Operation(
        id="healthz",
        tag="Operations",
        summary="Whether this gateway lives",
        answers={200: Body(model=bodies.HealthView)},
    ),
    ("GET", "/readyz"): Operation(
        id="readyz",
        tag="Operations",
        summary="Whether what is deployed can be invoked",
        answers={200: Body(model=bodies.Readiness), 503: Body(model=bodies.Readiness, text="What is wrong.")},
    ),
    ("GET", "/openapi.json"): Operation(
        id="openapi",
        tag="Operations",
        summary="This description",
        answers={200: Body(schema={"type": "object"}, text="OpenAPI 3.1.")},
    ),
    ("GET", "/docs"): Operation(
        id="docs",
        tag="Operations",
        summary="This description, for people",
        answers={200: Body(media="text/html", schema={"type": "string"}, text="A page that needs no other host.")},
    ),
    ("GET", "/docs/{asset}"): Operation(
        id="docsAsset",
        tag="Operations",
        summary="What that page is made of",
        answers={200: Body(media="*/*", text="A script, a style or an icon.")},
        failures={404: "`not_found`: the page has no such part."},
    ),
}
OPEN = frozenset({"/healthz", "/readyz", "/openapi.json", "/docs", "/docs/{asset}"})
"""Paths that want no key."""
