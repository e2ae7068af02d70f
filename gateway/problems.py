"""Errors as clients get them: RFC 9457 problem+json with `code`, `detail` and `retryable`."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeAlias

from aiohttp import web

from penstock.errors import Overloaded, PenstockError, Unauthorized
from penstock.invocation import Failure, FailureCode

Shape: TypeAlias = Callable[..., web.Response]
"""How errors look: `problem` below, or a dialect's own with the same arguments."""


def problem(
    status: int, code: str, detail: str, *, retryable: bool = False, retry_after: int | None = None, **more: Any
) -> web.Response:
    """`more` are further members; those that are None are left out."""
    body = {
        "type": "about:blank",
        "title": _title(status),
        "status": status,
        "code": code,
        "detail": detail,
        "retryable": retryable,
        **{name: value for name, value in more.items() if value is not None},
    }
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return web.Response(
        status=status, text=json.dumps(body) + "\n", content_type="application/problem+json", headers=headers
    )


def of_error(error: PenstockError, shape: Shape = problem) -> web.Response:
    """An error of our own tree."""
    after = error.retry_after if isinstance(error, Overloaded) else None
    response = shape(error.status, error.code, str(error), retryable=error.retryable, retry_after=after)
    if isinstance(error, Unauthorized):
        response.headers["WWW-Authenticate"] = 'Bearer realm="penstock"'
    return response


def of_failure(failure: Failure, invocation_id: str) -> web.Response:
    """An invocation that ended without an answer of its function."""
    after = 5 if failure.code.status == 503 else None
    tail = failure.log_tail if failure.code is FailureCode.START_FAILED else None
    return problem(
        failure.code.status,
        failure.code,
        failure.message,
        retryable=failure.code.retryable,
        retry_after=after,
        invocation=invocation_id,
        log_tail=tail,
    )


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Client Closed Request"  # 499, which has no phrase of its own
