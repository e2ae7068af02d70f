"""Each refusal and each failure is an error of its own; what is not known yet is one, too."""

from __future__ import annotations

import pytest

from penstock.client import errors
from penstock.client.errors import failure, refusal
from penstock.client.retries import worth_another
from penstock.errors import Overloaded, PenstockError, RequestError
from penstock.invocation import FailureCode


def leaves(root: type[PenstockError]) -> set[type[PenstockError]]:
    below = root.__subclasses__()
    return {root} if not below else set().union(*(leaves(one) for one in below))


def test_every_code_of_the_gateway_has_a_class_of_its_own() -> None:
    # Dialects have errors of their own, for clients of their own.
    native = {one for one in leaves(RequestError) | leaves(Overloaded) if one.__module__ == "penstock.errors"}
    for one in native:
        error = refusal(one.status, {"code": one.code, "detail": "why"})
        assert type(error) is not errors.ApiError, f"{one.code} is not told apart"
        assert (error.status, error.code, str(error)) == (one.status, one.code, "why")


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "function_not_found", errors.NotFound),
        (404, "instance_not_found", errors.NotFound),
        (410, "invocation_expired", errors.Expired),
        (429, "queue_full", errors.QueueFull),
        (429, "rate_limited", errors.RateLimited),
        (401, "unauthorized", errors.Unauthorized),
        (403, "forbidden", errors.Forbidden),
        (409, "already_finished", errors.Conflict),
        (503, "no_leader", errors.Unavailable),
        (418, "teapot", errors.ApiError),
        (429, "of_tomorrow", errors.RateLimited),
        (500, "internal_error", errors.ApiError),
    ],
)
def test_a_refusal_is_told_by_its_code_and_one_of_tomorrow_by_its_status(
    status: int, code: str, kind: type[errors.ApiError]
) -> None:
    assert type(refusal(status, {"code": code, "detail": "d"})) is kind


def test_an_error_that_is_no_problem_is_told_by_its_status() -> None:
    error = refusal(502, {})
    assert (str(error), error.code, error.retryable) == ("the gateway answered 502", "unknown", False)


@pytest.mark.parametrize("code", list(FailureCode))
def test_every_failure_says_which_job_and_its_last_lines(code: FailureCode) -> None:
    problem = {"code": code, "detail": "why", "retryable": code.retryable, "log_tail": "last", "exit_code": 3}
    error = failure(code.status, problem, job_id="i1")
    assert (error.code, error.job_id, error.log_tail, error.exit_code) == (code, "i1", "last", 3)
    assert error.retryable is code.retryable
    assert (type(error) is errors.JobFailed) == (code is FailureCode.PAUSED)


def test_a_timeout_is_also_pythons() -> None:
    error = errors.Timeout("late", job_id="i1")
    assert isinstance(error, TimeoutError)
    assert isinstance(error, PenstockError)


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (errors.Unreachable("gone"), True),
        (refusal(429, {"code": "queue_full"}, retry_after=1.0), True),
        (refusal(503, {"code": "store_unavailable"}, retry_after=60.0), True),
        (refusal(503, {"code": "paused"}, retry_after=61.0), False),
        (refusal(429, {"code": "queue_full"}), False),
        (refusal(503, {}), False),
        (refusal(502, {}), True),
        (refusal(504, {}), True),
        (refusal(500, {}), False),
        (refusal(404, {}), False),
        (refusal(409, {"retryable": True}), False),
        (failure(502, {"code": "function_error"}, job_id="i"), False),
        (failure(503, {"code": "start_failed"}, job_id="i"), False),
        (errors.Timeout("late", job_id=None), False),
        (ValueError(), False),
    ],
)
def test_what_is_worth_another_try(error: Exception, again: bool) -> None:
    assert worth_another(error) is again
