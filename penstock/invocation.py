"""What an invocation is, the states it goes through, and how it can end.

Theory of operation
===================
An invocation waits in a queue, is run by an instance, and ends exactly once. Two things can send a run back
to the queue: a retry (the run failed in a way that another may not) and a release or a lost lease (the run
never finished). A terminal state has no way out: retrying a finished job makes a new invocation.

`MOVES` below is the only table of these transitions. The Lua scripts get it rendered as their own table
(penstock/store/scripts.py), so that a script cannot do what this file does not allow.

Each run carries a fencing token, which grows with every take. Whoever finishes, renews or retries a run
shows its token; an old one is refused and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, get_args

from penstock.function import Retry
from penstock.limits import Limits
from penstock.tracecontext import TraceContext


class State(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def terminal(self) -> bool:
        return self not in MOVES


class Event(StrEnum):
    TAKE = "take"
    """A worker leased it: the token grows."""
    SUCCEED = "succeed"
    FAIL = "fail"
    """The function failed, or it could not be started while the call was held."""
    TIME_OUT = "time_out"
    """The run took longer than the function's timeout."""
    CANCEL = "cancel"
    EXPIRE = "expire"
    """It waited in the queue longer than its maximum age. Never happens to a running one."""
    RETRY = "retry"
    """The run failed and is worth another: an attempt was spent."""
    RELEASE = "release"
    """Handed back before the function saw it: no attempt was spent."""
    LOSE = "lose"
    """The lease ran out without a word from the worker: an attempt was spent."""


MOVES: Mapping[State, Mapping[Event, State]] = {
    State.QUEUED: {
        Event.TAKE: State.RUNNING,
        Event.FAIL: State.FAILED,
        Event.CANCEL: State.CANCELLED,
        Event.EXPIRE: State.EXPIRED,
    },
    State.RUNNING: {
        Event.SUCCEED: State.SUCCEEDED,
        Event.FAIL: State.FAILED,
        Event.TIME_OUT: State.TIMED_OUT,
        Event.CANCEL: State.CANCELLED,
        Event.RETRY: State.QUEUED,
        Event.RELEASE: State.QUEUED,
        Event.LOSE: State.QUEUED,
    },
}


DEAD_STATES = frozenset({State.FAILED, State.TIMED_OUT, State.EXPIRED})
"""Jobs that end so are dead letters: somebody should look at them."""


class IllegalMove(Exception):
    """The event cannot happen in this state; nothing changed."""


def move(state: State, event: Event) -> State:
    """The state after `event`. Raises IllegalMove when the table has no such transition."""
    try:
        return MOVES[state][event]
    except KeyError:
        raise IllegalMove(f"an invocation that is {state} cannot {event}") from None


Kind = Literal["call", "job"]
"""A held call has a client waiting on its connection; a job is asked about later. A call whose hold runs out
becomes a job."""

BANDS = {"high": 0, "normal": 1, "low": 2}
"""Priorities and the bands of the queue that they stand for."""


CallbackEvent = Literal["started", "progress", "output", "completed"]
CALLBACK_EVENTS: tuple[CallbackEvent, ...] = get_args(CallbackEvent)
"""What a callback may be asked for: each start of a run, its progress and output as they come, the end."""

Payload = Literal["full", "thin", "runpod", "replicate", "destination"]
"""What a callback carries: the record and a result that is not large, ids and links alone, what the webhooks of
another vendor would, or what Function Compute tells a function that is the destination of another."""


class FailureCode(StrEnum):
    """Why an invocation has no answer of its function: the API's words, with their HTTP status."""

    FUNCTION_ERROR = "function_error"
    INSTANCE_LOST = "instance_lost"
    RUN_TIMEOUT = "run_timeout"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    START_FAILED = "start_failed"
    PAUSED = "paused"

    @property
    def status(self) -> int:
        return _FAILURE_STATUS[self]

    @property
    def retryable(self) -> bool:
        """True if sending the same request again may succeed."""
        return self not in (FailureCode.FUNCTION_ERROR, FailureCode.CANCELLED)


_FAILURE_STATUS = {
    FailureCode.FUNCTION_ERROR: 502,
    FailureCode.INSTANCE_LOST: 502,
    FailureCode.RUN_TIMEOUT: 504,
    FailureCode.EXPIRED: 504,
    FailureCode.CANCELLED: 499,
    FailureCode.START_FAILED: 503,
    FailureCode.PAUSED: 503,
}


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why an invocation ended without a usable answer, or why its last run did."""

    code: FailureCode
    message: str
    log_tail: str | None = None
    """Last lines that the container wrote; None when it wrote nothing or they are not known."""
    exit_code: int | None = None
    """Of an instance that ended under the call; None when it did not, or it is not known."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the function is called with."""

    method: str = "POST"
    path: str | None = None
    """Path in the container of an HTTP call; None for an event call, which goes to the function's event path."""
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    size: int = 0
    """Bytes of the body."""
    blob: str | None = None
    """Name in the blob store of a body too large for the record; None: the body is in the record."""


@dataclass(frozen=True, kw_only=True)
class Response:
    """What the function answered."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    size: int = 0
    blob: str | None = None
    lambda_style: bool = False
    """Its body is Lambda's `{statusCode, headers, body}`, which HTTP clients get unwrapped."""


