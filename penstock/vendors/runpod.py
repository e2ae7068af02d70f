"""RunPod's job: what its status call answers and its webhook is sent. Pure."""

from __future__ import annotations

import json
from typing import Any

from penstock.invocation import Invocation, State

STATES = {
    State.QUEUED: "IN_QUEUE",
    State.RUNNING: "IN_PROGRESS",
    State.SUCCEEDED: "COMPLETED",
    State.FAILED: "FAILED",
    State.TIMED_OUT: "TIMED_OUT",
    State.CANCELLED: "CANCELLED",
    State.EXPIRED: "TIMED_OUT",
}


def job(record: Invocation, output: Any) -> dict[str, Any]:
    """`output`: what the function answered; None if it has not, or if that is too large to be told. A job that
    still runs shows its latest progress there, as RunPod's do."""
    said: dict[str, Any] = {"id": record.id, "status": STATES[record.state]}
    if record.started_at is not None:
        said["delayTime"] = record.started_at - record.created_at
    if record.started_at is not None and record.finished_at is not None:
        said["executionTime"] = record.finished_at - record.started_at
    if record.instance is not None:
        said["workerId"] = record.instance
    if record.state is State.SUCCEEDED:
        said["output"] = output
    elif record.state is State.RUNNING and record.progress is not None:
        said["output"] = record.progress
    elif record.failure is not None and record.state.terminal:
        said["error"] = record.failure.message if output is None else _text(output)
    return said


def _text(output: Any) -> str:
    return output if isinstance(output, str) else json.dumps(output)
