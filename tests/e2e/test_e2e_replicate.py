"""The replicate package on a deployment that runs functions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from replicate.client import Client
from replicate.exceptions import ModelError, ReplicateError
from replicate.webhook import Webhooks, WebhookSigningSecret

from tests.e2e.harness import CALLBACK_SECRET, Stack, wait_until
from tests.e2e.receiver import Receiver

MODEL = "me/vendor"


@pytest.fixture
def client(process_stack: Stack) -> Client:
    return Client(api_token="r8_token", base_url=process_stack.url)


def test_replicate_runs_at_once_and_by_polling(client: Client) -> None:
    assert client.run(MODEL, {"n": 1})["event"] == {"n": 1}
    assert client.run(MODEL, {"n": 2}, wait=False)["event"] == {"n": 2}
    slow = client.run(MODEL, {"seconds": 2.5}, wait=1)
    assert slow["event"] == {"seconds": 2.5}, "the hold ran out, and it polled"


def test_replicate_streams(client: Client) -> None:
    told = client.stream(MODEL, input={"pieces": ["once ", "upon ", "a time"], "pause": 0.3})
    events = [(event.event.value, event.data) for event in told]
    assert "".join(data for kind, data in events if kind == "output") == "once upon a time"
    assert len([kind for kind, _ in events if kind == "output"]) > 1
    assert events[-1] == ("done", "{}")
    told = client.stream(MODEL, input={"pieces": [{"n": 1}, {"n": 2}], "pause": 0.3})
    assert [json.loads(event.data) for event in told if event.event.value == "output"] == [{"n": 1}, {"n": 2}]


def test_replicate_polls_what_comes_piece_by_piece(client: Client) -> None:
    pieces = [{"n": n} for n in range(5)]
    prediction = client.models.predictions.create(MODEL, {"pieces": pieces, "pause": 0.5})
    assert list(prediction.output_iterator()) == pieces
    assert prediction.output == pieces


def test_replicate_is_told_what_went_wrong(client: Client) -> None:
    with pytest.raises(ModelError, match="TooSad: no tears left"):
        client.run(MODEL, {"raise": "no tears left"})
    with pytest.raises(ModelError, match="longer than 1 s"):
        client.run("me/brief", {"seconds": 30})
    with pytest.raises(ReplicateError) as raised:
        client.run("me/nobody", {})
    assert raised.value.status == 404


def test_replicate_cancels_and_sees_progress(client: Client) -> None:
    prediction = client.models.predictions.create(MODEL, {"progress": 0.5, "seconds": 60})

    def half() -> bool:
        prediction.reload()
        return prediction.progress is not None and prediction.progress.percentage == 0.5

    wait_until(half, 20, "it tells how far it is", every=0.1)
    assert prediction.status == "processing"
    prediction.cancel()
    assert prediction.status == "canceled"


def test_webhooks_get_what_replicate_would_send(client: Client, receiver: Receiver) -> None:
    prediction = client.models.predictions.create(
        MODEL,
        {"pieces": [{"n": 1}, {"n": 2}], "pause": 0.5},
        webhook=receiver.url,
        webhook_events_filter=["start", "output", "completed"],
    )

    def told() -> list[dict[str, Any]]:
        bodies = [json.loads(delivery.body) for delivery in receiver.deliveries]
        return [body for body in bodies if body["id"] == prediction.id]

    wait_until(lambda: told() and told()[-1]["status"] == "succeeded", 20, "its end is told")
    assert told()[-1]["output"] == [{"n": 1}, {"n": 2}]
    assert told()[-1]["input"] == {"pieces": [{"n": 1}, {"n": 2}], "pause": 0.5}
    assert len(told()) >= 2, "its start and its output, too"
    for delivery in receiver.deliveries:
        secret = WebhookSigningSecret(key=CALLBACK_SECRET)
        Webhooks.validate(headers=delivery.headers, body=delivery.body.decode(), secret=secret, tolerance=60)


def test_replicate_sends_and_gets_megabytes(client: Client) -> None:
    text = "0123456789abcdef" * 2**17
    assert client.run(MODEL, {"text": text})["event"] == {"text": text}
