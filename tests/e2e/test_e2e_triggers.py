"""What calls a function beside clients: due times, files, messages, CloudEvents, the end of another's jobs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from cloudevents.core.bindings.http import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from tests.e2e import specs
from tests.e2e.harness import Json, Stack, wait_until


@pytest.fixture
def names(process_stack: Stack) -> Iterator[list[str]]:
    """Functions that go with their test: a timer would go on."""
    used: list[str] = []
    yield used
    for name in used:
        process_stack.http.delete(f"{process_stack.url}/v1/functions/{name}", timeout=5)


def triggers(stack: Stack, function: str) -> dict[str, Json]:
    """By name, as the gateway shows them."""
    reply = stack.http.get(f"{stack.url}/v1/functions/{function}/triggers", timeout=5)
    assert reply.status_code == 200, reply.text
    return {one["name"]: one for one in reply.json()["triggers"]}


def jobs(stack: Stack, function: str) -> list[Json]:
    reply = stack.http.get(stack.path(function), params={"limit": 100}, timeout=5)
    found: list[Json] = reply.json()["invocations"]
    return found


def results(stack: Stack, function: str, count: int) -> list[Any]:
    """What so many jobs answered, in any order, once they have ended."""

    def ended() -> list[Json]:
        found = [one for one in jobs(stack, function) if one["finished_at"]]
        return found if len(found) >= count else []

    found = wait_until(ended, 30, f"{count} jobs of {function} have ended")
    assert {one["state"] for one in found} == {"succeeded"}
    return [stack.result(function, one["id"]).json() for one in found]


def test_timers_files_and_messages_call_a_function(process_stack: Stack, names: list[str]) -> None:
    stack = process_stack
    names += ["called", "loaded", "ordered"]
    stack.http.delete(f"{stack.url}/v1/functions/called", timeout=5)
    inbox = stack.folder / "inbox"
    inbox.mkdir()
    (inbox / "before.txt").write_text("was there before")
    deployed = stack.deploy(
        {
            "called": specs.folder(
                "echo",
                triggers=[
                    {"name": "web", "type": "http", "methods": ["POST"]},
                    {"name": "tick", "type": "timer", "schedule": "@every 1s", "payload": "now"},
                ],
            ),
            "loaded": specs.folder(
                "echo",
                triggers=[
                    {"name": "in", "type": "objects", "bucket": "inbox", "suffix": ".txt", "every": "200ms"}
                ],
            ),
            "ordered": specs.folder(
                "echo", triggers=[{"name": "orders", "type": "topic", "topic": "orders", "format": "json"}]
            ),
        }
    )
    assert f"called: {stack.url}/fn/called/\n" in deployed.stdout
    assert "called: trigger tick: timer @every 1s\n" in deployed.stdout
    assert f"loaded: trigger in: objects created in {inbox} *.txt\n" in deployed.stdout

    (inbox / "new.txt").write_text("here I am")
    (inbox / "new.png").write_text("nobody asked for me")
    posted = stack.http.post(f"{stack.url}/v1/topics/orders/messages", data=b"over HTTP", timeout=5)
    assert posted.status_code == 202, posted.text
    written = stack.redis.cli("XADD", "ps:topic:orders", "*", "body", "on the stream")

    [file] = results(stack, "loaded", 1)
    assert file["events"][0]["oss"]["object"]["key"] == "new.txt"
    messages = results(stack, "ordered", 2)
    assert {one["Message"]: one["MessageId"] for one in messages} == {
        "over HTTP": posted.json()["id"],
        "on the stream": written,
    }
    ticks = results(stack, "called", 3)
    times = [one["triggerTime"] for one in ticks]
    assert len(set(times)) == len(times), "each due time once"
    assert {(one["triggerName"], one["payload"]) for one in ticks} == {("tick", "now")}

    refused = stack.http.put(f"{stack.url}/fn/called/", timeout=5)
    assert (refused.status_code, refused.headers["Allow"]) == (405, "POST")
    shown = triggers(stack, "called")
    assert shown["tick"]["fired"] >= 3
    assert shown["tick"]["next_due"] > shown["tick"]["last_due"]
    assert shown["tick"]["last_error"] is None
    assert triggers(stack, "loaded")["in"]["fired"] == 1
    assert stack.record("ordered", triggers(stack, "ordered")["orders"]["last_invocation"])["state"] == "succeeded"


def test_what_one_function_came_to_is_the_event_of_the_next(process_stack: Stack, names: list[str]) -> None:
    stack = process_stack
    names += ["chained", "sorry", "thanks", "ring"]
    stack.deploy(
        {
            "chained": specs.folder(
                "vendor",
                event="json",
                callbacks={"on_success": "function:thanks", "on_failure": "function:sorry"},
            ),
            "thanks": specs.folder("echo"),
            "sorry": specs.folder("echo"),
            "ring": specs.folder("echo", concurrency=4, callbacks={"on_success": "function:ring"}),
        }
    )
    good = stack.submit("chained", {"n": 1})["id"]
    bad = stack.submit("chained", {"raise": "oh no"})["id"]
    stack.submit("ring", b"round")
    [thanks] = results(stack, "thanks", 1)
    assert thanks["requestContext"]["requestId"] == good
    assert json.loads(thanks["requestPayload"]) == {"n": 1}
    assert json.loads(thanks["responsePayload"]) == {"event": {"n": 1}, "request_id": good}
    [sorry] = results(stack, "sorry", 1)
    assert sorry["requestContext"]["requestId"] == bad
    assert sorry["responseContext"]["functionError"]

    def dead() -> list[Json]:
        reply = stack.http.get(f"{stack.url}/v1/functions/ring/deliveries?state=dead", timeout=5)
        found: list[Json] = reply.json()["deliveries"]
        return found

    [last] = wait_until(dead, 30, "the ring ends")
    assert "16 functions led here" in last["attempts"][-1]["error"]
    assert len(jobs(stack, "ring")) == 17, "the first, and 16 that followed"


@pytest.mark.parametrize("convert", [to_binary, to_structured])
def test_cloudevents_of_the_official_sdk(process_stack: Stack, convert: Any) -> None:
    stack = process_stack
    attributes = {"type": "com.example.made", "source": "/shop", "datacontenttype": "application/json"}
    message = convert(CloudEvent(attributes, {"n": 1}), JSONFormat())
    replies = [
        stack.http.post(stack.path("server"), data=message.body, headers=message.headers, timeout=30)
        for _ in range(2)
    ]
    first, again = (one.headers["Penstock-Invocation-Id"] for one in replies)
    assert first == again, "the same event is the same call"
    seen = replies[0].json()
    assert seen["body"].encode() == message.body
    told = {name.lower(): value for name, value in message.headers.items()}
    assert told.items() <= seen["headers"].items()
