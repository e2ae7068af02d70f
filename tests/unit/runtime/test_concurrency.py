"""Slots: exactly as many calls at a time as the spec says, and what a caller who leaves means for his."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.unit.runtime.conftest import Runtime, StartRuntime
from tests.unit.workers.waiting import until_now

HANDLER = """
    import asyncio, threading, time
    from pathlib import Path

    folder = Path(__file__).parent
    go = folder / "go"
    now = most = 0
    lock = threading.Lock()

    def told(name):
        with lock, (folder / "told").open("a") as file:
            file.write(name + "\\n")

    def enter(step):
        global now, most
        with lock:
            now += step
            most = max(most, now)

    def sync(event, context):
        if event == b"most":
            return most
        told(f"began {context.request_id}")
        enter(1)
        while not go.exists() and (event == b"deaf" or not context.cancelled):
            time.sleep(0.01)
        enter(-1)
        told(f"ended {context.request_id} {context.cancelled}")

    async def on_loop(event, context):
        if event == b"most":
            return most
        told(f"began {context.request_id}")
        enter(1)
        try:
            while not go.exists():
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            told(f"raised {context.request_id} {context.cancelled}")
            if event != b"deaf":
                raise
            while not go.exists():
                await asyncio.sleep(0.01)
        finally:
            enter(-1)
        told(f"ended {context.request_id} {context.cancelled}")

    async def made_up(event, context):
        raise asyncio.CancelledError("my own")
"""


@contextmanager
def left(runtime: Runtime, event: str, identity: str) -> Iterator[Callable[[], None]]:
    """A call whose client leaves when told to."""
    with socket.create_connection(("127.0.0.1", runtime.port), timeout=10) as client:
        head = f"POST /invoke HTTP/1.1\r\nHost: x\r\nx-fc-request-id: {identity}\r\n"
        client.sendall(f"{head}Content-Length: {len(event)}\r\n\r\n{event}".encode())
        yield client.close


def told(runtime: Runtime) -> list[str]:
    path = runtime.folder / "told"
    return path.read_text().splitlines() if path.exists() else []


def begun(runtime: Runtime, *names: str) -> None:
    until_now(lambda: {f"began {name}" for name in names} <= set(told(runtime)), f"{names} run")


def let_go(runtime: Runtime) -> None:
    (runtime.folder / "go").write_text("")


@pytest.mark.parametrize("kind", ["sync", "on_loop"])
def test_there_are_exactly_as_many_slots_as_the_spec_says(start_runtime: StartRuntime, kind: str) -> None:
    runtime = start_runtime(HANDLER, handler=f"app:{kind}", concurrency="3")
    calls = [runtime.start("listening", x_fc_request_id=str(number)) for number in range(12)]
    until_now(lambda: len(runtime.running()) == 12, "all have come")
    until_now(lambda: len(told(runtime)) == 3, "three run")
    let_go(runtime)
    for call in calls:
        assert call.result().status == 200
    assert runtime.call("most").json == 3


@pytest.mark.parametrize("kind", ["sync", "on_loop"])
def test_a_call_whose_caller_left_before_its_turn_is_not_run(start_runtime: StartRuntime, kind: str) -> None:
    runtime = start_runtime(HANDLER, handler=f"app:{kind}", concurrency="2")
    calls = [runtime.start("listening", x_fc_request_id=name) for name in ("first", "second")]
    begun(runtime, "first", "second")
    with left(runtime, "listening", "gone") as leave:
        until_now(lambda: "gone" in runtime.running(), "it waits")
        calls.append(runtime.start("listening", x_fc_request_id="behind"))
        until_now(lambda: "behind" in runtime.running(), "one more waits behind it")
        leave()
        until_now(lambda: "gone" not in runtime.running(), "it is forgotten")
    let_go(runtime)
    for call in calls:
        assert call.result().status == 200
    assert "began behind" in told(runtime)
    assert "began gone" not in told(runtime)


def test_a_synchronous_handler_sees_that_its_caller_left(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(HANDLER, handler="app:sync", concurrency="2")
    with left(runtime, "listening", "a") as leave:
        begun(runtime, "a")
        leave()
        until_now(lambda: not runtime.running(), "it is over")
    assert told(runtime) == ["began a", "ended a True"]


def test_one_that_does_not_look_goes_on_and_is_still_told_of(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(HANDLER, handler="app:sync", concurrency="2")
    with left(runtime, "deaf", "a") as leave:
        begun(runtime, "a")
        leave()
        with left(runtime, "listening", "b") as leave_too:  # by the end of this one the first is cancelled, too
            begun(runtime, "b")
            leave_too()
            until_now(lambda: "b" not in runtime.running(), "it is over")
    assert runtime.running() == ["a"]
    let_go(runtime)
    until_now(lambda: not runtime.running(), "it is over")
    assert told(runtime)[-1] == "ended a True"


def test_an_asynchronous_handler_is_cancelled(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(HANDLER, handler="app:on_loop", concurrency="1")
    with left(runtime, "listening", "a") as leave:
        begun(runtime, "a")
        leave()
        until_now(lambda: not runtime.running(), "it is over")
    assert told(runtime) == ["began a", "raised a True"]
    assert runtime.call("most").status == 200, "its slot is free"


def test_one_that_goes_on_all_the_same_is_still_told_of(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(HANDLER, handler="app:on_loop", concurrency="2")
    with left(runtime, "deaf", "a") as leave:
        begun(runtime, "a")
        leave()
        until_now(lambda: "raised a True" in told(runtime), "it is cancelled")
    assert runtime.running() == ["a"]
    let_go(runtime)
    until_now(lambda: not runtime.running(), "it is over")
    assert told(runtime)[-1] == "ended a True"


def test_a_cancellation_that_the_handler_made_up_is_its_error(start_runtime: StartRuntime) -> None:
    said = start_runtime(HANDLER, handler="app:made_up").call()
    assert (said.status, said.error, said.json["errorMessage"]) == (500, "CancelledError", "my own")


def test_a_call_stays_in_the_thread_of_its_slot(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(
        """
        import threading
        imported = threading.get_ident()

        def handler(event, context):
            for _ in range(20):
                yield [threading.get_ident(), imported]
        """
    )
    calls = [runtime.start() for _ in range(5)]
    lines = {line for call in calls for line in call.result().body.splitlines()}
    assert len(lines) == 1
    ran, imported = eval(lines.pop())
    assert ran == imported, "one slot, one thread, from the import on"
