"""Generators: each thing they yield leaves at once; what happens when one raises or nobody listens any more."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator

import pytest

from tests.unit.runtime.conftest import Runtime, StartRuntime
from tests.unit.workers.waiting import until_now

HANDLER = """
    import asyncio, json, threading

    closed = []
    gate = threading.Event()

    def yields(event, context):
        for item in eval(event):
            yield item

    async def yields_async(event, context):
        for item in eval(event):
            yield item
            await asyncio.sleep(0)

    def returns_iterator(event, context):
        return iter(eval(event))
"""


@pytest.fixture(scope="module", params=["yields", "yields_async", "returns_iterator"])
def stream(_processes: StartRuntime, request: pytest.FixtureRequest) -> Runtime:
    return _processes(HANDLER, handler=f"app:{request.param}")


@pytest.mark.parametrize(
    ("items", "kind", "body"),
    [
        ("['a', 'bc', 'ä']", "text/plain; charset=utf-8", "abcä".encode()),
        ("[b'a', bytearray(b'b'), b'']", "application/octet-stream", b"ab"),
        ("['a', {'b': 1}]", "text/plain; charset=utf-8", b'a{"b": 1}\n'),
        ("[{'a': 1}, 2, 'x']", "application/x-ndjson", b'{"a": 1}\n2\n"x"\n'),
        ("['data: 1\\n\\n', 'data: 2\\n\\n']", "text/event-stream", b"data: 1\n\ndata: 2\n\n"),
        ("['event: token\\ndata: 1\\n\\n']", "text/event-stream", b"event: token\ndata: 1\n\n"),
        ("[]", "application/octet-stream", b""),
        ("['']", "text/plain; charset=utf-8", b""),
    ],
)
def test_what_is_yielded_is_sent_as_it_is_returned(stream: Runtime, items: str, kind: str, body: bytes) -> None:
    said = stream.call(items)
    assert (said.status, said.headers["content-type"], said.body) == (200, kind, body)


def test_an_error_before_the_first_item_is_an_error_like_any_other(stream: Runtime) -> None:
    said = stream.call("[1 / 0]")
    assert (said.status, said.error) == (500, "ZeroDivisionError")


def test_a_first_item_that_is_no_json_is_an_error_too(stream: Runtime) -> None:
    said = stream.call("[{1, 2}]")
    assert (said.status, said.error) == (500, "TypeError")


STEPS = """
    import asyncio, contextlib, threading

    go = threading.Event()
    log = []

    def handler(event, context):
        match event:
            case b"go": go.set(); return b""
            case b"log": return json_text()
            case b"sync": return steps(context)
            case b"async": return async_steps(context)

    def json_text():
        import json
        return json.dumps(log)

    def steps(context):
        thread = threading.get_ident()
        try:
            yield "first"
            go.wait(20)
            go.clear()
            yield "second"
            if not context.cancelled:
                raise RuntimeError("no third")
            yield "third"
        finally:
            log.append(["closed", context.cancelled, thread == threading.get_ident()])

    async def async_steps(context):
        try:
            yield "first"
            while not go.is_set():
                await asyncio.sleep(0.01)
            go.clear()
            yield "second"
            raise RuntimeError("no third")
        except asyncio.CancelledError:
            log.append(["cancelled", context.cancelled])
            raise
"""


@pytest.fixture
def steps(start_runtime: StartRuntime) -> Iterator[Runtime]:
    runtime = start_runtime(STEPS, concurrency="3")
    yield runtime
    runtime.end()


def opened(runtime: Runtime, event: str) -> tuple[socket.socket, http.client.HTTPResponse]:
    connection = socket.create_connection(("127.0.0.1", runtime.port), timeout=10)
    text = f"POST /invoke HTTP/1.1\r\nHost: x\r\nx-fc-request-id: s\r\nContent-Length: {len(event)}\r\n\r\n{event}"
    connection.sendall(text.encode())
    response = http.client.HTTPResponse(connection)
    response.begin()
    return connection, response


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_each_item_leaves_at_once(steps: Runtime, kind: str) -> None:
    connection, response = opened(steps, kind)
    with connection:
        assert response.getheader("transfer-encoding") == "chunked"
        assert response.read1(100) == b"first", "although the second is not there yet"
        assert steps.running() == ["s"]
        steps.call("go")
        assert response.read1(100) == b"second"


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_an_error_in_the_middle_breaks_the_answer_off_and_is_told(steps: Runtime, kind: str) -> None:
    connection, response = opened(steps, kind)
    with connection, pytest.raises(http.client.IncompleteRead):
        assert response.read1(100) == b"first"
        steps.call("go")
        response.read()
    status = steps.ask("GET", "/.penstock/status").json
    assert status["running"] == []
    assert status["broken_off"]["s"]["errorType"] == "RuntimeError"
    assert status["broken_off"]["s"]["errorMessage"] == "no third"
    assert "no third" in steps.log()


def test_a_generator_whose_listener_left_is_closed_in_its_own_thread(steps: Runtime) -> None:
    connection, response = opened(steps, "sync")
    assert response.read1(100) == b"first"
    response.close()
    connection.close()
    assert steps.running() == ["s"], "it does not look at its flag, so it still counts"
    until_now(lambda: steps.call("go") and not steps.running(), "it is over")
    assert json.loads(steps.call("log").body) == [["closed", True, True]]


def test_an_asynchronous_one_is_cancelled(steps: Runtime) -> None:
    connection, response = opened(steps, "async")
    assert response.read1(100) == b"first"
    response.close()
    connection.close()
    until_now(lambda: not steps.running(), "it is over, and nobody set it going")
    assert json.loads(steps.call("log").body) == [["cancelled", True]]


def test_a_generator_is_not_ahead_of_a_slow_reader(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(
        """
        made = 0
        def handler(event, context):
            if event == b"made":
                return made
            return numbers()

        def numbers():
            global made
            for made in range(1, 2001):
                yield b"x" * 100_000
        """,
        concurrency="2",
    )
    connection, response = opened(runtime, "")
    with connection:
        assert response.read(100_000) == b"x" * 100_000
        first = until_now(lambda: runtime.call("made").json, "some are made")
        steady = runtime.call("made").json
        while steady != first:  # until the buffers of both sockets are full
            first, steady = steady, runtime.call("made").json
        assert steady < 1000
        assert len(response.read()) == 1999 * 100_000
