"""CloudEvents told apart from other requests, and what is missing of one."""

from __future__ import annotations

import json

import pytest
from multidict import CIMultiDict

from gateway import cloudevents
from penstock.errors import InvalidRequest, UnsupportedMedia

EVENT = {"id": "1", "source": "/s", "specversion": "1.0", "type": "t"}


def headers(**changed: str) -> CIMultiDict[str]:
    named = {f"Ce-{name.title()}": value for name, value in {**EVENT, **changed}.items()}
    return CIMultiDict({**named, "Content-Type": "text/plain"})


def test_modes_are_told_apart() -> None:
    assert cloudevents.is_structured("application/CloudEvents+JSON; charset=utf-8")
    assert not cloudevents.is_structured("application/json")
    assert not cloudevents.is_structured("")
    assert cloudevents.is_binary(headers())
    assert not cloudevents.is_binary(CIMultiDict({"Content-Type": "application/json", "ce-foo": "bar"}))


@pytest.mark.parametrize("kind", ["application/cloudevents-batch+json", "application/cloudevents+xml"])
def test_batches_and_other_formats_are_refused(kind: str) -> None:
    with pytest.raises(UnsupportedMedia, match="send"):
        cloudevents.is_structured(kind)


def test_the_same_source_and_id_are_the_same_key_in_either_mode() -> None:
    key = cloudevents.of_headers(headers())
    assert cloudevents.of_body(json.dumps({**EVENT, "data": {"x": 1}}).encode()) == key
    assert cloudevents.of_headers(headers(source="/other")) != key
    assert cloudevents.of_headers(headers(id="2")) != key
    assert not key.isprintable(), "no Idempotency-Key of a client is one"


@pytest.mark.parametrize("name", sorted(EVENT))
def test_what_is_missing_is_named(name: str) -> None:
    short = {key: value for key, value in EVENT.items() if key != name}
    with pytest.raises(InvalidRequest, match=f"no {name}:"):
        cloudevents.of_body(json.dumps(short).encode())
    given = headers()
    del given[f"ce-{name}"]
    with pytest.raises(InvalidRequest, match=f"no ce-{name}:"):
        cloudevents.of_headers(given)


@pytest.mark.parametrize("body", [b"[]", b"x", b'"text"', b"\xff", b"[" * 100_000])
def test_what_is_no_event(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="the CloudEvent"):
        cloudevents.of_body(body)


def test_another_version_is_not_understood() -> None:
    with pytest.raises(InvalidRequest, match=r"specversion '0\.3' is not understood"):
        cloudevents.of_body(json.dumps({**EVENT, "specversion": "0.3"}).encode())
    with pytest.raises(InvalidRequest, match="no id"):
        cloudevents.of_body(json.dumps({**EVENT, "id": 1}).encode())


def test_the_attributes_cross_to_the_function() -> None:
    assert cloudevents.attributes(headers()) == (
        ("ce-id", "1"),
        ("ce-source", "/s"),
        ("ce-specversion", "1.0"),
        ("ce-type", "t"),
    )
