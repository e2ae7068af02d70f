"""Function Compute's async tasks: what its API answers about them. Pure."""

from __future__ import annotations

from typing import Any

from penstock.invocation import Invocation, State
from penstock.versions import LATEST

TASK_HEADER = "X-Fc-Async-Task-Id"
"""With which a task's own id reaches its container; the record keeps it there."""
QUALIFIER_HEADER = "X-Fc-Qualifier"
"""With which the alias that a call was made by reaches its container; the record keeps it there."""
_ENDS = {
    State.SUCCEEDED: "Succeeded",
    State.FAILED: "Failed",
    State.TIMED_OUT: "Failed",
    State.CANCELLED: "Stopped",
    State.EXPIRED: "Expired",
}


def arn(name: str) -> str:
    """Of a function, or of its version or alias as `chat@3`."""
    return "acs:fc:local:0:functions/" + name.replace("@", "/")


def task_id(record: Invocation) -> str:
    """The id that its client gave, or ours."""
    return next((value for name, value in record.request.headers if name == TASK_HEADER), record.id)


def qualifier(record: Invocation) -> str:
    """The alias by which it was called, else its version."""
    called = next((value for name, value in record.request.headers if name == QUALIFIER_HEADER), None)
    return called or record.function.partition("@")[2] or LATEST


def status(record: Invocation) -> str:
    if record.state is State.RUNNING:
        return "Running"
    if record.state is State.QUEUED:
        return "Retrying" if record.attempt else "Enqueued"
    return _ENDS[record.state]


def task(record: Invocation, *, returned: str | None, payload: str | None) -> dict[str, Any]:
    """`returned`: what it answered; None if it did not, or in a list. `payload`: what it was given; None where
    nobody asked for it. Under the names of both versions of the API."""
    name = task_id(record)
    ended = record.failure is not None and record.state.terminal
    error = record.failure.message if ended and record.failure is not None else ""
    said: dict[str, Any] = {
        "taskId": name,
        "invocationId": name,
        "requestId": record.id,
        "functionName": record.function.partition("@")[0],
        "functionArn": arn(record.function),
        "qualifier": qualifier(record),
        "status": status(record),
        "startedTime": record.created_at,
        "alreadyRetriedTimes": max(record.attempt - 1, 0),
        "taskErrorMessage": error,
        "invocationErrorMessage": error,
        "events": _events(record),
    }
    if record.instance is not None:
        said["instanceId"] = record.instance
    if record.finished_at is not None:
        said["endTime"] = record.finished_at
        said["durationMs"] = record.finished_at - (record.started_at or record.finished_at)
    if returned is not None:
        said["returnPayload"] = returned
    if payload is not None:
        said |= {"taskPayload": payload, "invocationPayload": payload}
    return said


def _events(record: Invocation) -> list[dict[str, Any]]:
    """Of its last run."""
    happened = [("Enqueued", record.created_at), ("Running", record.started_at)]
    if record.state.terminal:
        happened.append((status(record), record.finished_at))
    return [
        {"eventId": number, "status": what, "timestamp": at, "eventDetail": ""}
        for number, (what, at) in enumerate(happened, 1)
        if at is not None
    ]
