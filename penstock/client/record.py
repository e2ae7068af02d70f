"""The record of an invocation as the gateway shows it; its fields are those of `GET …/invocations/{id}`."""

from __future__ import annotations

from typing import Any, TypedDict

from penstock.client.events import State


class RecordError(TypedDict):
    code: str
    message: str
    retryable: bool
    exit_code: int | None
    log_tail: str | None


class Record(TypedDict):
    """Times are RFC 3339, durations milliseconds; None is what is not known, or not yet."""

    id: str
    function: str
    state: State
    attempt: int
    deferrals: int
    priority: str
    created_at: str
    started_at: str | None
    finished_at: str | None
    queue_position: int | None
    estimated_start: str | None
    waiting_reason: str | None
    instance: str | None
    cold_start: bool | None
    timeline: dict[str, float]
    request: dict[str, Any]
    response: dict[str, Any] | None
    error: RecordError | None
    progress: dict[str, Any] | None
    callback: Any
    retry_of: str | None
    links: dict[str, str]
