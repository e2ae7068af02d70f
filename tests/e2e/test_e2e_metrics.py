"""Metrics of a deployment under load: what was done is what is counted, a real Prometheus reads it, and a new
leader goes on."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.conftest import missing
from tests.e2e import specs
from tests.e2e.harness import Json, Program, Stack, free_port, wait_until
from tests.e2e.receiver import Receiver

FUNCTIONS: dict[str, Json] = {
    "fine": specs.folder("echo", concurrency=8, scaling={"idle_timeout": "60s"}),
    "sad": specs.folder("raises", scaling={"idle_timeout": "60s"}),
    "dies": specs.folder("exits", retry={"attempts": 3, "backoff": "50ms"}),
    "busy": specs.folder("slow", event="json", scaling={"idle_timeout": "60s"}),
}
COUNTED = {
    'penstock_invocations_total{function="fine",state="succeeded"}': 20,
    'penstock_attempts_total{function="fine"}': 20,
    'faas_invoke_duration_seconds_count{function="fine"}': 20,
    'penstock_invocation_wait_seconds_count{function="fine"}': 20,
    'faas_coldstarts_total{function="fine"}': 1,
    'penstock_invocations_total{function="sad",state="failed",code="function_error"}': 3,
    'penstock_dead_letters_total{function="sad"}': 0,
    'penstock_attempts_total{function="dies"}': 3,
    'penstock_retries_total{function="dies"}': 2,
    'penstock_invocations_total{function="dies",state="failed",code="instance_lost"}': 1,
    'penstock_dead_letters_total{function="dies"}': 1,
    'penstock_invocations_total{function="busy",state="expired",code="expired"}': 1,
    'penstock_dead_letters_total{function="busy"}': 1,
    "sum(penstock_dead_letters_total)": 2,
    'sum(penstock_cancellations_total{service="gateway"})': 1,
    'penstock_callbacks_total{state="delivered"}': 1,
    "penstock_callbacks_pending": 0,
    'penstock_refusals_total{code="function_not_found"}': 4,
    'penstock_instances{function="fine",state="idle",provisioned="false"}': 1,
    'penstock_queue_depth{function="fine",state="ready"}': 0,
    "penstock_leader": 1,
    "sum(penstock_redis_up)": 2,
}


@pytest.fixture
def prometheus_binary() -> str:
    binary = shutil.which("prometheus")
    if binary is None or shutil.which("promtool") is None:
        missing("prometheus (Debian's package)")
    assert binary is not None
    return binary


def text_of(url: str) -> str:
    answer = requests.get(url, timeout=10)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return answer.text


def check(text: str) -> None:
    """promtool finds nothing to say about it."""
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), text[:2000]


@contextmanager
def prometheus(binary: str, folder: Path, targets: list[str]) -> Iterator[str]:
    """A Prometheus that scrapes these each second; its URL."""
    folder.mkdir()
    quoted = ", ".join(f'"{target}"' for target in targets)
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        f"scrape_configs: [{{job_name: penstock, static_configs: [{{targets: [{quoted}]}}]}}]\n"
    )
    port = free_port()
    command = (
        *(binary, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"),
        *(f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"),
    )
    program = Program("prometheus", command, {"PATH": "/usr/bin:/bin"}, folder / "log")
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        program.stop()


def query(url: str, question: str) -> float | None:
    """What Prometheus has to say now; None: nothing, or it is not up yet."""
    try:
        answer = requests.get(f"{url}/api/v1/query", params={"query": question}, timeout=5).json()
    except requests.ConnectionError:
        return None
    result = answer["data"]["result"]
    assert len(result) <= 1, f"{question} is {result}"
    return float(result[0]["value"][1]) if result else None


def totals(stack: Stack, function: str, *names: str) -> list[float]:
    """Of the last five minutes, added up over their seconds."""
    answer = stack.http.get(
        f"{stack.url}/v1/functions/{function}/metrics", params={"name": list(names), "step": "1"}, timeout=10
    )
    assert answer.status_code == 200, answer.text
    metrics = answer.json()["metrics"]
    return [sum(point["value"] for point in metrics[name]["points"]) for name in names]


def do_everything(stack: Stack, receiver: Receiver) -> None:
    for _ in range(19):
        assert stack.call("fine", b"x").status_code == 200
    told = {"Penstock-Callback-Url": receiver.url + "/told"}
    stack.finished("fine", stack.submit("fine", b"x", headers=told)["id"])
    for _ in range(3):
        assert stack.call("sad", b"x").status_code == 502
    assert stack.finished("dies", stack.submit("dies")["id"])["error"]["code"] == "instance_lost"
    running = stack.submit("busy", {"seconds": 4})["id"]
    wait_until(lambda: stack.record("busy", running)["state"] == "running", 20, "it runs")
    late = stack.submit("busy", {"n": 1}, headers={"Penstock-Max-Queue": "1s"})["id"]
    unwanted = stack.submit("busy", {"n": 2})["id"]
    assert stack.http.delete(stack.path("busy", unwanted), timeout=5).status_code == 200
    assert stack.finished("busy", late)["state"] == "expired"
    stack.finished("busy", running)
    for _ in range(4):
        assert stack.call("nobody", b"x").status_code == 404
    wait_until(lambda: receiver.deliveries, 20, "the callback has come")


def test_what_was_done_is_what_is_counted(prometheus_binary: str) -> None:
    ops = f"127.0.0.1:{free_port()}"
    with Stack("process", WORKERS__OPS=ops) as stack, Receiver() as receiver:
        stack.start().deploy(FUNCTIONS)
        assert requests.get(f"http://{ops}/healthz", timeout=5).json() == {"status": "ok"}
        gateway = stack.url.removeprefix("http://")
        with prometheus(prometheus_binary, stack.folder / "prometheus", [gateway]) as url:
            do_everything(stack, receiver)
            for question, count in COUNTED.items():
                wait_until(
                    lambda q=question, c=count: query(url, q) == c,
                    20,
                    f"{question} is {count}: {query(url, question)}",
                )
            assert query(url, "up") == 1
            assert query(url, "scrape_duration_seconds") is not None
        goes_on(stack)


def goes_on(stack: Stack) -> None:
    """The series of a function outlive the leader that wrote them."""
    wait_until(lambda: totals(stack, "fine", "FunctionTotalInvocations") == [20], 10, "all are in the series")
    assert totals(stack, "sad", "FunctionTotalInvocations", "FunctionFunctionErrors") == [3, 3]
    assert totals(stack, "dies", "FunctionServerErrors", "FunctionFunctionErrors") == [1, 0]
    busy = ("FunctionAsyncEventExpiredDropped", "FunctionTotalInvocations")
    wait_until(lambda: totals(stack, "busy", *busy) == [1, 2], 10, "those of the busy one, too")
    assert stack.workers is not None
    stack.workers.process.kill()
    stack.start_workers()
    for _ in range(5):
        assert stack.call("fine", b"x", timeout=40).status_code == 200
    wait_until(lambda: totals(stack, "fine", "FunctionTotalInvocations") == [25], 20, "the next leader goes on")
    shown = stack.cli("metrics", "fine", "--name", "FunctionTotalInvocations", "--url", stack.url)
    assert shown.returncode == 0, shown.stderr
    assert re.search(r"FunctionTotalInvocations +25 ", shown.stdout), shown.stdout
    aliases = text_of(f"{stack.url}/metrics?format=fc")
    found = re.search(r'^FunctionTotalInvocations\{function="fine"\} (\d+)$', aliases, re.MULTILINE)
    assert found is not None, aliases
    assert int(found[1]) >= 5


def test_promtool_has_nothing_to_say_of_either_process_under_load(prometheus_binary: str) -> None:
    ops = f"127.0.0.1:{free_port()}"
    with Stack("process", WORKERS__OPS=ops) as stack:
        stack.start().deploy({name: FUNCTIONS[name] for name in ("fine", "sad")})
        over = threading.Event()

        def load() -> None:
            with requests.Session() as session:
                while not over.is_set():
                    for function in ("fine", "sad", "nobody"):
                        session.post(stack.path(function), data=b"x", timeout=30)

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            wait_until(lambda: totals(stack, "fine", "FunctionTotalInvocations")[0] > 20, 30, "calls are made")
            for _ in range(3):
                joined, workers = text_of(f"{stack.url}/metrics"), text_of(f"http://{ops}/metrics")
                check(joined)
                check(workers)
                assert 'penstock_redis_up{service="gateway"} 1' in joined
                assert 'penstock_redis_up{service="workers"} 1' in joined
                assert re.search(r"^penstock_http_connections [1-9]", joined, re.MULTILINE)
                assert 'service="gateway"' not in workers
        finally:
            over.set()
            for thread in threads:
                thread.join()


def test_whichever_gateway_is_asked_tells_of_all() -> None:
    with Stack("process") as stack:
        stack.redis.start()
        common = ("--port", str(stack.port), "--redis-url", stack.redis.url)
        stack.gateway = stack.run("gateway", "--processes", "2", *common)
        stack.start_workers()
        wait_until(stack.ready, 30, "a gateway finds workers that lead")
        both = re.compile(
            r'^penstock_refusals_total\{process="([12])",code="function_not_found"\} (\d+)$', re.MULTILINE
        )

        def refused() -> dict[str, int]:
            """By process, as whoever answers tells it."""
            return {number: int(count) for number, count in both.findall(text_of(f"{stack.url}/metrics"))}

        sent = 0
        while len(refused()) < 2:  # the kernel spreads connections by chance
            assert sent < 400
            assert requests.post(stack.path("nobody"), data=b"x", timeout=10).status_code == 404
            sent += 1
        for _ in range(10):
            assert sum(refused().values()) == sent
        text = text_of(f"{stack.url}/metrics")
        assert len(re.findall(r"^penstock_leader ", text, re.MULTILINE)) == 1
        kinds = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
        assert len(kinds) == len(set(kinds))
