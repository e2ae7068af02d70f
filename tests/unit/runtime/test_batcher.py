"""A handler that gets lists: who is in them, and what becomes of each one's answer."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import Future

import pytest

from tests.unit.runtime.conftest import Runtime, Said, StartRuntime
from tests.unit.workers.waiting import until_now

HANDLER = """
    import time
    from pathlib import Path

    folder = Path(__file__).parent
    sizes = []

    class Busy(Exception):
        retryable = True

    def handler(events, contexts):
        sizes.append(len(events))
        if b"hold" in events:
            (folder / "held").write_text("")
            while not (folder / "go").exists():
                time.sleep(0.005)
        if b"all" in events:
            raise ValueError("all of it")
        if b"short" in events:
            return [b""] * (len(events) - 1)
        if b"text" in events:
            return "x" * len(events)
        return [answer(event, context) for event, context in zip(events, contexts, strict=True)]

    def answer(event, context):
        match event:
            case b"bad":
                return KeyError("this one")
            case b"busy":
                return Busy("later")
            case b"no json":
                return {1, 2}
            case b"sizes":
                return sizes
            case b"who":
                return {"id": context.request_id, "cancelled": context.cancelled}
        return event
"""


class Batching:
    """A runtime whose next batch is held together until all of it is there."""

    def __init__(self, start: StartRuntime, **environment: str) -> None:
        self.runtime: Runtime = start(HANDLER, **{"batch_size": "8", "batch_wait": "0.01"} | environment)
        # Calls that come while it is imported may overtake each other.
        assert self.runtime.initialize().status == 200

    def together(self, *events: str) -> list[Said]:
        """Answers to events that come while a batch is held, and so are in the next one."""
        for name in ("go", "held"):
            (self.runtime.folder / name).unlink(missing_ok=True)
        held = self.runtime.start("hold")
        until_now((self.runtime.folder / "held").exists, "a batch is held")
        calls: list[Future[Said]] = []
        for number, event in enumerate(events):
            calls.append(self.runtime.start(event, x_fc_request_id=f"id-{number}"))
            until_now(lambda: len(self.runtime.running()) == 1 + len(calls), "it has come")
        self.go()
        assert held.result().body == b"hold"
        return [call.result() for call in calls]

    def go(self) -> None:
        (self.runtime.folder / "go").write_text("")


@pytest.fixture(scope="module")
def batching(_processes: StartRuntime) -> Batching:
    return Batching(_processes)


EIGHT = ["a", "b", "c", "d", "e", "f", "g", "sizes"]


def test_those_who_come_meanwhile_are_the_next_batch_in_their_order(batching: Batching) -> None:
    answers = batching.together(*EIGHT)
    assert [said.body for said in answers[:7]] == [b"a", b"b", b"c", b"d", b"e", b"f", b"g"]
    assert answers[7].json[-2:] == [1, 8]


def test_each_has_its_own_context(batching: Batching) -> None:
    answers = batching.together(*["who"] * 8)
    assert [said.json["id"] for said in answers] == [f"id-{number}" for number in range(8)]


def test_an_exception_in_the_place_of_an_answer_is_that_calls_error_alone(batching: Batching) -> None:
    answers = batching.together("a", "bad", "busy", "no json", "e", "f", "g", "h")
    assert [said.status for said in answers] == [200, 500, 500, 500, 200, 200, 200, 200]
    assert [said.error for said in answers[1:4]] == ["KeyError", "Busy", "TypeError"]
    assert [said.json["retryable"] for said in answers[1:4]] == [False, True, False]


def test_a_batch_that_raises_fails_for_all_in_it(batching: Batching) -> None:
    answers = batching.together(*["all"] * 8)
    assert {(said.status, said.error) for said in answers} == {(500, "ValueError")}
    assert [said.status for said in batching.together(*EIGHT)] == [200] * 8, "and the next one is run"


@pytest.mark.parametrize(
    ("event", "says"),
    [
        ("short", "got 8 events and returned 7 answers: return one for each"),
        ("text", "got 8 events (batch: ...) and returned str: return a list"),
    ],
)
def test_an_answer_that_does_not_fit_is_told_to_all(batching: Batching, event: str, says: str) -> None:
    answers = batching.together(event, *["a"] * 7)
    assert {(said.status, said.error) for said in answers} == {(500, "BatchError")}
    assert all(says in said.json["errorMessage"] for said in answers)


def test_one_that_waits_is_sent_when_its_wait_is_over(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(HANDLER, batch_size="8", batch_wait="0.05")
    assert runtime.call("sizes").json == [1]


def test_who_left_before_the_batch_is_not_in_it(start_runtime: StartRuntime) -> None:
    batching = Batching(start_runtime, batch_size="2", batch_wait="20")
    runtime = batching.runtime
    held = [runtime.start("hold") for _ in range(2)]
    until_now(lambda: len(runtime.running()) == 2, "they are held")
    with socket.create_connection(("127.0.0.1", runtime.port)) as client:
        client.sendall(b"POST /invoke HTTP/1.1\r\nHost: x\r\nx-fc-request-id: gone\r\nContent-Length: 1\r\n\r\nx")
        until_now(lambda: "gone" in runtime.running(), "it waits")
    until_now(lambda: "gone" not in runtime.running(), "it is forgotten")
    calls = [runtime.start("who", x_fc_request_id="b"), runtime.start("sizes", x_fc_request_id="c")]
    until_now(lambda: {"b", "c"} <= set(runtime.running()), "two more wait")
    batching.go()
    assert [call.result().status for call in held] == [200, 200]
    assert [call.result().json for call in calls] == [{"id": "b", "cancelled": False}, [2, 2]]


def test_who_left_from_a_batch_that_runs_sees_it_end(start_runtime: StartRuntime) -> None:
    batching = Batching(start_runtime, batch_size="2", batch_wait="20")
    runtime = batching.runtime
    stays = runtime.start("hold", x_fc_request_id="stays")
    with socket.create_connection(("127.0.0.1", runtime.port)) as client:
        client.sendall(
            b"POST /invoke HTTP/1.1\r\nHost: x\r\nx-fc-request-id: left\r\nContent-Length: 3\r\n\r\nwho"
        )
        until_now((runtime.folder / "held").exists, "both are in it")
    for _ in range(3):  # each is served after the disconnect
        assert runtime.running() == ["left", "stays"], "it counts as long as the batch runs"
    batching.go()
    assert stays.result().body == b"hold"
    until_now(lambda: not runtime.running(), "it is over")


def test_who_cannot_be_answered_in_time_is_not_run(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(
        """
        import time
        calls = 0
        def handler(events):
            global calls
            calls += len(events)
            time.sleep(0.5)
            return [calls] * len(events)
        """,
        batch_size="4",
        batch_wait="0.001",
    )
    for _ in range(4):
        assert runtime.call().status == 200
    said = runtime.call(penstock_deadline=str(int((time.time() + 0.25) * 1000)))
    assert (said.status, said.error) == (504, None)
    assert said.json["errorType"] == "DeadlineExceeded"
    assert said.json["retryable"] is True
    assert "a batch of 1 takes longer" in said.json["errorMessage"]
    assert runtime.call().json == 5, "it was not run"


def test_asynchronous_handlers_and_predictors_batch_too(start_runtime: StartRuntime) -> None:
    one = start_runtime(
        "async def handler(events, contexts): return [len(events)] * len(events)",
        batch_size="2",
        batch_wait="20",
    )
    calls = [one.start() for _ in range(2)]
    assert [call.result().json for call in calls] == [2, 2]
    two = start_runtime(
        """
        class P:
            def setup(self): self.factor = 10
            def predict(self, batch): return [one["x"] * self.factor for one in batch]
        """,
        handler="app:P",
        batch_size="2",
        batch_wait="20",
    )
    calls = [two.start(json.dumps({"x": x})) for x in (1, 2)]
    assert [call.result().json for call in calls] == [10, 20]


def test_a_made_up_cancellation_does_not_end_the_batching(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(
        """
        import asyncio
        async def handler(events):
            if b"cancel" in events:
                raise asyncio.CancelledError
            return events
        """,
        batch_size="2",
        batch_wait="0.001",
    )
    assert runtime.call("cancel").error == "CancelledError"
    assert runtime.call("x").body == b"x"


def test_an_event_that_is_no_json_is_refused_alone(start_runtime: StartRuntime) -> None:
    runtime = start_runtime("def handler(events): return events", event="json", batch_size="2", batch_wait="0.01")
    assert runtime.call("{").status == 400
    assert runtime.call("[1]").json == [1]


def test_batches_at_a_time_are_the_concurrency(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(
        """
        import threading
        meeting = threading.Barrier(2)
        def handler(events):
            meeting.wait(20)
            return [len(events)] * len(events)
        """,
        batch_size="2",
        batch_wait="20",
        concurrency="2",
    )
    calls = [runtime.start() for _ in range(4)]
    assert [call.result().json for call in calls] == [2] * 4


def test_a_web_application_cannot_batch(start_runtime: StartRuntime) -> None:
    said = start_runtime("def app(environ, start_response): ...", handler="app:app", batch_size="2").initialize()
    assert said.error == "LoadError"
    assert "batch needs a handler of events, and app:app is a WSGI application" in said.json["errorMessage"]


def test_it_ends_when_it_is_told_to(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(HANDLER, batch_size="8", batch_wait="0.01")
    runtime.call("x")
    runtime.process.terminate()
    runtime.process.wait(5)
