"""The Python client of a gateway: `Client`, and `AsyncClient` for asyncio.

Behind them, from the outside in: `sync` hands over to `aio` through `portal`; `job` is one invocation; `transport`
sends, and again when that may help (`retries`). What is sent and said is pure: `options`, `answer`, `record`,
`events`, `sse`, `errors`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.client.aio import AsyncClient
from penstock.client.answer import Answer
from penstock.client.errors import (
    ApiError,
    Conflict,
    Expired,
    Forbidden,
    FunctionError,
    InstanceLost,
    InvalidRequest,
    JobCancelled,
    JobExpired,
    JobFailed,
    JobTimedOut,
    NotFound,
    QueueFull,
    RateLimited,
    StartFailed,
    Timeout,
    Unauthorized,
    Unavailable,
    Unreachable,
)
from penstock.client.events import Event, Gap, Log, Output, Position, Progress, StateChanged
from penstock.client.job import AsyncJob
from penstock.client.options import CallOptions
from penstock.client.record import Record

if TYPE_CHECKING:
    from penstock.client.sync import Client, Job

__all__ = [
    "Answer",
    "ApiError",
    "AsyncClient",
    "AsyncJob",
    "CallOptions",
    "Client",
    "Conflict",
    "Event",
    "Expired",
    "Forbidden",
    "FunctionError",
    "Gap",
    "InstanceLost",
    "InvalidRequest",
    "Job",
    "JobCancelled",
    "JobExpired",
    "JobFailed",
    "JobTimedOut",
    "Log",
    "NotFound",
    "Output",
    "Position",
    "Progress",
    "QueueFull",
    "RateLimited",
    "Record",
    "StartFailed",
    "StateChanged",
    "Timeout",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
]


def __getattr__(name: str) -> object:
    # On demand: the command line needs only the half with an event loop.
    if name in ("Client", "Job"):
        from penstock.client import sync

        return getattr(sync, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
