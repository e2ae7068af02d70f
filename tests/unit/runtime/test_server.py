"""What a Python handler gets and what becomes of what it returns, raises, or does not do."""

from __future__ import annotations

import ast
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.unit.runtime.conftest import ROOT, Runtime, Said, StartRuntime
from tests.unit.workers.waiting import until_now

HANDLER = """
    import json, logging, sys

    calls = 0

    class Unusual(Exception):
        pass

    def handler(event, context):
        global calls
        calls += 1
        match event.decode(errors="replace").split(" ", 1):
            case ["echo", *_]:
                return event
            case ["eval", text]:
                return eval(text)
            case ["raise", text]:
                return deeper(text)
            case ["exit", code]:
                sys.exit(int(code))
            case ["context"]:
                context.logger.warning("a word for the log")
                return {
                    "request_id": context.request_id,
                    "attempt": context.attempt,
                    "remaining": round(context.remaining()),
                    "name": context.function.name,
                    "handler": context.function.handler,
                    "memory": context.function.memory,
                }
            case ["calls"]:
                return calls

    def deeper(text):
        raise eval(text)
"""


@pytest.fixture(scope="module")
def plain(_processes: StartRuntime) -> Runtime:
    """One process for all tests that leave it as it was."""
    return _processes(HANDLER, memory="512")


# What comes back.


@pytest.mark.parametrize(
    ("expression", "kind", "body"),
    [
        ("b'\\x00\\xff'", "application/octet-stream", b"\x00\xff"),
        ("b''", "application/octet-stream", b""),
        ("bytearray(b'ab')", "application/octet-stream", b"ab"),
        ("memoryview(b'ab')", "application/octet-stream", b"ab"),
        ("'täxt'", "text/plain; charset=utf-8", "täxt".encode()),
        ("''", "text/plain; charset=utf-8", b""),
        ("{'a': [1, None, True]}", "application/json", b'{"a": [1, null, true]}'),
        ("[]", "application/json", b"[]"),
        ("None", "application/json", b"null"),
        ("0", "application/json", b"0"),
        ("1.5", "application/json", b"1.5"),
        ("False", "application/json", b"false"),
    ],
)
def test_bytes_stay_bytes_text_is_text_and_the_rest_is_json(
    plain: Runtime, expression: str, kind: str, body: bytes
) -> None:
    said = plain.call(f"eval {expression}")
    assert (said.status, said.headers["content-type"], said.body) == (200, kind, body)
    assert said.error is None


@pytest.mark.parametrize("size", [0, 1, 300_000, 5_000_000])
def test_an_event_of_any_size_comes_as_its_bytes(plain: Runtime, size: int) -> None:
    event = b"echo " + os.urandom(size)
    assert plain.call(event).body == event


@pytest.mark.parametrize("path", ["/invoke", "/", "/anything/else"])
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_any_other_path_is_a_call(plain: Runtime, method: str, path: str) -> None:
    assert plain.ask(method, path, b"echo x").body == b"echo x"


def test_pre_stop_and_status_are_no_calls(plain: Runtime) -> None:
    before = plain.call("calls").json
    assert plain.ask("GET", "/pre-stop").status == 200
    assert plain.ask("GET", "/.penstock/status").json["running"] == []
    assert plain.call("calls").json == before + 1


def test_a_handler_is_told_of_its_call(plain: Runtime) -> None:
    deadline = int((time.time() + 60) * 1000)
    said = plain.call(
        "context", x_fc_request_id="id-1", penstock_attempt="3", penstock_deadline=str(deadline)
    ).json
    assert said.pop("remaining") in (59, 60)
    assert said == {
        "request_id": "id-1",
        "attempt": 3,
        "name": "tested",
        "handler": "app:handler",
        "memory": 512,
    }
    assert "a word for the log" in plain.log()


