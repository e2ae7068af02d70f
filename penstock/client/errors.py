"""What can go wrong for a client: one tree, with a class for what callers tell apart.

    PenstockError
    ├── ApiError                  the gateway refused; `status`, `code`, `detail`, `retryable`, `retry_after`
    │   ├── InvalidRequest              invalid_request, payload_too_large
    │   ├── Unauthorized                unauthorized
    │   ├── Forbidden                   forbidden
    │   ├── NotFound                    function_not_found, invocation_not_found, instance_not_found, …
    │   ├── Expired                     invocation_expired, …: it existed, and is past its retention
    │   ├── Conflict                    idempotency_conflict, already_finished, …
    │   ├── RateLimited                 rate_limited
    │   │   └── QueueFull               queue_full
    │   ├── Unavailable                 paused, no_leader, no_capacity, store_unavailable, …
    │   └── JobFailed                   an invocation ended without a usable answer; `job_id`, `log_tail`
    │       ├── FunctionError           function_error: it raised, exited, or answered 4xx or 5xx (`answer`)
    │       ├── InstanceLost            instance_lost
    │       ├── JobTimedOut             run_timeout: one run took too long
    │       ├── JobExpired              expired: it waited in the queue for too long
    │       ├── JobCancelled            cancelled
    │       └── StartFailed             start_failed: no instance of the function starts
    ├── Unreachable               no gateway answers, or the connection to it was lost
    └── Timeout                   the caller's own `timeout` is over, the job goes on (`job_id`). A TimeoutError

A code that this version does not know becomes the class of its HTTP status, or ApiError.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from penstock.errors import PenstockError

if TYPE_CHECKING:
    from penstock.client.answer import Answer


class ApiError(PenstockError):
    """The gateway refused. The message is its own `detail`."""

    def __init__(self, status: int, problem: Mapping[str, Any], *, retry_after: float | None = None) -> None:
        """`problem`: the members of RFC 9457, as far as there are any."""
        self.detail = str(problem.get("detail") or f"the gateway answered {status}")
        super().__init__(self.detail)
        self.status = status
        self.code = str(problem.get("code") or "unknown")
        self.retryable = problem.get("retryable") is True
        self.retry_after = retry_after
        """Seconds that the gateway asks to wait for; None: it does not say."""
        self.problem = problem


class InvalidRequest(ApiError):
    """The request itself is wrong."""


class Unauthorized(ApiError):
    """The API key is missing or not known."""


class Forbidden(ApiError):
    """This key, or this place, may not do that."""


class NotFound(ApiError):
    """There is no such function, invocation or instance."""


class Expired(ApiError):
    """It existed; its record is past its retention and gone."""


class Conflict(ApiError):
    """It contradicts what is there already: a key that was used for another request, a job that has ended."""


class RateLimited(ApiError):
    """Too much at a time; `retry_after` says when there will be room."""


class QueueFull(RateLimited):
    """As many invocations wait as the function's queue takes."""


class Unavailable(ApiError):
    """Not now: the function is paused, there is no place for it, or a part of the deployment is down."""


class JobFailed(ApiError):
    """An invocation ended without a usable answer."""

    def __init__(
        self, status: int, problem: Mapping[str, Any], *, job_id: str, answer: Answer | None = None
    ) -> None:
        super().__init__(status, problem)
        self.job_id = job_id
        self.log_tail: str | None = problem.get("log_tail")
        """Last lines of the instance's log; None: none are known."""
        self.exit_code: int | None = problem.get("exit_code")
        """Of an instance that ended under the call; None: it did not."""
        self.answer = answer
        """What the function answered if it did, with its own status of 400 or above; None: it did not answer."""


class FunctionError(JobFailed):
    """The function raised or exited, or answered with a status of 400 or above."""


class InstanceLost(JobFailed):
    """The instance went while it worked on the call."""


class JobTimedOut(JobFailed):
    """One run took longer than it may."""


class JobExpired(JobFailed):
    """It waited in the queue longer than it may; it was not run."""


class JobCancelled(JobFailed):
    """Somebody cancelled it."""


class StartFailed(JobFailed):
    """No instance of the function starts; `log_tail` says why."""


class Unreachable(PenstockError):
    """No gateway answers there, or the connection to it was lost."""

    code = "unreachable"


class Timeout(PenstockError, TimeoutError):
    """The answer did not come in the time that the caller gave. The job goes on."""

    code = "timeout"

    def __init__(self, message: str, *, job_id: str | None) -> None:
        super().__init__(message)
        self.job_id = job_id
        """None: the gateway has not even said that it took the call."""


_REFUSALS: Mapping[str, type[ApiError]] = {
    "invalid_request": InvalidRequest,
    "payload_too_large": InvalidRequest,
    "unsupported_media_type": InvalidRequest,
    "unauthorized": Unauthorized,
    "forbidden": Forbidden,
    "idempotency_conflict": Conflict,
    "already_finished": Conflict,
    "invocation_expired": Expired,
    "queue_full": QueueFull,
    "rate_limited": RateLimited,
}
_REFUSALS_BY_STATUS: Mapping[int, type[ApiError]] = {
    400: InvalidRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    408: Unavailable,
    409: Conflict,
    410: Expired,
    413: InvalidRequest,
    415: InvalidRequest,
    429: RateLimited,
    503: Unavailable,
}
_FAILURES: Mapping[str, type[JobFailed]] = {
    "function_error": FunctionError,
    "instance_lost": InstanceLost,
    "run_timeout": JobTimedOut,
    "expired": JobExpired,
    "cancelled": JobCancelled,
    "start_failed": StartFailed,
}


def refusal(status: int, problem: Mapping[str, Any], *, retry_after: float | None = None) -> ApiError:
    """A request that the gateway did not carry out."""
    known = _REFUSALS.get(str(problem.get("code"))) or _REFUSALS_BY_STATUS.get(status, ApiError)
    return known(status, problem, retry_after=retry_after)


def failure(status: int, problem: Mapping[str, Any], *, job_id: str, answer: Answer | None = None) -> JobFailed:
    """An invocation that ended so."""
    known = _FAILURES.get(str(problem.get("code")), JobFailed)
    return known(status, problem, job_id=job_id, answer=answer)
