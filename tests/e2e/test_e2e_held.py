"""Held calls survive: the end of the hold, and the end of their client."""

from __future__ import annotations

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import requests

from tests.e2e.harness import Stack, free_port, wait_until


def test_when_the_hold_runs_out_the_same_job_goes_on(stack: Stack) -> None:
    stack.call("held", {})  # warm, so that the times below are those of the run
    asked = time.monotonic()
    reply = stack.call("held", {"n": 3, "seconds": 2}, headers={"Prefer": "wait=1"})
    assert 0.9 <= time.monotonic() - asked < 1.9
    assert reply.status_code == 202
    record = reply.json()
    assert reply.headers["Location"] == f"/v1/functions/held/invocations/{record['id']}"
    assert reply.headers["Penstock-Invocation-Id"] == record["id"]
    assert (record["state"], record["attempt"]) == ("running", 1)

    ended = stack.finished("held", record["id"])
    assert (ended["state"], ended["attempt"]) == ("succeeded", 1), "it was not begun again"
    assert stack.result("held", record["id"]).json()["n"] == 3
    listed = stack.http.get(stack.path("held"), params={"limit": 1}, timeout=5).json()["invocations"]
    assert listed[0]["id"] == record["id"], "it is an async job from that moment"


def test_a_gateways_own_hold_and_one_that_nobody_may_exceed(process_stack: Stack) -> None:
    stack, port = process_stack, free_port()
    extra = stack.run(
        *("gateway", "--port", str(port), "--redis-url", stack.redis.url),
        GATEWAY__HOLD="1s",
        GATEWAY__MAX_HOLD="2s",
    )
    extra.says("listening")
    url = f"http://127.0.0.1:{port}"
    asked = time.monotonic()

    def call(path: str, prefer: str) -> tuple[float, requests.Response]:
        reply = requests.post(url + path, json={"seconds": 3.5}, headers={"Prefer": prefer}, timeout=20)
        return time.monotonic() - asked, reply

    event, trigger = "/v1/functions/burst/invocations", "/fn/burst/"
    with ThreadPoolExecutor(3) as clients:
        replies = list(clients.map(call, (event, event, trigger), ("", "wait=100", "")))
    (own, first), (longest, second), (triggered, third) = replies
    assert 0.9 <= own < 1.9
    assert 1.9 <= longest < 2.9
    for reply in (first, second):
        assert reply.status_code == 202
        # Any gateway can be asked about it.
        assert stack.finished("burst", reply.json()["id"])["state"] == "succeeded"
    # A client of the function's own protocol knows no 202.
    assert (third.status_code, third.json()["code"]) == (504, "run_timeout")
    assert 0.9 <= triggered < 1.9
    assert stack.finished("burst", third.json()["invocation"])["state"] == "succeeded", "its run goes on"
    assert extra.stop() == 0


def test_a_queued_call_is_cancelled_when_its_client_leaves(process_stack: Stack) -> None:
    stack = process_stack
    running = threading.Thread(target=stack.call, args=("held", {"seconds": 2}))
    running.start()
    wait_until(lambda: ids(stack, "running"), 10, "the first call runs")
    client = send(stack, {"n": 2, "seconds": 0})
    (queued,) = wait_until(lambda: ids(stack, "calls"), 5, "the second call waits")
    assert stack.record("held", queued)["state"] == "queued"
    client.close()
    record = stack.finished("held", queued, timeout=5)
    assert record["state"] == "cancelled"
    assert record["attempt"] == 0, "it was never run"
    assert ids(stack, "running"), "and it did not have to wait for that"
    assert stack.result("held", queued).status_code == 499
    running.join()


def test_a_started_call_is_finished_when_its_client_leaves(stack: Stack) -> None:
    client = send(stack, {"n": 8, "seconds": 1})
    (started,) = wait_until(lambda: ids(stack, "running"), 15, "the call runs")
    client.close()
    record = stack.finished("held", started)
    assert (record["state"], record["attempt"]) == ("succeeded", 1)
    assert stack.result("held", started).json()["n"] == 8


def test_a_job_does_not_care_whether_its_client_stays(process_stack: Stack) -> None:
    stack = process_stack
    blocker = stack.submit("held", {"seconds": 1})["id"]
    client = send(stack, {"n": 9}, prefer="respond-async, wait=30")
    wait_until(lambda: len(ids(stack, "jobs", "-1", "-1")) == 1, 5, "it is accepted")
    jobs = wait_until(
        lambda: [job for job in ids(stack, "queued") if job != blocker], 5, "it waits behind the other"
    )
    client.close()
    assert stack.finished("held", jobs[0])["state"] == "succeeded"
    assert stack.result("held", jobs[0]).json()["n"] == 9


def send(stack: Stack, body: dict[str, object], *, prefer: str = "") -> socket.socket:
    """A call whose connection the test holds in its hand."""
    data = json.dumps(body).encode()
    head = (
        f"POST /v1/functions/held/invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\n" + (f"Prefer: {prefer}\r\n" if prefer else "") + "\r\n"
    )
    client = socket.create_connection(("127.0.0.1", stack.port))
    client.sendall(head.encode() + data)
    return client


def ids(stack: Stack, key: str, first: str = "0", last: str = "-1") -> list[str]:
    """What one of the sets of the function holds (penstock/keys.py)."""
    return stack.redis.cli("ZRANGE", f"ps:{{held}}:{key}", first, last).split()