def test_nothing_of_the_server_is_told_to_the_world(plain: Runtime) -> None:
    assert not {"server", "date"} & set(plain.call("eval 1").headers)


# What goes wrong.


def test_a_handler_that_raises_is_told_by_a_header_and_described(plain: Runtime) -> None:
    said = plain.call("raise KeyError('no such row')")
    assert (said.status, said.error) == (500, "KeyError")
    assert said.json["errorType"] == "KeyError"
    assert said.json["errorMessage"] == "'no such row'"
    assert plain.call("eval 1").status == 200, "and the next call is served"


def test_its_traceback_shows_the_users_lines_and_none_of_ours(plain: Runtime) -> None:
    trace = "".join(plain.call("raise ValueError('x')").json["stackTrace"])
    assert 'app.py", line' in trace
    assert "in deeper" in trace
    assert_users_own(trace)
    assert "ValueError: x" in plain.log(), "and the log shows it too"


def assert_users_own(trace: str) -> None:
    """No line of the runtime, of the thread pool or of the import machinery."""
    for file in [line.split('"')[1] for line in trace.splitlines() if line.strip().startswith('File "')]:
        assert "/ps-runtime-" in file or file == "<string>", f"{file} is not the user's\n{trace}"


@pytest.mark.parametrize(
    "expression", ["Unusual('x')", "RuntimeError()", "OSError(2, 'no')", "TimeoutError('slow')"]
)
def test_any_class_of_error_has_its_name(plain: Runtime, expression: str) -> None:
    said = plain.call(f"raise {expression}")
    assert said.status == 500
    assert said.error == {"OSError": "FileNotFoundError"}.get(expression.split("(")[0], expression.split("(")[0])


def test_an_error_of_many_lines_stays_one_header(plain: Runtime) -> None:
    said = plain.call("raise ValueError('a\\r\\nX-Injected: 1')")
    assert said.error == "ValueError"
    assert "x-injected" not in said.headers
    assert said.json["errorMessage"] == "a\r\nX-Injected: 1"


@pytest.mark.parametrize("expression", ["{1, 2}", "object()", "{(1, 2): 3}", "[b'bytes']"])
def test_a_result_that_is_not_json_is_an_error_that_says_so(plain: Runtime, expression: str) -> None:
    said = plain.call(f"eval {expression}")
    assert (said.status, said.error) == (500, "TypeError")
    assert "JSON" in said.json["errorMessage"] or "keys must be" in said.json["errorMessage"]


@pytest.mark.parametrize("expression", ["float('nan')", "{'score': float('inf')}"])
def test_a_number_that_json_does_not_know_is_not_sent_as_json(plain: Runtime, expression: str) -> None:
    said = plain.call(f"eval {expression}")
    assert said.status == 500, f"a client cannot read {said.body!r}"


def test_text_that_is_not_unicode_is_an_error(plain: Runtime) -> None:
    assert plain.call("eval '\\ud800'").error == "UnicodeEncodeError"


def test_a_handler_that_exits_is_a_function_error(start_runtime: StartRuntime) -> None:
    # "function_error: the handler raised, exited, or its answer was malformed."
    runtime = start_runtime(HANDLER)
    said = runtime.call("exit 3")
    assert (said.status, said.error) == (500, "SystemExit")


def test_a_handler_whose_iterator_ran_out_is_answered_too(start_runtime: StartRuntime) -> None:
    # `next(rows)` with no row left: a future cannot carry a StopIteration.
    said = start_runtime(HANDLER).call("eval next(iter([]))")
    assert (said.status, said.error) == (500, "StopIteration")


def test_half_an_event_is_no_event(start_runtime: StartRuntime) -> None:
    # A worker that dies while it sends a body must not have the rest of it guessed.
    runtime = start_runtime(HANDLER)
    assert runtime.call("calls").json == 1
    with socket.create_connection(("127.0.0.1", runtime.port)) as client:
        client.sendall(b"POST /invoke HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\necho half")
    # One thread runs the calls in their order, so that a call with half an event would be counted by now.
    assert [runtime.call("calls").json for _ in range(2)] == [2, 3], "the handler was called with half an event"


