"""Callbacks: signed as Standard Webhooks asks, one for each end, at once, again if the receiver could not."""

from __future__ import annotations

import base64
from datetime import datetime

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.e2e.harness import CALLBACK_SECRET, Stack, wait_until
from tests.e2e.receiver import Delivery, Receiver


def test_one_signed_post_within_a_second_of_the_end(stack: Stack, receiver: Receiver) -> None:
    record = stack.submit(
        "jobs", {"n": 1, "seconds": 0.2}, headers={"Penstock-Callback-Url": f"{receiver.url}/hook"}
    )
    assert record["callback"] == f"{receiver.url}/hook"
    wait_until(lambda: receiver.of(record["id"]), 15, "the callback comes")
    delivery = receiver.of(record["id"])[0]
    ended = stack.record("jobs", record["id"])
    finished = datetime.fromisoformat(ended["finished_at"]).timestamp()
    assert delivery.at - finished < 1
    assert delivery.path == "/hook"
    assert delivery.headers["content-type"] == "application/json"
    assert delivery.headers["webhook-id"] == f"msg_{record['id']}"

    message = Webhook(CALLBACK_SECRET).verify(delivery.body, delivery.headers)
    assert message["type"] == "invocation.succeeded"
    assert abs(datetime.fromisoformat(message["timestamp"]).timestamp() - delivery.at) < 1
    data = message["data"]
    assert (data["id"], data["state"], data["function"]) == (record["id"], "succeeded", "jobs")
    assert data["result"]["n"] == 1
    assert data["result"] == stack.result("jobs", record["id"]).json()
    with pytest.raises(WebhookVerificationError):
        Webhook(CALLBACK_SECRET).verify(delivery.body.replace(b"succeeded", b"forgotten"), delivery.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + base64.b64encode(b"another secret").decode()).verify(delivery.body, delivery.headers)

    nothing_owed(stack)
    assert len(receiver.of(record["id"])) == 1


def test_each_kind_of_end_is_told_once(process_stack: Stack, receiver: Receiver) -> None:
    stack, hook = process_stack, {"Penstock-Callback-Url": receiver.url}
    succeeded = [stack.submit("echo", b"\x00\xff%d" % n, headers=hook)["id"] for n in range(10)]
    failed = stack.submit("raises", b"sad", headers=hook)["id"]
    timed_out = stack.submit("brief", {"seconds": 20}, headers=hook)["id"]
    cancelled = stack.submit("brief", {"seconds": 0}, headers=hook)["id"]
    assert stack.http.delete(stack.path("brief", cancelled), timeout=5).status_code == 200
    held = stack.call("echo", b"held", headers=hook).headers["Penstock-Invocation-Id"]

    expected = dict.fromkeys(succeeded, "succeeded")
    expected |= {failed: "failed", timed_out: "timed_out", cancelled: "cancelled", held: "succeeded"}
    wait_until(lambda: len(receiver.deliveries) >= len(expected), 20, "all callbacks come")
    nothing_owed(stack)
    told = [(one.data["id"], one.data["state"]) for one in receiver.deliveries]
    assert sorted(told) == sorted(expected.items()), "each once"
    for one in receiver.deliveries:
        assert Webhook(CALLBACK_SECRET).verify(one.body, one.headers)["type"] == f"invocation.{one.data['state']}"
    binary = receiver.of(succeeded[3])[0].data["result"]
    assert binary == {
        "content_type": "application/octet-stream",
        "base64": base64.b64encode(b"\x00\xff3").decode(),
    }
    error = receiver.of(failed)[0].data["error"]
    assert error["code"] == "function_error"
    assert error["message"].startswith("TooSad: ")


def test_a_receiver_that_fails_is_asked_again_with_the_same_id(process_stack: Stack, receiver: Receiver) -> None:
    stack = process_stack
    receiver.statuses = [500]
    record = stack.submit("echo", b"again", headers={"Penstock-Callback-Url": receiver.url})
    wait_until(lambda: len(receiver.of(record["id"])) == 2, 12, "the second try")
    first, second = receiver.of(record["id"])
    assert 4.9 < second.at - first.at < 8
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    for delivery in (first, second):
        Webhook(CALLBACK_SECRET).verify(delivery.body, delivery.headers)
    assert without_timestamp(first) == without_timestamp(second)
    nothing_owed(stack)
    assert len(receiver.of(record["id"])) == 2
    assert stack.result("echo", record["id"]).content == b"again"


def test_a_receiver_that_refuses_is_not_asked_again(process_stack: Stack, receiver: Receiver) -> None:
    stack = process_stack
    receiver.statuses = [404]
    record = stack.submit("echo", b"no", headers={"Penstock-Callback-Url": receiver.url})
    wait_until(lambda: receiver.of(record["id"]), 10, "the only try")
    nothing_owed(stack)
    assert len(receiver.of(record["id"])) == 1
    assert stack.record("echo", record["id"])["state"] == "succeeded"


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http://", "nonsense", "http://127.0.0.1:99999/"])
def test_what_is_no_callback_url_is_refused(process_stack: Stack, url: str) -> None:
    reply = process_stack.call("echo", b"", headers={"Penstock-Callback-Url": url, "Prefer": "respond-async"})
    assert (reply.status_code, reply.json()["code"]) == (400, "invalid_request")


def nothing_owed(stack: Stack) -> None:
    """Each callback is settled: none will be sent again."""
    sets = ("ps:outbox", "ps:deliveries:lanes")
    wait_until(lambda: {stack.redis.cli("ZCARD", key) for key in sets} == {"0"}, 10, "no callback is owed")


def without_timestamp(delivery: Delivery) -> dict[str, object]:
    return delivery.data
