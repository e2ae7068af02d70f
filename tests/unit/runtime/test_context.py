"""What a handler is told of its call, and how its progress gets to those who wait."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.unit.runtime.conftest import Runtime, StartRuntime

HANDLER = """
    import json, threading, time

    go = threading.Event()

    def handler(event, context):
        match event:
            case b"names":
                return [context.request_id, context.requestId, context.aws_request_id, context.function_name,
                        context.function_version, context.invoked_function_arn, context.memory_limit_in_mb,
                        context.traceparent, context.cancelled, context.function.handler]
            case b"left":
                return [context.remaining(), context.get_remaining_time_in_millis()]
            case b"steps":
                for step in range(1, 4):
                    context.progress(step / 3, f"step {step}/3")
                return "done"
            case b"kinds":
                context.progress(0.5)
                context.progress(message="only text")
                context.progress(1.0000000000000002)
                context.progress(-1)
                context.progress(float("nan"))
                context.progress("half")
                context.progress(True and 1, "ä")
                return "done"
            case b"many":
                began = time.monotonic()
                for step in range(5000):
                    context.progress(step / 5000)
                return str(time.monotonic() - began)
            case b"stream":
                return stream(context)
            case b"wait":
                context.progress(0.5)
                go.wait(20)
                return "done"
            case b"go":
                go.set()

    def stream(context):
        context.progress(0.1)
        yield "a"
        context.progress(0.9)
        yield "b"
"""


@pytest.fixture(scope="module")
def runtime(_processes: StartRuntime) -> Runtime:
    return _processes(HANDLER, concurrency="3", memory="512")


class Listener:
    """Takes progress as the platform does."""

    def __init__(self) -> None:
        self.lines: list[Any] = []
        self.requests = 0
        self.peers: set[Any] = set()
        self.status = 204
        self.hold = threading.Event()
        self.hold.set()
        listener = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                listener.hold.wait(20)
                listener.requests += 1
                listener.peers.add(self.client_address)
                listener.lines += [[self.path, json.loads(line)] for line in body.splitlines()]
                self.send_response(listener.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    listening = Listener()
    yield listening
    listening.close()


def test_it_has_the_names_that_samples_of_other_platforms_use(runtime: Runtime) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert runtime.call("names", x_fc_request_id="id-1", traceparent=trace).json == [
        "id-1",
        "id-1",
        "id-1",
        "tested",
        "$LATEST",
        "arn:aws:lambda:local:000000000000:function:tested",
        512,
        trace,
        False,
        "app:handler",
    ]


def test_what_is_left_of_its_time_counts_down(runtime: Runtime) -> None:
    deadline = str(int((time.time() + 60) * 1000))
    seconds, milliseconds = runtime.call("left", penstock_deadline=deadline).json
    assert 0 < milliseconds / 1000 <= seconds < 60
    seconds, milliseconds = runtime.call("left", penstock_deadline="1000").json
    assert seconds < 0
    assert milliseconds == 0


def test_progress_arrives_before_the_answer_one_event_for_each_call(runtime: Runtime, listener: Listener) -> None:
    assert runtime.call("steps", penstock_progress_url=f"{listener.url}/p/1?token=a").body == b"done"
    assert listener.lines == [
        ["/p/1?token=a", {"progress": pytest.approx(step / 3), "message": f"step {step}/3"}] for step in (1, 2, 3)
    ]


def test_either_part_may_be_missing_and_nonsense_is_dropped(runtime: Runtime, listener: Listener) -> None:
    assert runtime.call("kinds", penstock_progress_url=f"{listener.url}/p").body == b"done"
    assert [line for _, line in listener.lines] == [
        {"progress": 0.5},
        {"message": "only text"},
        {"progress": 1.0},
        {"progress": 0.0},
        {"progress": 1.0, "message": "ä"},
    ]


def test_a_stream_has_its_progress_before_its_end(runtime: Runtime, listener: Listener) -> None:
    assert runtime.call("stream", penstock_progress_url=f"{listener.url}/p").body == b"ab"
    assert [line["progress"] for _, line in listener.lines] == [0.1, 0.9]


def test_progress_leaves_while_the_handler_runs(runtime: Runtime, listener: Listener) -> None:
    call = runtime.start("wait", penstock_progress_url=f"{listener.url}/p")
    deadline = time.monotonic() + 10
    while not listener.lines:
        assert time.monotonic() < deadline
        assert not call.done()
        time.sleep(0.005)
    runtime.call("go")
    assert call.result().body == b"done"


def test_one_connection_carries_it_all(start_runtime: StartRuntime, listener: Listener) -> None:
    runtime = start_runtime(HANDLER)
    for number in range(5):
        runtime.call("steps", penstock_progress_url=f"{listener.url}/{number}")
    assert len(listener.lines) == 15
    assert len(listener.peers) == 1


def test_without_a_url_nothing_is_sent(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(HANDLER)
    assert runtime.call("steps").body == b"done"
    assert runtime.call("kinds").body == b"done"
    assert "progress" not in runtime.log()


def test_a_listener_that_hangs_holds_an_answer_for_a_moment_only(
    start_runtime: StartRuntime, listener: Listener
) -> None:
    runtime = start_runtime(HANDLER)
    listener.hold.clear()
    assert runtime.call("many", penstock_progress_url=f"{listener.url}/p").status == 200
    assert listener.lines == []


def test_of_more_than_fits_the_oldest_are_dropped(start_runtime: StartRuntime, listener: Listener) -> None:
    runtime = start_runtime(HANDLER)
    assert runtime.call("many", penstock_progress_url=f"{listener.url}/p").status == 200
    steps = [round(line["progress"] * 5000) for _, line in listener.lines]
    assert steps[-1] == 4999
    assert steps == sorted(set(steps)), "in order, none twice"


@pytest.mark.parametrize("status", [404, 409, 500])
def test_a_refusal_changes_nothing(start_runtime: StartRuntime, listener: Listener, status: int) -> None:
    listener.status = status
    runtime = start_runtime(HANDLER)
    assert runtime.call("steps", penstock_progress_url=f"{listener.url}/p").body == b"done"


def test_nobody_there_changes_nothing(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(HANDLER)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}/p", "nonsense", "http://127.0.0.1:x/"):
        assert runtime.call("steps", penstock_progress_url=url).body == b"done"
    assert runtime.log().count("progress is not delivered") == 1, "said once"


def test_a_listener_that_comes_back_is_connected_to_again(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(HANDLER)
    for _ in range(2):
        listener = Listener()
        runtime.call("steps", penstock_progress_url=f"{listener.url}/p")
        assert len(listener.lines) == 3
        listener.close()