def test_garbage_does_not_stop_it(plain: Runtime) -> None:
    with socket.create_connection(("127.0.0.1", plain.port)) as client:
        client.sendall(b"\x16\x03\x01 not HTTP\r\n\r\n")
        client.settimeout(5)
        assert client.recv(1000).startswith(b"HTTP/1.1 400")
    assert plain.call("eval 1").status == 200


# Events as JSON.


@pytest.fixture(scope="module")
def typed(_processes: StartRuntime) -> Runtime:
    return _processes("def handler(event, context): return [type(event).__name__, event]", event="json")


@pytest.mark.parametrize(
    ("body", "name"),
    [(b'{"a": 1}', "dict"), (b"[1]", "list"), (b'"x"', "str"), (b"null", "NoneType"), (b" 1.5 ", "float")],
)
def test_with_event_json_a_handler_gets_it_parsed(typed: Runtime, body: bytes, name: str) -> None:
    assert typed.call(body).json == [name, json.loads(body)]


@pytest.mark.parametrize("body", [b"", b"{", b"a", b"\xff", b"{'a': 1}", b"1 2"])
def test_an_event_that_is_not_json_is_the_clients_mistake(typed: Runtime, body: bytes) -> None:
    said = typed.call(body)
    assert (said.status, said.error) == (400, None)
    assert said.json["errorType"] == "InvalidEvent"
    assert "event: json" in said.json["errorMessage"]


# Synchronous and asynchronous handlers.

MEETING = """
    import threading

    barriers = {n: threading.Barrier(n) for n in (2, 3)}

    def handler(event, context):
        size, patience = event.split()
        try:
            barriers[int(size)].wait(float(patience))
            return "met"
        except threading.BrokenBarrierError:
            return "alone"
"""


@pytest.mark.parametrize(
    ("concurrency", "two", "three"), [("1", "alone", "alone"), ("2", "met", "alone"), ("3", "met", "met")]
)
def test_synchronous_handlers_run_as_many_at_a_time_as_the_spec_says(
    start_runtime: StartRuntime, concurrency: str, two: str, three: str
) -> None:
    runtime = start_runtime(MEETING, concurrency=concurrency)
    for size, expected in ((2, two), (3, three)):
        patience = 10 if expected == "met" else 0.3
        calls = [runtime.start(f"{size} {patience}") for _ in range(size)]
        assert [call.result().body.decode() for call in calls] == [expected] * size


