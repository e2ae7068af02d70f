"""The one door between an invocation's record in Redis and the domain.

field      what                                                     written by
state      see penstock.invocation.MOVES                            every transition
token      fencing token of the current or last run; absent: none   take
deferrals  takes handed back; absent: none                          release
kind       'call' while a client is to be answered; absent: a job   submit, detach
terms      place in the queue, creation (ms since 1970), longest
           time in the queue (ms), runs at most                     submit
meta       JSON: what submit says and nothing changes; after a
           newline the request's body, if it is short               submit
body       a longer body, unless a blob                             submit
idem       its idempotency key, which lives as long as the record   submit
gateways   who is told of the end, separated by spaces              submit, watch
callback   what callbacks are owed of, separated by spaces: events, and
           `destinations` if those of the function are; absent:
           none                                                     submit
flies      the zset of its key's calls in flight; absent: those of
           its key are not limited                                  submit
owed:*     ms since 1970 from which the last update of a kind
           (progress, output) was owed                              owe_update
batch      id of the batch that it belongs to; absent: none         submit
started    ms since 1970, of the current or last run                take
instance   where that run is                                        take
epoch      of the leader that took it                               take
back       token of the last run that was sent back to the queue,
           and when (ms since 1970)                                 retry, release, sweep
stream     JSON: how an answer began that still comes, and where    open
observers  gateways that are told all that happens to it            submit, watch
events     place of what a run said last, and bytes up to there     emit
dropped    place of what the cap took last                          emit
progress   JSON: the latest                                         emit
finished   ms since 1970                                            the end
outcome    JSON: response, failure, timeline                        the end, retry
answer     the response's body, unless a blob                       the end

Redis spends some 65 bytes on each field of a record, which is why what never changes is packed into two.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from penstock import tracecontext
from penstock.function import Retry
from penstock.invocation import (
    Ending,
    Failure,
    FailureCode,
    Invocation,
    Opening,
    Outcome,
    Request,
    Response,
    Run,
    State,
    Submission,
)
from penstock.store.known import known

VIEW_FIELDS = (
    "state",
    "token",
    "deferrals",
    "kind",
    "terms",
    "meta",
    "started",
    "instance",
    "finished",
    "outcome",
    "back",
    "progress",
    "batch",
)
"""What makes an Invocation."""

RUN_FIELDS = (*VIEW_FIELDS, "body")
"""What a worker needs to run one."""

_META = VIEW_FIELDS.index("meta")


_SHORT_BODY = 2048
"""Bytes up to which a body lies beside the meta: whoever looks at a record reads it along."""


def encode_request(submission: Submission) -> tuple[bytes, bytes]:
    """The fields `meta` and `body`."""
    meta, body = _encode_meta(submission), submission.body
    return (meta + b"\n" + body, b"") if body and len(body) <= _SHORT_BODY else (meta, body)


def decode_body(meta: bytes, body: bytes | None) -> bytes:
    """The request's body from the fields `meta` and `body`; empty if a blob holds it."""
    return body if body is not None else meta.partition(b"\n")[2]


def _encode_meta(submission: Submission) -> bytes:
    """The constant part of a record; what is at its default is left out, since every byte is kept per job."""
    request = submission.request
    meta: dict[str, Any] = {"timeout": submission.timeout_ms, "size": request.size}
    if request.path is not None:
        meta |= {"method": request.method, "path": request.path}
    if request.query:
        meta["query"] = request.query
    if request.headers:
        meta["headers"] = request.headers
    if request.blob:
        meta["blob"] = request.blob
    if submission.priority != "normal":
        meta["priority"] = submission.priority
    if submission.retry:
        meta["retry"] = submission.retry.model_dump()
    if submission.callback:
        meta["callback"] = submission.callback
        if submission.callback_events != ("completed",):
            meta["events"] = submission.callback_events
        if submission.callback_payload != "full":
            meta["payload"] = submission.callback_payload
    if submission.retry_of:
        meta["retry_of"] = submission.retry_of
    if submission.trace:
        meta["trace"] = submission.trace.dump()
    return _dump(meta)


def encode_wanted(submission: Submission) -> str:
    """The field `callback`; empty: nobody is to be told of anything."""
    words: tuple[str, ...] = submission.callback_events if submission.callback else ()
    return " ".join((*words, "destinations") if submission.destinations else words)


def encode_limits(submission: Submission) -> str:
    """As submit.lua reads them; empty: there are none."""
    return "".join(
        f"{whose or '-'} {limits.interval_ms:.6g} {limits.at_once} {limits.in_flight or 0} "
        for whose, limits in submission.limits
    )


