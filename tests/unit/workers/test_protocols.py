"""Other vendors' contracts, each as what is asked and what an answer means."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.workers.samples import invocation
from workers.protocols import WIRES
from workers.protocols.cog import Cog
from workers.protocols.wire import BadEvent, NeverReady, NoRoom

COG = Cog()


@pytest.mark.parametrize(
    ("protocol", "event", "health"),
    [
        ("fc", ("POST", "/invoke"), None),
        ("http", ("POST", "/"), None),
        ("sagemaker", ("POST", "/invocations"), "/ping"),
    ],
)
def test_where_events_go_and_health_is_asked(protocol: str, event: tuple[str, str], health: str | None) -> None:
    wire = WIRES[protocol]
    assert (wire.event(invocation()), wire.health) == (event, health)
    assert not wire.envelopes
    assert wire.cancel(invocation()) is None


@pytest.mark.parametrize(
    ("protocol", "healthy"),
    [("fc", {200, 204, 302, 399}), ("http", {200, 204, 302, 399}), ("sagemaker", {200})],
)
def test_which_status_is_health(protocol: str, healthy: set[int]) -> None:
    asked = (200, 204, 302, 399, 400, 404, 500, 503)
    assert {status for status in asked if WIRES[protocol].healthy(status, b"")} == healthy


def test_a_prediction_has_the_id_of_its_run() -> None:
    one = invocation(token=3)
    assert COG.event(one) == ("PUT", f"/predictions/{one.id}-3")
    assert COG.cancel(one) == f"/predictions/{one.id}-3/cancel"


@pytest.mark.parametrize(
    ("event", "inputs"),
    [(b'{"prompt": "a cat"}', {"prompt": "a cat"}), (b"{}", {}), (b"", {}), (b" \n", {})],
)
def test_a_cog_event_is_its_inputs(event: bytes, inputs: dict[str, Any]) -> None:
    assert json.loads(COG.wrap(invocation(), event)) == {"input": inputs}


@pytest.mark.parametrize("event", [b"a cat", b"[1]", b'"a cat"', b"null", b"\xff", b"[" * 100_000])
def test_a_cog_event_that_holds_no_inputs_is_none(event: bytes) -> None:
    with pytest.raises(BadEvent, match="takes its inputs as"):
        COG.wrap(invocation(), event)


@pytest.mark.parametrize("output", ["text", None, 0, [1, 2], {"a": None}])
def test_a_cog_output_is_the_answer(output: object) -> None:
    said = COG.unwrap(200, json.dumps({"status": "succeeded", "output": output}).encode())
    assert (said.status, said.content_type, said.error) == (200, "application/json", None)
    assert json.loads(said.body) == output


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"status": "failed", "error": "Prediction failed: Prediction failed: ValueError: no"}, "ValueError: no"),
        ({"status": "failed", "error": "out of memory"}, "out of memory"),
        ({"status": "canceled"}, "the prediction is canceled"),
        ({"status": "starting"}, "the prediction is starting"),
    ],
)
def test_a_prediction_that_did_not_succeed_is_the_handlers_error(answer: dict[str, str], error: str) -> None:
    assert COG.unwrap(200, json.dumps(answer).encode()).error == error


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b"null", b"\xff", b"[" * 100_000])
def test_what_no_cog_server_says_is_malformed(body: bytes) -> None:
    said = COG.unwrap(200, body)
    assert said.error is not None
    assert said.error.startswith("Malformed")


def test_inputs_that_do_not_validate_are_answered_by_the_model() -> None:
    body = b'{"detail": [{"msg": "field required"}]}'
    said = COG.unwrap(422, body)
    assert (said.status, said.body, said.error) == (422, body, None)


def test_a_cog_server_without_a_free_slot_took_no_call() -> None:
    with pytest.raises(NoRoom):
        COG.unwrap(409, b'{"error": "At capacity"}')


@pytest.mark.parametrize(
    ("status", "state", "healthy"),
    [
        (200, "READY", True),
        (200, "BUSY", True),
        (200, "STARTING", False),
        (200, "DEFUNCT", False),
        (503, "READY", False),
    ],
)
def test_a_cog_server_is_healthy_by_its_own_word(status: int, state: str, healthy: bool) -> None:
    setup = {"status": "succeeded", "logs": 'it says "status": "STARTING"' + "x" * 100_000}
    body = json.dumps({"status": state, "setup": setup}).encode()
    assert COG.healthy(status, body) is healthy
    assert COG.healthy(status, body[:1000]) is healthy, "what its setup wrote may be cut"


def test_a_setup_that_failed_is_never_ready() -> None:
    with pytest.raises(NeverReady, match="setup failed"):
        COG.healthy(200, b'{"status": "SETUP_FAILED", "setup": {"status": "failed"}}')


@pytest.mark.parametrize("body", [b"", b"{}", b"ok", b'{"status": "ok"}'])
def test_what_says_nothing_of_health_is_not_healthy(body: bytes) -> None:
    assert not COG.healthy(200, body)