@dataclass(frozen=True, kw_only=True)
class Opening:
    """How an answer begins that still comes."""

    response: Response
    """Its size is not known yet."""
    length: int | None
    """Bytes that it will have; None: the function did not say."""
    timeline: Mapping[str, float]
    """Milliseconds by stage until it began."""
    cold_start: bool
    address: str
    """Of the workers process: unix:/path or http://host:port."""
    path: str
    """Where its body is read there; holds the right to read it."""


@dataclass(frozen=True, kw_only=True)
class Idempotency:
    """What makes a request sent twice the same one."""

    key: str
    """SHA-256 of whose key it is and the key itself."""
    request: str
    """SHA-256 over method, path, query, content type and body."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """Which job of which batch."""

    batch: str
    index: int
    """From 0, in the order of the lines."""


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A new invocation, before the store has seen it. Durations in milliseconds."""

    function: str
    id: str
    kind: Kind
    request: Request
    body: bytes
    """Empty when the request's `blob` names it."""
    max_age_ms: int
    """Longest time in the queue."""
    timeout_ms: int
    """Longest time of one run."""
    priority: str = "normal"
    delay_ms: int = 0
    attempts: int = 3
    """Runs at most, the first included."""
    retry: Retry | None = None
    """What is worth another run, and when; None: as the function's spec says."""
    callback: str | None = None
    """URL that is told how it ended; None: nobody is."""
    callback_events: tuple[CallbackEvent, ...] = ("completed",)
    """What that URL is told of."""
    callback_payload: Payload = "full"
    destinations: bool = False
    """Whether the function's own endpoints are to be told of the end, if it ends as a job."""
    gateway: str | None = None
    """Where a client waits; None: nobody waits."""
    observer: str | None = None
    """The gateway that is told all that happens to it; None: none is."""
    key: Idempotency | None = None
    retry_of: str | None = None
    """Id of the ended invocation that this one repeats."""
    member: Member | None = None
    """None: it belongs to no batch."""
    trace: TraceContext | None = None
    """What its runs belong to; None: nothing is traced, and its client told nothing."""
    party: str | None = None
    """Whose it is among those who share the function's queue fairly; None: it comes behind all that wait."""
    limits: tuple[tuple[str | None, Limits], ...] = ()
    """What it must keep to: that of a key, by its id, and that of the function (None)."""


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """What became of a submission."""

    id: str
    """Its own, or that of the first submission under the same Idempotency-Key."""
    joined: bool
    """True: the first one stands for both, and nothing was enqueued."""
    ahead: int = 0
    """How many were ready before it."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended, as the worker tells it. A function that answered has a response, one that failed has a
    failure; a failed one that did answer has both."""

    event: Event
    response: Response | None = None
    body: bytes = b""
    failure: Failure | None = None
    timeline: Mapping[str, float] = field(default_factory=dict)
    """Milliseconds by stage: queued, pending, starting, initializing, running."""
    cold_start: bool = False


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How an invocation ended, as its client reads it."""

    state: State
    response: Response | None
    body: bytes
    """The response's body; empty when the response's `blob` names it."""
    failure: Failure | None
    timeline: Mapping[str, float]
    cold_start: bool


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """One invocation as the store has it. Times are milliseconds since 1970 by Redis's clock."""

    function: str
    id: str
    state: State
    kind: Kind
    token: int
    """Fencing token of the current or last run; 0 before the first."""
    deferrals: int
    """Takes that were handed back before the function saw the call."""
    priority: str
    request: Request
    created_at: int
    started_at: int | None
    """Start of the current or last run; None before the first."""
    finished_at: int | None
    max_age_ms: int
    timeout_ms: int
    attempts: int
    """Runs at most."""
    retry: Retry | None = None
    """None: as the function's spec says."""
    instance: str | None
    """Where the current or last run is; None before the first."""
    callback: str | None
    callback_events: tuple[CallbackEvent, ...] = ("completed",)
    callback_payload: Payload = "full"
    response: Response | None
    failure: Failure | None
    """Why it ended, or why the last run failed while another is due."""
    timeline: Mapping[str, float]
    cold_start: bool | None
    """None until a run has ended."""
    retry_of: str | None = None
    """Id of the ended invocation that this one repeats."""
    batch: str | None = None
    """Id of the batch that it belongs to; None: to none."""

    sent_back: bool = False
    """Its last run was sent back to the queue."""
    sent_back_at: int | None = None
    """When a run was last sent back; None: none was."""
    progress: Mapping[str, Any] | None = None
    """The latest that its function told; None: it told nothing."""
    trace: TraceContext | None = None
    """What its runs belong to; None: nothing is traced, and its client told nothing."""

    @property
    def attempt(self) -> int:
        """Runs of the function so far, the current one included."""
        return self.token - self.deferrals


@dataclass(frozen=True, kw_only=True)
class Run:
    """What `take` hands to a worker: an invocation, its body and the right to finish it."""

    invocation: Invocation
    body: bytes
    behind: int = 0
    """How many were ready when it was taken, itself apart."""