def encode_outcome(outcome: Outcome) -> bytes:
    """The head of an outcome; its body travels beside it."""
    head: dict[str, Any] = {}
    if outcome.response is not None:
        head["response"] = {
            name: value for name, value in vars(outcome.response).items() if value or name == "size"
        }
    if outcome.failure is not None:
        head["failure"] = vars(outcome.failure)
    if outcome.timeline:
        head["timeline"] = {stage: round(ms, 3) for stage, ms in outcome.timeline.items()}
    if outcome.cold_start:
        head["cold"] = True
    return _dump(head)


def encode_opening(opening: Opening) -> bytes:
    """The field `stream`."""
    return _dump(asdict(opening))


def decode_opening(head: bytes) -> Opening:
    """An Opening from the field `stream`, or from a hint."""
    fields = json.loads(head)
    response = fields.pop("response")
    return Opening(response=_response(response), **known(Opening, fields))


def decode_invocation(function: str, invocation_id: str, values: Sequence[bytes | None]) -> Invocation | None:
    """An Invocation from the values of VIEW_FIELDS; None if there is no record."""
    fields = dict(zip(VIEW_FIELDS, values, strict=False))
    if fields["state"] is None:
        return None
    # JSON as we write it has no newline: what follows one is the body.
    meta = json.loads((fields["meta"] or b"{}").partition(b"\n")[0])
    _, created, age, tries = (fields["terms"] or b"0 0 0 1").split()
    head = json.loads(fields["outcome"]) if fields["outcome"] else None
    response, failure, timeline, cold = _decode_head(head or {})
    state = State(_text(fields["state"]))
    back = (fields["back"] or b"").split()
    return Invocation(
        function=function,
        id=invocation_id,
        state=state,
        kind="call" if fields["kind"] == b"call" else "job",
        token=int(fields["token"] or 0),
        deferrals=int(fields["deferrals"] or 0),
        priority=meta.get("priority", "normal"),
        request=Request(
            method=meta.get("method", "POST"),
            path=meta.get("path"),
            query=meta.get("query", ""),
            headers=_pairs(meta.get("headers", ())),
            size=meta["size"],
            blob=meta.get("blob"),
        ),
        created_at=int(created),
        started_at=_int(fields["started"]),
        finished_at=_int(fields["finished"]),
        max_age_ms=int(age),
        timeout_ms=meta["timeout"],
        attempts=int(tries),
        instance=_text(fields["instance"]) or None,
        callback=meta.get("callback"),
        callback_events=tuple(meta.get("events", ("completed",))),
        callback_payload=meta.get("payload", "full"),
        response=response,
        failure=failure,
        timeline=timeline,
        cold_start=cold if state.terminal and fields["started"] is not None else None,
        retry=Retry.model_validate(meta["retry"], extra="ignore") if "retry" in meta else None,
        retry_of=meta.get("retry_of"),
        sent_back=fields["token"] is not None and back[:1] == [fields["token"]],
        sent_back_at=int(back[1]) if len(back) > 1 else None,
        progress=json.loads(fields["progress"]) if fields["progress"] else None,
        batch=_text(fields["batch"]) or None,
        trace=tracecontext.load(meta["trace"]) if "trace" in meta else None,
    )


def decode_run(function: str, reply: Sequence[bytes | None]) -> Run:
    """A Run from take's reply: how many wait behind it, the id, then the values of RUN_FIELDS."""
    behind, name, *values = reply
    invocation = decode_invocation(function, _text(name), values)
    assert invocation is not None, "take hands out records only"
    meta = values[_META] or b""
    return Run(invocation=invocation, body=decode_body(meta, values[-1]), behind=int(behind or 0))


def decode_ending(state: bytes, head: bytes, body: bytes) -> Ending:
    """An Ending from the three parts in which a hint and a record carry it."""
    response, failure, timeline, cold = _decode_head(json.loads(head))
    return Ending(
        state=State(_text(state)),
        response=response,
        body=body,
        failure=failure,
        timeline=timeline,
        cold_start=cold,
    )


def _decode_head(
    head: Mapping[str, Any],
) -> tuple[Response | None, Failure | None, Mapping[str, float], bool]:
    """Response, failure, timeline and whether it was a cold start."""
    response = head.get("response")
    failure = head.get("failure")
    return (
        _response(response) if response else None,
        Failure(**{**known(Failure, failure), "code": FailureCode(failure["code"])}) if failure else None,
        head.get("timeline", {}),
        head.get("cold", False),
    )


def _response(fields: Mapping[str, Any]) -> Response:
    return Response(**{**known(Response, fields), "headers": _pairs(fields.get("headers", ()))})


def _dump(value: Any) -> bytes:
    # ASCII, since a header that is not UTF-8 arrives as lone surrogates, which only an escape carries.
    return json.dumps(value, separators=(",", ":")).encode()


def _pairs(pairs: Sequence[Sequence[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in pairs)


def _int(value: bytes | None) -> int | None:
    return None if value is None else int(value)


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode()
