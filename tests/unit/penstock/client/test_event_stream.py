"""Server-Sent Events as a client reads them, cut anywhere, and the types that they become."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telling import encode
from penstock import events as domain
from penstock.client import events
from penstock.client.sse import Message, Parser
from penstock.invocation import State

STREAM = (
    b": heartbeat\n\n"
    b'id: 0-queued\nevent: queued\ndata: {"a": 1}\n\n'
    b"event: position\r\ndata:one\r\ndata:  two\r\n\r\n"
    b"data: \xc3\xa4\r\r"
    b"event: without data\n\n"
    b"id: 1-1\nretry: 100\nevent: log\ndata\n\n"
    b"event: cut\ndata: never"
)
MESSAGES = [
    Message("0-queued", "queued", '{"a": 1}'),
    Message(None, "position", "one\n two"),
    Message(None, "message", "ä"),
    Message("1-1", "log", ""),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_a_stream_may_be_cut_anywhere(cuts: list[int]) -> None:
    parser, found = Parser(), []
    places = [0, *sorted(cuts), len(STREAM)]
    for start, end in itertools.pairwise(places):
        found += parser.feed(STREAM[start:end])
    assert found == MESSAGES


@given(st.text(), st.one_of(st.none(), st.from_regex(r"[0-9]-[0-9]", fullmatch=True)))
def test_what_the_gateway_writes_is_read_as_it_was(text: str, name: str | None) -> None:
    written = encode(domain.Event(id=name, kind="log", data={"line": text}))
    [message] = Parser().feed(written)
    assert events.typed(message) == events.Log(kind="log", id=name, data={"line": text}, line=text)


def typed(kind: str, data: object, name: str | None = "1-1") -> events.Event:
    return events.typed(Message(name, kind, json.dumps(data)))


def test_events_have_types() -> None:
    progress = typed("progress", {"progress": 0.4, "message": "step"})
    assert isinstance(progress, events.Progress)
    assert (progress.progress, progress.message, progress.id) == (0.4, "step", "1-1")
    text, binary = typed("output", {"text": "grün"}), typed("output", {"base64": "AP8="})
    assert isinstance(text, events.Output)
    assert (text.content, text.text) == ("grün".encode(), "grün")
    assert isinstance(binary, events.Output)
    assert binary.content == b"\x00\xff"
    position = typed("position", {"queue_position": 3, "waiting_reason": "busy"}, None)
    assert isinstance(position, events.Position)
    assert (position.queue_position, position.waiting_reason, position.id) == (3, "busy", None)
    assert isinstance(typed("gap", {"through": "1-7"}, None), events.Gap)


def test_the_end_holds_the_record() -> None:
    began = typed("running", {"state": "running", "attempt": 2, "at": "then"})
    assert isinstance(began, events.StateChanged)
    assert (began.state, began.attempt, began.at, began.ended) == ("running", 2, "then", False)
    ended = typed("failed", {"state": "failed", "attempt": 2, "finished_at": "later", "error": {}})
    assert isinstance(ended, events.StateChanged)
    assert (ended.at, ended.ended, ended.data["error"]) == ("later", True, {})


def test_a_kind_of_tomorrow_is_an_event_without_a_type() -> None:
    assert typed("thought", {"x": 1}) == events.Event(kind="thought", id="1-1", data={"x": 1})


@pytest.mark.parametrize("data", ["<html>", "[]", "1"])
def test_what_is_no_object_is_no_event(data: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|Expecting"):
        events.typed(Message(None, "log", data))


def test_the_states_are_those_of_the_domain() -> None:
    assert set(State) == events.STATES
    assert {state for state in State if state.terminal} == events.ENDS
