"""`workers: process`: slots that can be killed, crash, and come back."""

from __future__ import annotations

import os
import signal
import socket
from typing import Any

import psutil
import pytest

from tests.unit.runtime.conftest import Runtime, StartRuntime
from tests.unit.workers.waiting import until_now

HANDLER = """
    import ctypes, os, resource, signal, sys, threading, time
    from pathlib import Path

    folder = Path(__file__).parent

    def initialize(context):
        (folder / f"initialized-{os.getpid()}").write_text(context.function.name)
        if (folder / "broken").exists():
            raise OSError("no model")

    def pre_stop(context):
        (folder / f"stopped-{os.getpid()}").write_text("")

    def handler(event, context):
        match event.decode().split(" ", 1):
            case ["pid"]: return os.getpid()
            case ["context"]: return [context.request_id, context.attempt, context.function.name]
            case ["eval", text]: return eval(text)
            case ["exec", text]: exec(text)
            case ["wait"]:
                (folder / f"waits-{os.getpid()}").write_text("")
                while not (folder / "go").exists():
                    time.sleep(0.005)
                return os.getpid()
            case ["stream", text]: return stream(text)
            case ["size", text]: return b"x" * int(text)

    def stream(text):
        yield "first "
        exec(text)
        yield "last"
"""


@pytest.fixture(scope="module")
def plain(_processes: StartRuntime) -> Runtime:
    return _processes(HANDLER, workers="process", concurrency="1")


def children(runtime: Runtime) -> set[int]:
    """Those that hold its slots, which its fork server made."""
    (server,) = psutil.Process(runtime.process.pid).children()
    return {child.pid for child in server.children()}


def files(runtime: Runtime, kind: str) -> set[int]:
    return {int(path.name.split("-")[1]) for path in runtime.folder.glob(f"{kind}-*")}


def test_each_slot_is_a_process_and_calls_run_at_once(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(HANDLER, workers="process", concurrency="3")
    assert runtime.initialize().status == 200
    assert files(runtime, "initialized") == children(runtime)
    assert len(children(runtime)) == 3
    calls = [runtime.start("wait", x_fc_request_id=str(number)) for number in range(3)]
    until_now(lambda: files(runtime, "waits") == children(runtime), "all three run at once")
    assert runtime.running() == ["0", "1", "2"]
    (runtime.folder / "go").write_text("")
    assert {call.result().json for call in calls} == children(runtime)


def test_a_call_is_as_in_a_thread(plain: Runtime) -> None:
    said = plain.call("context", x_fc_request_id="id-1", penstock_attempt="2")
    assert said.json == ["id-1", 2, "tested"]
    assert plain.call("eval 'text'").headers["content-type"] == "text/plain; charset=utf-8"
    said = plain.call("eval 1 / 0")
    assert (said.status, said.error) == (500, "ZeroDivisionError")
    assert "runtime/" not in "".join(said.json["stackTrace"])
    assert plain.call("stream pass").body == b"first last"


@pytest.mark.parametrize("size", [0, 1, 5_000_000])
def test_answers_and_events_of_any_size(plain: Runtime, size: int) -> None:
    assert plain.call(f"size {size}").body == b"x" * size
    assert plain.call(b"eval " + b" " * size + b"7").json == 7


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("os._exit(3)", "ended with exit code 3 in the middle of the call"),
        ("os._exit(0)", "ended with exit code 0 in the middle of the call"),
        ("ctypes.string_at(0)", "was killed by SIGSEGV"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "was killed by SIGKILL, as the system does when memory runs out"),
        ("os.abort()", "was killed by SIGABRT"),
    ],
)
def test_a_process_that_ends_is_an_error_of_its_call_and_is_replaced(plain: Runtime, how: str, says: str) -> None:
    before = plain.call("pid").json
    said = plain.call(f"exec {how}")
    assert (said.status, said.error) == (500, "ProcessEnded")
    assert says in said.json["errorMessage"]
    after = plain.call("pid").json
    assert after != before
    assert after in files(plain, "initialized"), "the new one is initialized"


def test_a_segmentation_fault_leaves_its_lines_in_the_log(plain: Runtime) -> None:
    plain.call("exec ctypes.string_at(0)")
    assert "Segmentation fault" in plain.log()
    assert 'app.py", line' in plain.log().split("Segmentation fault")[-1]


def test_a_process_that_ends_in_the_middle_of_a_stream(plain: Runtime) -> None:
    with socket.create_connection(("127.0.0.1", plain.port), timeout=20) as client:
        body = b"stream os._exit(5)"
        head = f"POST /invoke HTTP/1.1\r\nHost: x\r\nx-fc-request-id: s\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        text = b""
        while chunk := client.recv(65536):
            text += chunk
    assert text.endswith(b"first \r\n"), "broken off"
    told = plain.ask("GET", "/.penstock/status").json["broken_off"]["s"]
    assert told["errorType"] == "ProcessEnded"


def test_an_error_in_the_middle_of_a_stream_is_told(plain: Runtime) -> None:
    with socket.create_connection(("127.0.0.1", plain.port), timeout=20) as client:
        body = b"stream raise ValueError('in the middle')"
        head = f"POST /invoke HTTP/1.1\r\nHost: x\r\nx-fc-request-id: e\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        while client.recv(65536):
            pass
    told = plain.ask("GET", "/.penstock/status").json["broken_off"]["e"]
    assert (told["errorType"], told["errorMessage"]) == ("ValueError", "in the middle")


