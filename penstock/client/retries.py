"""Whether a request is sent again, and when. Sending one again is safe: what would not be the same twice carries
an Idempotency-Key."""

from __future__ import annotations

import random

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from penstock.client.errors import ApiError, JobFailed, Unreachable

_FIRST, _LONGEST = 0.1, 5.0
"""Seconds of the pauses that nobody asked for: they double from one to the next."""
_LONGEST_ASKED = 60.0
"""Seconds of a Retry-After that is waited for; who is asked for more is told so at once."""


def retrying(most: int) -> AsyncRetrying:
    """The tries of one request, `most` after the first: `async for attempt in …: with attempt: …`."""
    return AsyncRetrying(
        retry=retry_if_exception(worth_another), wait=_pause, stop=stop_after_attempt(most + 1), reraise=True
    )


def worth_another(error: BaseException) -> bool:
    if isinstance(error, Unreachable):
        return True
    if not isinstance(error, ApiError) or isinstance(error, JobFailed):
        return False  # an invocation that has ended so stays so
    if error.status in (429, 503):
        return error.retry_after is not None and error.retry_after <= _LONGEST_ASKED
    return error.status in (502, 504)


def _pause(state: RetryCallState) -> float:
    """Seconds. What the gateway asks for, and up to a quarter more, so that not all come back at once."""
    error = state.outcome.exception() if state.outcome is not None else None
    asked = error.retry_after if isinstance(error, ApiError) else None
    if asked is not None:
        return asked * random.uniform(1.0, 1.25)
    return random.uniform(0.0, min(_FIRST * 2 ** (state.attempt_number - 1), _LONGEST))
