"""What a function is given and what it answers, between Python values and bytes."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.client.answer import Answer, encode
from penstock.client.options import headers


@pytest.mark.parametrize(
    ("event", "body", "kind"),
    [
        (b"\x00\xff", b"\x00\xff", "application/octet-stream"),
        (bytearray(b"ab"), b"ab", "application/octet-stream"),
        (memoryview(b"ab"), b"ab", "application/octet-stream"),
        ("grün", "grün".encode(), "text/plain; charset=utf-8"),
        ({"a": [1, None]}, b'{"a": [1, null]}', "application/json"),
        ([1, 2], b"[1, 2]", "application/json"),
        (None, b"null", "application/json"),
        (3.5, b"3.5", "application/json"),
    ],
)
def test_an_event_is_sent_by_its_type(event: Any, body: bytes, kind: str) -> None:
    assert encode(event, None) == (body, kind)
    assert encode(event, "image/png") == (body, "image/png")


@pytest.mark.parametrize("event", [float("nan"), {"a": float("inf")}])
def test_what_is_no_json_is_not_sent(event: Any) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode(event, None)


def test_what_json_cannot_express_is_not_sent() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        encode(object(), None)


def answer(content: bytes, kind: str, **more: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in more.items()}
    return Answer(status=200, headers={"Content-Type": kind, **named}, content=content)


@pytest.mark.parametrize(
    ("content", "kind", "value"),
    [
        (b'{"a": 1}', "application/json", {"a": 1}),
        (b"[]", "application/vnd.seen+json; charset=utf-8", []),
        ("grün".encode(), "text/plain", "grün"),
        ("grün".encode("latin-1"), "text/plain; charset=ISO-8859-1", "grün"),
        (b"\xff", "text/plain", "\N{REPLACEMENT CHARACTER}"),
        (b"\x00", "image/png", b"\x00"),
        (b"\x00", "", b"\x00"),
    ],
)
def test_an_answer_has_the_value_of_its_content_type(content: bytes, kind: str, value: Any) -> None:
    assert answer(content, kind).value == value


def test_an_answer_tells_how_it_came_about() -> None:
    said = answer(
        b"[1]",
        "text/plain",
        Penstock_Invocation_Id="i1",
        Penstock_Cold_Start="true",
        Server_Timing="queue;dur=1.5, start;dur=20.0",
    )
    assert (said.invocation_id, said.cold_start) == ("i1", True)
    assert said.timing == {"queue": 1.5, "start": 20.0}
    assert (said.text, said.json()) == ("[1]", [1])
    plain = answer(b"", "text/plain")
    assert (plain.invocation_id, plain.cold_start, plain.timing) == ("", False, {})


def test_options_are_headers() -> None:
    said = headers(
        {
            "priority": "high",
            "max_queue": 90,
            "run_timeout": "5m",
            "attempts": 2,
            "retry": "on=429",
            "delay": 0.25,
            "callback": "https://there/",
            "on_disconnect": "cancel",
            "key": "k",
            "headers": {"traceparent": "00-1"},
        }
    )
    assert said == {
        "Idempotency-Key": "k",
        "Penstock-Priority": "high",
        "Penstock-Max-Queue": "90000ms",
        "Penstock-Timeout": "5m",
        "Penstock-Max-Attempts": "2",
        "Penstock-Retry": "on=429",
        "Penstock-Delay": "250ms",
        "Penstock-Callback-Url": "https://there/",
        "Penstock-On-Disconnect": "cancel",
        "traceparent": "00-1",
    }


def test_each_call_has_a_key_of_its_own() -> None:
    assert len({headers({})["Idempotency-Key"] for _ in range(100)}) == 100