def test_more_memory_than_there_is_is_an_error(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(HANDLER, workers="process")
    bomb = "resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30)); b'x' * 2**31"
    said = runtime.call(f"exec {bomb}")
    assert (said.status, said.error) == (500, "MemoryError")


def test_a_caller_that_leaves_kills_the_process_of_his_call(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(HANDLER, workers="process", concurrency="2")
    runtime.initialize()
    before = children(runtime)
    with socket.create_connection(("127.0.0.1", runtime.port), timeout=10) as client:
        client.sendall(b"POST /invoke HTTP/1.1\r\nHost: x\r\nx-fc-request-id: a\r\nContent-Length: 4\r\n\r\nwait")
        until_now(lambda: files(runtime, "waits"), "it runs")
    (killed,) = files(runtime, "waits")
    until_now(lambda: not psutil.pid_exists(killed), "it is killed, although it looks at nothing")
    until_now(lambda: not runtime.running(), "and counts no more")
    until_now(lambda: len(children(runtime) & files(runtime, "initialized")) == 2, "another is there unasked")
    assert len(children(runtime) & before) == 1


def test_a_start_that_fails_is_told_and_tried_again(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(HANDLER, workers="process", concurrency="2")
    broken = runtime.folder / "broken"
    broken.write_text("")
    for said in (runtime.initialize(), runtime.call("pid")):
        assert (said.status, said.error, said.json["errorMessage"]) == (500, "OSError", "no model")
    broken.unlink()
    assert runtime.initialize().status == 200
    assert runtime.call("pid").status == 200


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("def handler(event, context)", "SyntaxError"),
        ("import not_there", "ModuleNotFoundError"),
        ("import os; os._exit(4)", "ProcessEnded"),
        ("import sys; sys.exit('no')", "SystemExit"),
    ],
)
def test_a_module_that_cannot_be_imported_is_told(start_runtime: StartRuntime, code: str, error: str) -> None:
    said = start_runtime(code, workers="process", concurrency="2").initialize()
    assert (said.status, said.error) == (500, error)


def test_pre_stop_runs_in_every_process(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(HANDLER, workers="process", concurrency="2")
    runtime.initialize()
    assert runtime.ask("GET", "/pre-stop").status == 200
    assert files(runtime, "stopped") == children(runtime)


def test_a_signal_to_all_of_them_lets_the_call_end(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(HANDLER, workers="process", concurrency="1")
    runtime.initialize()
    (child,) = children(runtime)
    call = runtime.start("wait")
    until_now(lambda: files(runtime, "waits"), "it runs")
    for pid in (runtime.process.pid, child):
        os.kill(pid, signal.SIGTERM)
    (runtime.folder / "go").write_text("")
    assert call.result().json == child
    runtime.process.wait(10)
    until_now(lambda: not psutil.pid_exists(child), "the child is gone")
    assert files(runtime, "stopped") == {child}


@pytest.mark.parametrize("busy", [True, False])
def test_processes_do_not_outlive_their_parent(start_runtime: StartRuntime, busy: bool) -> None:
    runtime = start_runtime(HANDLER, workers="process", concurrency="1")
    runtime.initialize()
    (child,) = children(runtime)
    if busy:
        runtime.start("wait")
        until_now(lambda: files(runtime, "waits"), "it runs")
    runtime.process.kill()
    until_now(lambda: not alive(child), "it is gone")


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_flask_application_in_processes(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(
        """
        import os
        from flask import Flask, request
        app = Flask(__name__)
        ready = []

        @app.route("/initialize", methods=["POST"])
        def initialize():
            ready.append(request.headers["x-fc-request-id"])
            return "warm"

        @app.route("/show/<path:path>")
        def show(path):
            return {"pid": os.getpid(), "path": path, "query": request.query_string.decode(), "ready": ready}
        """,
        handler="app:app",
        workers="process",
        concurrency="2",
    )
    said = runtime.ask("POST", "/initialize", headers={"x-fc-request-id": "i"})
    assert (said.status, said.body) == (200, b"warm")
    shown: dict[str, Any] = runtime.ask(
        "GET", "/show/a%20b?c=1", headers={"x-fc-control-path": "/http-invoke"}
    ).json
    assert shown.pop("pid") in children(runtime)
    assert shown == {"path": "a b", "query": "c=1", "ready": ["i"]}


def test_many_calls_share_few_processes(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(HANDLER, workers="process", concurrency="2")
    calls = [runtime.start("pid") for _ in range(40)]
    assert {call.result().json for call in calls} <= children(runtime)


def test_slots_share_what_is_preloaded_and_nothing_random(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(HANDLER, workers="process", concurrency="2", preload="xml.dom.minidom")
    assert runtime.initialize().status == 200
    loaded = runtime.call(b"eval 'xml.dom.minidom' in sys.modules").json
    assert loaded is True, "no handler imports it"
    drawn = [runtime.call(b"eval __import__('random').random()").json for _ in range(6)]
    assert len(set(drawn)) == 6


def test_what_cannot_be_preloaded_is_told_at_the_start(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(HANDLER, workers="process", concurrency="1", preload="no_such_module")
    answer = runtime.initialize()
    assert answer.status == 500
    assert "preload no_such_module: ModuleNotFoundError" in answer.json["errorMessage"]


def test_an_instance_whose_fork_server_dies_ends_and_leaves_nothing(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(HANDLER, workers="process", concurrency="2")
    assert runtime.initialize().status == 200
    (server,) = psutil.Process(runtime.process.pid).children()
    slots = children(runtime)
    os.kill(server.pid, signal.SIGKILL)
    until_now(lambda: runtime.process.poll() is not None, "it ends")
    assert "fork server of the slots has ended" in runtime.log()
    until_now(lambda: not any(psutil.pid_exists(slot) for slot in slots), "so do its slots")
