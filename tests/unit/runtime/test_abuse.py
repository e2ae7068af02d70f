"""Handlers that do what no handler should: each is a clear error, and nothing hangs."""

from __future__ import annotations

import http.client
import signal
import socket

import pytest

from tests.unit.runtime.conftest import Runtime, StartRuntime
from tests.unit.workers.waiting import until_now

HANDLER = """
    import ctypes, os, resource, signal, sys, threading, time

    class Later(Exception):
        retryable = True

    class Silent(Exception):
        def __str__(self): raise RuntimeError("no")

    Odd = type("Odd\\r\\nX-Injected: 1", (Exception,), {})

    def handler(event, context):
        return eval(event) if event.startswith(b"=") is False else exec(event[1:].decode())

    def deep(n):
        return deep(n + 1)

    def nested():
        value = []
        for _ in range(100_000):
            value = [value]
        return value

    def ring():
        value = []
        value.append(value)
        return value
"""


@pytest.fixture(scope="module")
def plain(_processes: StartRuntime) -> Runtime:
    return _processes(HANDLER)


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("=sys.exit()", "SystemExit"),
        ("=sys.exit('no')", "SystemExit"),
        ("=raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("=raise GeneratorExit", "GeneratorExit"),
        ("=raise StopIteration", "StopIteration"),
        ("deep(0)", "RecursionError"),
        ("nested()", "RecursionError"),
        ("ring()", "ValueError"),
        ("10 ** 5000", "ValueError"),
        ("object()", "TypeError"),
        ("{1: 2, (3, 4): 5}", "TypeError"),
        ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", "ValueError"),
    ],
)
def test_an_error_of_any_kind_is_told_and_the_next_call_is_served(plain: Runtime, what: str, error: str) -> None:
    said = plain.call(what)
    assert (said.status, said.error) == (500, error)
    assert said.json["errorType"] == error
    assert said.json["retryable"] is False
    assert plain.call("1 + 1").json == 2


def test_an_error_that_says_that_it_may_be_tried_again(plain: Runtime) -> None:
    assert plain.call("=raise Later('soon')").json["retryable"] is True
    said = plain.call("=e = OSError('once'); e.retryable = True; raise e")
    assert said.json["retryable"] is True


def test_an_error_without_words(plain: Runtime) -> None:
    said = plain.call("=raise Silent")
    assert (said.error, said.json["errorMessage"]) == ("Silent", "(its message cannot be had: RuntimeError)")


def test_an_error_whose_name_is_no_header(plain: Runtime) -> None:
    said = plain.call("=raise Odd")
    assert said.error == "Odd??X-Injected: 1"
    assert "x-injected" not in said.headers


def test_a_long_message_is_cut(plain: Runtime) -> None:
    assert len(plain.call("=raise ValueError('x' * 10_000_000)").json["errorMessage"]) == 8000


def test_a_handler_that_prints_without_end_is_answered(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(HANDLER)
    line = "x" * 99
    assert runtime.call(f"=for _ in range(1_000_000): print({line!r})").status == 200
    runtime.call("sys.stdout.flush()")
    assert (runtime.folder / "log").stat().st_size >= 100_000_000


def test_a_handler_that_takes_the_log_away_is_answered(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(HANDLER)
    assert runtime.call("=sys.stdout.close(); sys.stderr.close(); sys.stderr = None").status == 200
    assert runtime.call("=raise ValueError('unseen')").error == "ValueError"


def test_more_memory_than_there_is_is_an_error(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(HANDLER)
    bomb = "=resource.setrlimit(resource.RLIMIT_AS, (2**30, resource.RLIM_INFINITY)); b'x' * 2**31"
    said = runtime.call(bomb)
    assert (said.status, said.error) == (500, "MemoryError")
    assert runtime.call("1 + 1").json == 2


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("=os._exit(3)", 3),
        ("=ctypes.string_at(0)", -signal.SIGSEGV),
        ("=os.kill(os.getpid(), 9)", -signal.SIGKILL),
    ],
)
def test_a_process_that_ends_breaks_the_call_off_at_once(
    start_runtime: StartRuntime, what: str, code: int
) -> None:
    runtime = start_runtime(HANDLER)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        runtime.call(what)
    assert runtime.process.wait(10) == code
    if code == -signal.SIGSEGV:
        assert "Segmentation fault" in runtime.log()
        assert 'app.py", line' in runtime.log(), "the log shows where"


@pytest.mark.parametrize(
    ("code", "error", "says"),
    [
        ("def handler(event, context)\n    pass", "SyntaxError", "expected ':'"),
        ("import not_installed", "ModuleNotFoundError", "No module named 'not_installed'"),
        ("import sys; sys.exit('bad settings')", "SystemExit", "bad settings"),
        ("def initialize(c): raise OSError('no model')\ndef handler(e, c): ...", "OSError", "no model"),
        ("def initialize(c): exit(4)\ndef handler(e, c): ...", "SystemExit", "4"),
        ("async def initialize(c): raise OSError('no model')\ndef handler(e, c): ...", "OSError", "no model"),
        (
            "def initialize(a, b): ...\ndef handler(e, c): ...",
            "TypeError",
            "missing 1 required positional argument",
        ),
    ],
)
def test_a_start_that_fails_says_why_each_time(
    start_runtime: StartRuntime, code: str, error: str, says: str
) -> None:
    runtime = start_runtime(code)
    for said in (runtime.initialize(), runtime.initialize(), runtime.call()):
        assert (said.status, said.error) == (500, error)
        assert says in said.json["errorMessage"]
    assert error in runtime.log()


def test_one_that_does_not_end_keeps_its_process_and_takes_nothing_new(start_runtime: StartRuntime) -> None:
    # Whoever stops it waits for as long as he wants to, and kills it then.
    runtime = start_runtime(HANDLER, concurrency="2")
    runtime.initialize()
    runtime.start("=while True: time.sleep(0.01)", x_fc_request_id="stuck")
    until_now(lambda: runtime.running() == ["stuck"], "it runs")
    runtime.process.send_signal(signal.SIGTERM)

    def refused() -> bool:
        try:
            socket.create_connection(("127.0.0.1", runtime.port), timeout=1).close()
        except ConnectionRefusedError:
            return True
        return False

    until_now(refused, "it takes no new connection")
    assert runtime.process.poll() is None
    runtime.process.kill()
    assert runtime.process.wait(10) == -signal.SIGKILL


def test_a_thread_that_a_handler_left_behind_does_not_keep_it(start_runtime: StartRuntime) -> None:
    runtime = start_runtime(HANDLER)
    assert runtime.call("threading.Thread(target=time.sleep, args=(600,)).start()").status == 200
    runtime.process.send_signal(signal.SIGTERM)
    assert runtime.process.wait(10) == -signal.SIGTERM
