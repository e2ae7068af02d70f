"""What a function put out, as other vendors' APIs carry it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.events import Place, Stored
from penstock.invocation import Response
from penstock.vendors import output

LINES = "application/x-ndjson"


def said(*texts: str, kind: Any = "output") -> list[Stored]:
    return [
        Stored(token=1, number=number, kind=kind, data=json.dumps({"text": text}))
        for number, text in enumerate(texts, 1)
    ]


@pytest.mark.parametrize(
    ("kind", "body", "whole"),
    [
        ("application/json", b'{"a": 1}', {"a": 1}),
        ("text/plain; charset=utf-8", b"a\nb", "a\nb"),
        (LINES, b'{"a": 1}\n\n"b"\nnone\n', [{"a": 1}, "b", "none"]),
        (f"{LINES}; charset=utf-8", b"", []),
        (LINES, b'"\xe2\x80\xa8"\n', ["\u2028"]),
        ("image/png", b"\xff", {"content_type": "image/png", "base64": "/w=="}),
    ],
)
def test_an_answer_as_a_whole(kind: str, body: bytes, whole: Any) -> None:
    response = Response(status=200, headers=(("content-type", kind),), size=len(body))
    assert output.whole(response, body) == whole


def test_text_comes_in_the_pieces_in_which_it_was_stored() -> None:
    assert output.pieces("text/plain", said("a ", "b\n"), ended=False) == (["a ", "b\n"], Place(1, 2))
    assert output.pieces("", [], ended=False) == ([], None)
    assert output.pieces("text/plain", said("hm", kind="log"), ended=True) == ([], None)


def test_a_line_that_is_not_whole_waits_for_its_rest() -> None:
    begun = said("1\n2\n", '{"a"', ": 3}\n", '"fo')
    assert output.pieces(LINES, begun, ended=False) == ([1, 2, {"a": 3}], Place(1, 3))
    assert output.pieces(LINES, begun[3:] + said('ur"\n'), ended=False) == (["four"], Place(1, 1))
    assert output.pieces(LINES, begun, ended=True) == ([1, 2, {"a": 3}, '"fo'], Place(1, 4))
    assert output.pieces(LINES, begun[3:], ended=False) == ([], None)


def test_what_is_no_text_is_told_as_it_was_stored() -> None:
    stored = [Stored(token=1, number=1, kind="output", data='{"base64": "AA=="}')]
    assert output.pieces("image/png", stored, ended=False) == ([{"base64": "AA=="}], Place(1, 1))


def test_logs_are_lines() -> None:
    stored = [
        Stored(token=1, number=n, kind="log", data=json.dumps({"line": line})) for n, line in enumerate("ab")
    ]
    assert output.logs(stored + said("x")) == "a\nb\n"
