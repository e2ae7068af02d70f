"""What the commands of a client show, against a real gateway."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from penstock import egress, keys
from penstock.cli.invoke import progress_line
from penstock.delivery import Attempt, Endpoint
from penstock.function import FunctionSpec
from penstock.instance import InstanceState, InstanceView
from penstock.invocation import Event, Failure, FailureCode, Outcome, Response
from penstock.store import PoolView, Store
from penstock.triggers import Past
from penstock.webhooks import headers, new_secret, parse_secrets
from tests.conftest import RedisServer
from tests.unit.cli.conftest import InStore, Penstock, Ran, free_port, one_line
from tests.unit.workers.waiting import until, until_now

SPEC = FunctionSpec(command=("python", "server.py"))
INSTANCE = InstanceView(
    id="echo-1a2b3c4d",
    state=InstanceState.BUSY,
    revision=1,
    in_flight=2,
    started_at=1_700_000_000_000,
    timeline={"pending": 500.0, "starting": 1000.0},
    reason="1 queued and 2 running need 1",
)


@pytest.fixture
def deployed(in_store: InStore[Any], unique: str) -> str:
    """A function with one instance, as a leader shows it."""

    async def deploy(store: Store) -> None:
        await store.catalog.deploy(unique, SPEC)
        epoch = await store.leadership.lead("leader")
        view = PoolView(instances=[INSTANCE], desired=1, reason=INSTANCE.reason, drain_rate=None)
        await store.pools.show(unique, view, epoch=epoch or 0)

    in_store(deploy)
    return unique


def answering(in_store: InStore[Any], function: str, outcome: Outcome, count: int = 1) -> threading.Thread:
    """A worker that ends the next invocations of a function so."""

    async def work(store: Store) -> None:
        epoch = await store.leadership.lead("leader") or 0
        for number in range(count):

            async def take(number: int = number) -> Any:
                return await store.queue.take(function, epoch=epoch, slot="s", nonce=f"n{number}", instance="i-1")

            run = await until(take, "something to run")
            await store.queue.finish(function, run.invocation.id, run.invocation.token, outcome)

    thread = threading.Thread(target=in_store, args=(work,))
    thread.start()
    return thread


def succeed(body: bytes, kind: str = "text/plain") -> Outcome:
    response = Response(status=200, headers=(("Content-Type", kind),), size=len(body))
    return Outcome(event=Event.SUCCEED, response=response, body=body, timeline={"running": 1234.0})


def test_functions_are_listed_with_why(penstock: Penstock, gateway_url: str, deployed: str) -> None:
    ran = penstock("functions", "--url", gateway_url)
    assert ran.code == 0
    [row] = [line for line in ran.out.splitlines() if line.startswith(deployed)]
    assert row.split(None, 2)[:2] == [deployed, "1"]
    assert "python server.py" in row
    assert "1 busy" in row
    assert row.rstrip().endswith("1 queued and 2 running need 1")
    assert ran.out.splitlines()[0].split() == ["FUNCTION", "REVISION", "RUNS", "INSTANCES", "WHY"]


def test_without_functions_it_says_so(penstock: Penstock, gateway_url: str, redis_server: RedisServer) -> None:
    redis_server.cli("FLUSHALL")
    assert penstock("functions", "--url", gateway_url).out == "no function is deployed\n"


def test_instances_are_listed_with_why_there_are_that_many(
    penstock: Penstock, gateway_url: str, deployed: str
) -> None:
    ran = penstock("instances", deployed, "--url", gateway_url)
    assert ran.code == 0
    assert ran.out.splitlines()[1].split() == [
        *("echo-1a2b3c4d", "busy", "2", "1.50", "s", "22:13:20"),
        *INSTANCE.reason.split(),
    ]
    assert ran.out.splitlines()[-1] == f"wanted: 1 ({INSTANCE.reason})"


def test_triggers_are_listed_with_what_they_have_done(
    penstock: Penstock, gateway_url: str, in_store: InStore[Any], unique: str
) -> None:
    given = [
        {"name": "web", "type": "http"},
        {"name": "tick", "type": "timer", "schedule": "@every 1h", "enabled": False},
        {"name": "in", "type": "objects", "bucket": "/srv/in"},
    ]
    spec = FunctionSpec.model_validate({"command": ["server"], "triggers": given})

    async def deploy(store: Store) -> None:
        await store.catalog.deploy(unique, spec)
        past = Past(identity=spec.triggers[2].identity, since=1, fired=7, fired_at=1_000, error="no folder")
        await store.triggers.write(unique, "in", past)

    in_store(deploy)
    ran = penstock("triggers", unique, "--url", gateway_url)
    assert [line.split() for line in ran.out.splitlines()] == [
        ["TRIGGER", "TYPE", "FIRED", "LAST", "NEXT", "ERROR"],
        ["web", "http"],
        ["tick", "timer", "(disabled)", "0"],
        ["in", "objects", "7", "1970-01-01T00:00:01", "no", "folder"],
    ]


def test_jobs_are_listed_and_shown_whole(
    penstock: Penstock, gateway_url: str, deployed: str, in_store: InStore[Any]
) -> None:
    assert penstock("jobs", deployed, "--url", gateway_url).out == "no async jobs\n"
    job = penstock("invoke", deployed, "-d", "x", "--async", "--url", gateway_url).out.strip()
    answering(in_store, deployed, succeed(b"ok")).join()
    listed = penstock("jobs", deployed, "--url", gateway_url)
    row = listed.out.splitlines()[1].split()
    assert row[:3] == [job, "succeeded", "1"]
    assert row[4:] == ["1.23", "s"]
    assert penstock("jobs", deployed, "--state", "failed", "--url", gateway_url).out == "no async jobs\n"
    shown = json.loads(penstock("jobs", deployed, job, "--url", gateway_url).out)
    assert (shown["id"], shown["state"]) == (job, "succeeded")


def test_what_the_gateway_refuses_is_told_in_its_words(penstock: Penstock, gateway_url: str, unique: str) -> None:
    said = one_line(penstock("jobs", unique, "--url", gateway_url), 1)
    assert said == f"no function is named '{unique}'; GET /v1/functions lists those that exist"


def test_a_bad_option_that_the_gateway_refuses_is_bad_input(
    penstock: Penstock, gateway_url: str, deployed: str
) -> None:
    ran = penstock("jobs", deployed, "--state", "done", "--url", gateway_url)
    assert "state='done' is none of queued, running" in ran.err
    assert ran.code == 2, "exit code 2 for bad input"


def invoke(
    penstock: Penstock, url: str, function: str, in_store: InStore[Any], outcome: Outcome, *options: str
) -> Ran:
    worker = answering(in_store, function, outcome)
    ran = penstock("invoke", function, *options, "--url", url)
    worker.join()
    return ran


def test_invoke_writes_the_answer_byte_for_byte(
    penstock: Penstock, gateway_url: str, deployed: str, in_store: InStore[Any]
) -> None:
    ran = invoke(penstock, gateway_url, deployed, in_store, succeed("grün, no newline".encode()), "-d", "x")
    assert (ran.code, ran.out) == (0, "grün, no newline")


def test_invoke_tells_what_it_waits_for_apart_from_the_answer(
    penstock: Penstock, gateway_url: str, deployed: str, in_store: InStore[Any], redis_server: RedisServer
) -> None:
    async def work(store: Store) -> None:
        async def told() -> bool:
            """The command follows its events, and before that it says what it waits for."""
            jobs = redis_server.cli("ZRANGE", keys.queued(deployed), "0", "-1").split()
            return any(redis_server.cli("HGET", keys.record(deployed, job), "observers") for job in jobs)

        await until(told, "the command waits")
        answering(in_store, deployed, succeed(b"answer")).join()

    worker = threading.Thread(target=in_store, args=(work,))
    worker.start()
    ran = penstock("invoke", deployed, "-d", "x", "--url", gateway_url)
    worker.join()
    assert ran.out == "answer"
    assert ran.err.startswith(f"queued #1: 1 of 1 instances are busy; {INSTANCE.reason}\n")


def test_invoke_reads_its_body_from_a_file(
    penstock: Penstock, gateway_url: str, deployed: str, in_store: InStore[Any], tmp_path: Path
) -> None:
    (tmp_path / "event").write_bytes(b"\x00\xff")
    job = penstock("invoke", deployed, "-d", f"@{tmp_path}/event", "--async", "--url", gateway_url).out.strip()

    async def body(store: Store) -> bytes:
        epoch = await store.leadership.lead("leader") or 0
        run = await store.queue.take(deployed, epoch=epoch, slot="s", nonce="n", instance="i")
        assert run is not None
        assert run.invocation.id == job
        return run.body

    assert in_store(body) == b"\x00\xff"


def test_invoke_of_a_function_that_failed_shows_why_and_the_log(
    penstock: Penstock, gateway_url: str, deployed: str, in_store: InStore[Any]
) -> None:
    failure = Failure(code=FailureCode.FUNCTION_ERROR, message="KeyError: 'x'", log_tail="last line")
    ran = invoke(penstock, gateway_url, deployed, in_store, Outcome(event=Event.FAIL, failure=failure))
    assert (ran.code, ran.out) == (1, "")
    assert "failed: function_error: KeyError: 'x'" in ran.err
    assert "--- last lines of i-1\nlast line" in ran.err


def test_invoke_of_a_function_that_answered_an_error_gives_its_answer(
    penstock: Penstock, gateway_url: str, deployed: str, in_store: InStore[Any]
) -> None:
    said = Response(status=422, headers=(("Content-Type", "application/json"),), size=2)
    failure = Failure(code=FailureCode.FUNCTION_ERROR, message="the function answered 422")
    outcome = Outcome(event=Event.FAIL, response=said, body=b"{}", failure=failure)
    ran = invoke(penstock, gateway_url, deployed, in_store, outcome)
    assert (ran.code, ran.out) == (1, "{}")
    assert ran.err.splitlines()[-1] == "failed: status 422"


@pytest.mark.parametrize(
    ("record", "line"),
    [
        ({"state": "running", "instance": "echo-1"}, "running on echo-1"),
        ({"queue_position": 3, "waiting_reason": "2 of 2 are busy"}, "queued #3: 2 of 2 are busy"),
        ({"queue_position": None, "waiting_reason": None}, "queued: "),
        (
            {"queue_position": 1, "waiting_reason": "instance i is starting, 2.0 s into its start"},
            "starting #1: instance i is starting, 2.0 s into its start",
        ),
    ],
)
def test_a_line_of_progress(record: dict[str, Any], line: str) -> None:
    assert progress_line({"state": "queued"} | record) == line


# Deploying.


def test_deploy_waits_until_its_functions_can_be_invoked(
    penstock: Penstock, redis_server: RedisServer, in_store: InStore[Any], unique: str, tmp_path: Path
) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(f"functions:\n  {unique}-a: {{command: [server]}}\n  {unique}-b: {{image: x}}\n")

    async def prepare(store: Store) -> None:
        async def known() -> bool:
            return {f"{unique}-a", f"{unique}-b"} <= set(await store.catalog.unready())

        await until(known, "both are deployed")
        await store.catalog.set_ready(f"{unique}-a", None)
        await store.catalog.set_ready(f"{unique}-b", "cannot be prepared: image needs containers")

    worker = threading.Thread(target=in_store, args=(prepare,))
    worker.start()
    ran = penstock("deploy", "-f", file, "--redis-url", redis_server.url)
    worker.join()
    assert ran.code == 1, "one of them cannot be invoked"
    assert ran.out.splitlines() == [
        f"{unique}-a: revision 1",
        f"{unique}-b: revision 1",
        f"{unique}-a: ready to be invoked",
    ]
    assert ran.err == f"{unique}-b: cannot be prepared: image needs containers\n"


def test_deploying_again_changes_the_revision_only_with_spec_or_code(
    penstock: Penstock, redis_server: RedisServer, in_store: InStore[Any], unique: str, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text("one")
    file = tmp_path / "penstock.yaml"
    file.write_text(f"functions: {{{unique}: {{path: .}}}}")

    def deploy() -> str:
        async def ready(store: Store) -> None:
            async def known() -> bool:
                return bool(await store.catalog.get(unique))

            await until(known, "it is deployed")
            while not done.is_set():
                await store.catalog.set_ready(unique, None)

        done = threading.Event()
        worker = threading.Thread(target=in_store, args=(ready,))
        worker.start()
        ran = penstock("deploy", "-f", file, "--redis-url", redis_server.url)
        done.set()
        worker.join()
        assert ran.code == 0, ran
        return ran.out.splitlines()[0]

    assert deploy() == f"{unique}: revision 1"
    file.rename(tmp_path / "kept.yaml")
    (tmp_path / "kept.yaml").rename(file)  # nothing has changed
    assert deploy() == f"{unique}: revision 1"
    (tmp_path / "app.py").write_text("two")
    assert deploy() == f"{unique}: revision 2"


# Callbacks.


def test_listen_prints_what_verifies_and_refuses_the_rest(tmp_path: Path) -> None:
    secret, port = new_secret(), free_port()
    (tmp_path / "callback-secret").write_text(secret + "\n")
    command = [sys.executable, "-m", "penstock.cli", "listen", "--port", str(port), "--data-dir", str(tmp_path)]
    log = tmp_path / "log"
    with log.open("wb") as output:
        listener = subprocess.Popen(
            command, stdout=output, stderr=output, env=os.environ | {"PYTHONUNBUFFERED": "1"}
        )

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def post(body: bytes, signature: dict[str, str]) -> int:
        request = urllib.request.Request(f"http://127.0.0.1:{port}/any/path", data=body, headers=signature)
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return int(error.code)

    try:
        until_now(listens, "it listens", timeout=20)
        body = b'{"type": "invocation.succeeded"}'
        signature = headers(parse_secrets(secret), "msg_1", body)
        assert post(body, signature) == 204
        assert post(body + b" ", signature) == 401
        assert post(body, {}) == 401
    finally:
        listener.terminate()
        assert listener.wait(5) == 0
    text = log.read_text()
    assert f"Listening for callbacks on http://127.0.0.1:{port}/" in text
    assert 'verified msg_1\n{\n  "type": "invocation.succeeded"\n}' in text
    assert "refused: no signature fits" in text
    assert "refused: the header webhook-id is missing" in text


def test_the_ledger_is_listed_and_told_again(
    penstock: Penstock, gateway_url: str, deployed: str, in_store: InStore[Any], redis_server: RedisServer
) -> None:
    def deliveries(*options: str) -> str:
        return penstock("deliveries", deployed, *options, "--url", gateway_url).out

    assert deliveries() == "no callbacks\n"
    job = penstock("invoke", deployed, "-d", "x", "--async", "--url", gateway_url).out.strip()
    answering(in_store, deployed, succeed(b"ok")).join()
    url = "https://example.com/hook"
    redis_server.cli("ZADD", keys.OUTBOX, "0", f"{deployed} {job} completed")

    async def refuse(store: Store) -> str:
        await store.deliveries.owe(deployed, job, "completed", [Endpoint(url=url)])
        [delivery] = await store.deliveries.collect(egress.origin(url), claim_ms=60_000, limit=1)
        attempt = Attempt(at=1, ms=12, status=404, error=f"{url} answered 404", sha256="")
        await store.deliveries.attempted(delivery, "dead", attempt)
        return delivery.name

    name = in_store(refuse)
    row = deliveries("--state", "dead", "--endpoint", url).splitlines()[1].split()
    assert row[:4] == [name, "completed", "dead", "1"]
    assert row[5:] == [url, "answered", "404"]
    assert deliveries("--state", "delivered") == "no callbacks\n"
    assert deliveries("--since", "2020-01-01T00:00:00Z") == "1 are told again; 0 are past their retention\n"
    assert deliveries().splitlines()[1].split()[2] == "pending"
    assert deliveries("--redeliver", name) == f"{name} is told again\n"
    both = penstock("deliveries", deployed, "--redeliver", name, "--since", "now", "--url", gateway_url)
    assert "not both" in one_line(both, 2)
