"""Records go into Redis and come back as they were."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from penstock.invocation import Event, Failure, FailureCode, Outcome, Request, Response, State, Submission
from penstock.store import records
from penstock.tracecontext import TraceContext

WORDS = st.text(max_size=20)
COUNTS = st.integers(0, 2**53)
HEADERS = st.lists(st.tuples(WORDS, WORDS), max_size=3).map(tuple)
BLOBS = st.none() | st.text(min_size=1, max_size=20)
EVENT_CALLS = st.builds(Request, headers=HEADERS, query=WORDS, size=COUNTS, blob=BLOBS)
HTTP_CALLS = st.builds(Request, method=WORDS, path=WORDS, headers=HEADERS, query=WORDS, size=COUNTS, blob=BLOBS)
RESPONSES = st.builds(Response, status=st.integers(100, 599), headers=HEADERS, size=COUNTS, blob=BLOBS)
FAILURES = st.builds(Failure, code=st.sampled_from(FailureCode), message=WORDS, log_tail=st.none() | WORDS)


def submission(request: Request, **changes: Any) -> Submission:
    plain: dict[str, Any] = {
        "function": "one",
        "id": "1",
        "kind": "job",
        "request": request,
        "body": b"",
        "max_age_ms": 1,
        "timeout_ms": 600_000,
    }
    return Submission(**plain | changes)


def stored(**fields: bytes) -> list[bytes | None]:
    """The values of a record that has these fields."""
    least: dict[str, bytes] = {"state": b"queued", "terms": b"1 2 3 4", "meta": b'{"timeout":1,"size":0}'}
    return [(least | fields).get(name) for name in records.VIEW_FIELDS]


@given(
    request=EVENT_CALLS | HTTP_CALLS,
    priority=st.sampled_from(["high", "normal", "low"]),
    timeout_ms=COUNTS,
    callback=st.none() | st.text(min_size=1, max_size=20),
    body=st.binary(max_size=20) | st.sampled_from([2048, 2049, 100_000]).map(lambda size: b"\n" * size),
)
def test_what_is_submitted_reads_back(
    request: Request, priority: str, timeout_ms: int, callback: str | None, body: bytes
) -> None:
    sent = submission(request, priority=priority, timeout_ms=timeout_ms, callback=callback, body=body)
    meta, long_body = records.encode_request(sent)

    found = records.decode_invocation("one", "1", stored(meta=meta))

    assert found is not None
    assert found.request == request
    assert (found.priority, found.timeout_ms, found.callback) == (priority, timeout_ms, callback)
    assert records.decode_body(meta, long_body or None) == body
    assert len(meta) < 10_000, "whoever looks at a record reads its meta along"


@given(
    response=st.none() | RESPONSES,
    failure=st.none() | FAILURES,
    timeline=st.dictionaries(WORDS, st.integers(0, 10**9).map(lambda us: us / 1000), max_size=3),
    cold_start=st.booleans(),
    body=st.binary(max_size=20),
)
def test_an_outcome_reads_back_alike_from_a_hint_and_from_a_record(
    response: Response | None,
    failure: Failure | None,
    timeline: dict[str, float],
    cold_start: bool,
    body: bytes,
) -> None:
    outcome = Outcome(
        event=Event.FAIL, response=response, failure=failure, timeline=timeline, cold_start=cold_start
    )
    head = records.encode_outcome(outcome)

    ending = records.decode_ending(b"failed", head, body)
    found = records.decode_invocation("one", "1", stored(state=b"failed", started=b"1", outcome=head))

    assert found is not None
    assert (ending.state, ending.body) == (State.FAILED, body)
    for told in (ending, found):
        assert (told.response, told.failure) == (response, failure)
        assert (told.timeline, told.cold_start) == (timeline, cold_start)


def test_a_header_that_is_not_utf_8_reads_back() -> None:
    # An HTTP server hands out bytes that are not UTF-8 as lone surrogates.
    headers = (("x-name", b"caf\xe9".decode(errors="surrogateescape")),)

    meta, _ = records.encode_request(submission(Request(headers=headers)))
    head = records.encode_outcome(Outcome(event=Event.SUCCEED, response=Response(status=200, headers=headers)))

    found = records.decode_invocation("one", "1", stored(meta=meta, outcome=head))
    assert found is not None
    assert found.response is not None
    assert found.request.headers == found.response.headers == headers


def test_what_is_at_its_default_takes_no_room_in_a_record() -> None:
    assert json.loads(records.encode_request(submission(Request()))[0]) == {"timeout": 600_000, "size": 0}
    assert records.encode_outcome(Outcome(event=Event.SUCCEED)) == b"{}"


def test_times_in_a_timeline_are_kept_to_the_microsecond() -> None:
    head = records.encode_outcome(Outcome(event=Event.SUCCEED, timeline={"running": 1 / 3}))

    assert records.decode_ending(b"succeeded", head, b"").timeline == {"running": 0.333}


def test_whether_it_was_a_cold_start_is_not_known_before_it_has_ended() -> None:
    retried = records.encode_outcome(Outcome(event=Event.RETRY, cold_start=True))

    found = records.decode_invocation("one", "1", stored(outcome=retried))

    assert found is not None
    assert found.cold_start is None


def test_without_a_state_there_is_no_record() -> None:
    assert records.decode_invocation("one", "1", [None] * len(records.VIEW_FIELDS)) is None


def test_the_trace_of_a_submission_reads_back_with_it() -> None:
    trace = TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", 1, "vendor=a b")
    meta, _ = records.encode_request(submission(Request(), trace=trace))
    found = records.decode_invocation("one", "1", stored(meta=meta))
    assert found is not None
    assert found.trace == trace


def test_a_record_that_an_older_release_sent_back_does_not_say_when() -> None:
    older = records.decode_invocation("one", "1", stored(token=b"2", back=b"2"))
    newer = records.decode_invocation("one", "1", stored(token=b"2", back=b"2 1700000000000"))
    taken = records.decode_invocation("one", "1", stored(token=b"3", back=b"2 1700000000000"))
    assert older is not None
    assert newer is not None
    assert taken is not None
    assert (older.sent_back, older.sent_back_at) == (True, None)
    assert (newer.sent_back, newer.sent_back_at) == (True, 1_700_000_000_000)
    assert (taken.sent_back, taken.sent_back_at) == (False, 1_700_000_000_000)
