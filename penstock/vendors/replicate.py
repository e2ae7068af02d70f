"""Replicate's prediction: what its API answers, and its webhooks are sent. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from penstock import clock
from penstock.invocation import Invocation, State

OWNER = "penstock"
"""Who owns every function, to those who need an owner to be named."""
STATES = {
    State.QUEUED: "starting",
    State.RUNNING: "processing",
    State.SUCCEEDED: "succeeded",
    State.FAILED: "failed",
    State.TIMED_OUT: "failed",
    State.CANCELLED: "canceled",
    State.EXPIRED: "failed",
}
_BAR = 10


def name(record: Invocation) -> str:
    """A prediction's id, which is looked up without naming its model; no function's name has a dot."""
    return f"{record.function}.{record.id}"


def prediction(record: Invocation, *, given: Any, output: Any, logs: str, base_url: str) -> dict[str, Any]:
    """`given`: its input. `output`: what it answered, or has put out so far; None if that is nothing. `base_url`:
    before its links; empty: they are paths."""
    link = f"{base_url}/v1/predictions/{name(record)}"
    succeeded = record.state is State.SUCCEEDED
    return {
        "id": name(record),
        "model": f"{OWNER}/{record.function}",
        "version": record.function,
        "status": STATES[record.state],
        "input": given,
        "output": output if succeeded or not record.state.terminal else None,
        "error": None if succeeded or not record.state.terminal else error(record, output),
        "logs": logs + progress_line(record.progress),
        "metrics": _metrics(record),
        "created_at": clock.rfc3339(record.created_at),
        "started_at": clock.rfc3339(record.started_at),
        "completed_at": clock.rfc3339(record.finished_at),
        "source": "api",
        "data_removed": False,
        "urls": {"get": link, "cancel": f"{link}/cancel", "stream": f"{link}/stream"},
    }


def error(record: Invocation, output: Any) -> str:
    """Why it ended without success. `output`: what a function said that answered with an error."""
    if output is not None:
        return output if isinstance(output, str) else json.dumps(output)
    return record.failure.message if record.failure is not None else STATES[record.state]


def progress_line(progress: Mapping[str, Any] | None) -> str:
    """As tqdm would log it, which is where its clients look for progress."""
    share = progress.get("progress") if progress else None
    if progress is None or share is None:
        return ""
    percent = round(share * 100)
    full = round(share * _BAR)
    message = progress.get("message") or ""
    return f"{percent}%|{'#' * full}{'-' * (_BAR - full)}| {percent}/100 {message}".rstrip() + "\n"


def _metrics(record: Invocation) -> dict[str, float]:
    """In seconds."""
    if record.finished_at is None or record.started_at is None:
        return {}
    return {
        "predict_time": (record.finished_at - record.started_at) / 1000,
        "total_time": (record.finished_at - record.created_at) / 1000,
    }