def test_an_asynchronous_handler_waits_without_a_thread(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(
        """
        import asyncio, threading

        here = set()

        async def handler(event, context):
            here.add(event)
            while len(here) < 5:
                await asyncio.sleep(0.001)
            return {"thread": threading.current_thread() is threading.main_thread()}
        """,
        concurrency="5",
    )
    calls = [runtime.start(str(number)) for number in range(5)]
    assert [call.result().json for call in calls] == [{"thread": True}] * 5


def test_an_asynchronous_handler_that_raises_shows_the_users_lines(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(
        """
        async def handler(event, context):
            await inner()

        async def inner():
            raise LookupError("nothing there")
        """
    )
    said = runtime.call()
    assert (said.status, said.error) == (500, "LookupError")
    trace = "".join(said.json["stackTrace"])
    assert "in inner" in trace
    assert_users_own(trace)


def test_status_tells_which_calls_run(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(
        """
        import threading
        go = threading.Event()

        def handler(event, context):
            if event == b"go":
                go.set()
            go.wait(20)
        """,
        concurrency="3",
    )
    calls = [runtime.start("wait", x_fc_request_id=name) for name in ("b", "a")]
    until_now(lambda: len(runtime.running()) == 2, "both run")
    assert runtime.running() == ["a", "b"]
    runtime.call("go")
    for call in calls:
        assert call.result().status == 200
    assert runtime.running() == []


# Initialize.

COUNTING = """
    import time
    from pathlib import Path

    log = Path(__file__).with_name("log-of-initialize")
    log.open("a").write("imported ")

    def initialize(context):
        log.open("a").write(f"initialized:{context.function.name}:{context.request_id} ")
        time.sleep(0.1)

    def handler(event, context):
        return log.read_text()
"""


def test_initialize_runs_once_and_before_the_first_call(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(COUNTING)
    assert [runtime.initialize().status for _ in range(2)] == [200, 200]
    assert runtime.call().body == b"imported initialized:tested: "


def test_initialize_runs_once_although_many_ask_at_once(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(COUNTING, concurrency="4")
    calls = [runtime.start() for _ in range(4)]
    runtime.initialize()
    assert {call.result().body for call in calls} == {b"imported initialized:tested: "}


def test_a_call_without_initialize_before_it_runs_it(start_runtime: StartRuntime) -> None:
    assert start_runtime(COUNTING).call().body == b"imported initialized:tested: "


def test_an_initialize_that_failed_is_run_again(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(
        """
        tries = 0

        def initialize(context):
            global tries
            tries += 1
            if tries < 3:
                raise ConnectionError(f"no model yet ({tries})")

        def handler(event, context):
            return tries
        """
    )
    for number in (1, 2):
        said = runtime.initialize()
        assert (said.status, said.error) == (500, "ConnectionError")
        assert said.json["errorMessage"] == f"no model yet ({number})"
        assert_users_own("".join(said.json["stackTrace"]))
    assert runtime.initialize().status == 200
    assert runtime.call().json == 3
    assert runtime.call().json == 3


def test_an_asynchronous_initialize_is_awaited(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(
        """
        import asyncio
        ready = []

        async def initialize(context):
            await asyncio.sleep(0.01)
            ready.append("yes")

        def handler(event, context):
            return ready
        """
    )
    assert runtime.call().json == ["yes"]


def test_a_client_that_gives_up_does_not_end_the_start_for_others(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(COUNTING)
    with socket.create_connection(("127.0.0.1", runtime.port)) as client:
        client.sendall(b"POST /initialize HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    assert runtime.call().body == b"imported initialized:tested: "


# Loading.


def loaded(start: StartRuntime, files: dict[str, str], handler: str = "app:handler") -> Said:
    return start(files, handler=handler).initialize()


@pytest.mark.parametrize(
    ("files", "handler", "says"),
    [
        ({"other.py": ""}, "app:handler", "handler is app:handler, but there is no app.py in the folder"),
        ({"app.py": ""}, "app:handler", "handler is app:handler, but app.py has no function handler"),
        ({"app.py": "handler = 5"}, "app:handler", "handler is app:handler, but app.py has no function handler"),
        ({"app.py": "def run(e, c): ..."}, "app:ran", "handler is app:ran, but app.py has no function ran"),
    ],
)
def test_a_handler_that_is_not_there_is_named(
    start_runtime: StartRuntime, files: dict[str, str], handler: str, says: str
) -> None:
    said = loaded(start_runtime, files, handler)
    assert (said.status, said.error) == (500, "LoadError")
    assert said.json["errorMessage"] == says


def test_an_error_while_importing_is_the_users_own_with_its_lines(start_runtime: StartRuntime) -> None:
    said = loaded(start_runtime, {"app.py": "import helper\n", "helper.py": "value = 1 / 0\n"})
    assert (said.status, said.error) == (500, "ZeroDivisionError")
    trace = "".join(said.json["stackTrace"])
    assert 'helper.py", line 1' in trace
    assert_users_own(trace)


def test_a_module_that_the_users_code_misses_is_named(start_runtime: StartRuntime) -> None:
    said = loaded(start_runtime, {"app.py": "import not_installed\ndef handler(e, c): ..."})
    assert said.error == "ModuleNotFoundError"
    assert said.json["errorMessage"] == "No module named 'not_installed'"


def test_a_syntax_error_names_file_and_line(start_runtime: StartRuntime) -> None:
    said = loaded(start_runtime, {"app.py": "def handler(event, context)\n    pass\n"})
    assert said.error == "SyntaxError"
    assert "app.py" in said.json["errorMessage"]


SHADOW = "raise SystemExit('the file of a user stands in for ours')"


def test_files_named_like_ours_do_not_stand_in_for_ours(start_runtime: StartRuntime) -> None:
    ours = ("runtime", "workers", "penstock", "uvicorn", "httptools", "h11", "click", "asyncio", "json", "loader")
    files = {f"{name}.py": SHADOW for name in ours}
    app = "import json\nimport helper\ndef handler(event, context): return json.dumps(helper.value)"
    runtime = start_runtime(files | {"app.py": app, "helper.py": "value = 7"})
    assert runtime.call().body == b"7"


def test_a_handler_in_a_package_is_found(start_runtime: StartRuntime) -> None:
    files = {"service.py": "from types import SimpleNamespace\ndef answer(event, context): return 'here'"}
    assert start_runtime(files, handler="service:answer").call().body == b"here"


# The process.


def test_it_ends_quickly_when_it_is_told_to(start_runtime: StartRuntime) -> None:
    runtime = start_runtime("def handler(event, context): return 1")
    runtime.call()
    with socket.create_connection(("127.0.0.1", runtime.port)) as idle:  # a connection that is kept
        idle.sendall(b"POST /invoke HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        assert idle.recv(100).startswith(b"HTTP/1.1 200")
        runtime.process.send_signal(signal.SIGTERM)
        runtime.process.wait(5)


def test_a_call_that_runs_is_finished_before_the_end(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(
        "import time\ndef handler(event, context):\n    time.sleep(0.3)\n    return 'finished'"
    )
    runtime.initialize()
    call = runtime.start(x_fc_request_id="a")
    until_now(lambda: runtime.running() == ["a"], "it runs")
    runtime.process.send_signal(signal.SIGTERM)
    assert call.result().body == b"finished"
    runtime.process.wait(5)


def test_it_serves_a_socket_that_was_handed_down(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("def handler(event, context): return 'handed down'")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        environment = os.environ | {
            "PENSTOCK_LISTEN_FD": str(listener.fileno()),
            "PENSTOCK_CODE": str(tmp_path),
            "PYTHONPATH": str(ROOT),
        }
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "runtime"], env=environment, pass_fds=[listener.fileno()], cwd=tmp_path
        )
        runtime = Runtime(process, listener.getsockname()[1], tmp_path / "log")
    try:
        assert runtime.call().body == b"handed down", "a call waits in the socket until it is served"
    finally:
        runtime.end()


def test_it_knows_nothing_of_the_rest_of_penstock() -> None:
    look = "import sys, runtime.__main__; print(sorted({name.partition('.')[0] for name in sys.modules}))"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    output = subprocess.run(
        [sys.executable, "-P", "-c", look], env=environment, capture_output=True, check=True, text=True
    ).stdout
    found = set(ast.literal_eval(output))
    assert "runtime" in found
    strangers = {
        "penstock",
        "gateway",
        "workers",
        "aiohttp",
        "redis",
        "pydantic",
        "docker",
        "arq",
        "typer",
        "yaml",
    }
    assert not found & strangers


def test_its_requirements_are_its_http_server_alone() -> None:
    lines = (ROOT / "runtime" / "requirements.txt").read_text().splitlines()
    named: set[Any] = {
        line.split("=")[0].split(">")[0].split("[")[0].strip() for line in lines if line[:1].isalpha()
    }
    assert named <= {"uvicorn", "httptools", "click", "h11"}
