"""What becomes of an invocation after its run: one decision, from what the channel brought back. Pure.

The caller acts on it; nothing here knows a queue or a socket.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from penstock.function import Retry
from penstock.headers import retry_after
from penstock.invocation import Event, Failure, FailureCode, Invocation, Outcome, Response
from workers.answer import Answer, Busy, ChannelError, Lost, NotSent


@dataclass(frozen=True)
class Finish:
    outcome: Outcome


@dataclass(frozen=True)
class TryAgain:
    """Another attempt after a pause."""

    outcome: Outcome
    delay_ms: int


@dataclass(frozen=True)
class HandBack:
    """The function never saw it: no attempt is spent."""

    room: bool = True
    """False: its instance had no room for it, and may have some a little later."""


_RAISED = 500
"""What a spec lists in `retry.on` to have a handler that raised run again."""

Verdict = Finish | TryAgain | HandBack


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What is known about a run beside its answer."""

    timeline: Mapping[str, float]
    cold_start: bool
    now_ms: int
    """When it ended, in milliseconds since 1970."""
    log_tail: str | None = None
    exit_code: int | None = None
    """Of the instance, if it ended under the call."""


def of_answer(invocation: Invocation, answer: Answer, retry: Retry, facts: RunFacts) -> Verdict:
    """The function answered."""
    response = answer.response
    event = invocation.request.path is None
    if answer.error is not None:
        failure = Failure(code=FailureCode.FUNCTION_ERROR, message=answer.error, log_tail=facts.log_tail)
        outcome, listed = _outcome(Event.FAIL, facts, failure=failure), answer.retryable or _RAISED in retry.on
    elif event and (response.status >= 400 or answer.marked_failed):
        # An event call that answers 4xx or 5xx has failed; what it said is kept and passed on.
        message = f"the function answered {response.status}"
        if answer.marked_failed:
            message += " and marked it as failed (x-fc-status: 404)"
        failure = Failure(code=FailureCode.FUNCTION_ERROR, message=message)
        outcome, listed = _outcome(Event.FAIL, facts, answer=answer, failure=failure), response.status in retry.on
    else:
        return Finish(_outcome(Event.SUCCEED, facts, answer=answer))
    if listed and _may_retry(invocation, retry):
        at_least = retry_after(response.headers, facts.now_ms)
        return TryAgain(outcome, _backoff_ms(invocation.attempt, retry, at_least))
    return Finish(outcome)


def is_final(invocation: Invocation, response: Response, retry: Retry) -> bool:
    """True if an answer that begins like this leads to no other attempt, so that a client may have it."""
    failed = invocation.request.path is None and response.status >= 400
    return not (failed and response.status in retry.on and _may_retry(invocation, retry))


def of_error(invocation: Invocation, error: ChannelError, retry: Retry, facts: RunFacts) -> Verdict:
    """There is no answer, and no time limit was the reason."""
    if isinstance(error, NotSent | Busy):
        return HandBack(room=isinstance(error, NotSent))
    lost = isinstance(error, Lost)
    code = FailureCode.INSTANCE_LOST if lost else FailureCode.FUNCTION_ERROR
    outcome = _outcome(
        Event.FAIL,
        facts,
        failure=Failure(code=code, message=str(error), log_tail=facts.log_tail, exit_code=facts.exit_code),
    )
    if lost and _may_retry(invocation, retry):
        return TryAgain(outcome, _backoff_ms(invocation.attempt, retry, None))
    return Finish(outcome)


def of_timeout(invocation: Invocation, facts: RunFacts) -> Verdict:
    """The run took longer than the function's timeout."""
    message = f"the run took longer than {invocation.timeout_ms / 1000:g} s, the function's timeout"
    failure = Failure(code=FailureCode.RUN_TIMEOUT, message=message, log_tail=facts.log_tail)
    return Finish(_outcome(Event.TIME_OUT, facts, failure=failure))


def _outcome(
    event: Event, facts: RunFacts, *, answer: Answer | None = None, failure: Failure | None = None
) -> Outcome:
    return Outcome(
        event=event,
        response=answer.response if answer else None,
        body=answer.body if answer else b"",
        failure=failure,
        timeline=facts.timeline,
        cold_start=facts.cold_start,
    )


def _may_retry(invocation: Invocation, retry: Retry) -> bool:
    """A held call is not run a second time once bytes of it were sent, unless the spec says so."""
    return invocation.attempt < invocation.attempts and (invocation.kind == "job" or retry.held)


def _backoff_ms(attempt: int, retry: Retry, at_least: float | None) -> int:
    """Exponential with full jitter, so that what failed together does not come back together."""
    ceiling = min(retry.backoff * 2.0 ** (attempt - 1), retry.max_backoff)
    return int(1000 * max(random.uniform(0, ceiling), at_least or 0.0))
