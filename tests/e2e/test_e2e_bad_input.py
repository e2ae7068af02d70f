"""Requests that cannot be served: each is refused with what is wrong, and nothing of it is kept."""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.e2e.harness import Json, Stack, free_port, wait_until


def problem(reply: requests.Response) -> Json:
    """The problem+json of an answer that is one."""
    assert reply.headers["Content-Type"].startswith("application/problem+json"), reply.text
    body: Json = reply.json()
    assert body["status"] == reply.status_code
    assert body["code"]
    assert body["detail"]
    return body


def raw(stack: Stack, method: str, target: str, body: bytes = b"") -> tuple[int, bytes]:
    """A request whose target no client library tidies up."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=10)
    try:
        connection.putrequest(method, target, skip_host=False)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def test_an_unknown_function_is_404(process_stack: Stack) -> None:
    for reply in (
        process_stack.call("nobody"),
        process_stack.call("nobody", headers={"Prefer": "respond-async"}),
        process_stack.http.get(f"{process_stack.url}/fn/nobody/path", timeout=5),
        process_stack.http.get(f"{process_stack.url}/v1/functions/nobody", timeout=5),
        process_stack.http.get(process_stack.path("nobody"), timeout=5),
    ):
        assert reply.status_code == 404
        assert problem(reply)["code"] == "function_not_found"


@pytest.mark.parametrize(
    "name",
    [
        "Echo",
        "-echo",
        "..%2fecho",
        "%2e%2e%2fecho",
        "echo%00",
        "echo%0d%0aX:y",
        "e" * 64,
        "%C3%A9cho",
        "ec{h}o",
        "%ff",
    ],
)
def test_a_bad_name_is_404(process_stack: Stack, name: str) -> None:
    for method, target in (
        ("POST", f"/v1/functions/{name}/invocations"),
        ("GET", f"/v1/functions/{name}/invocations/0190a000-0000-7000-8000-000000000000"),
        ("GET", f"/v1/functions/{name}"),
        ("GET", f"/fn/{name}/"),
    ):
        status, body = raw(process_stack, method, target)
        assert status == 404, (method, target, body)
        assert json.loads(body)["code"] in ("function_not_found", "not_found"), (method, target)


def test_an_unknown_id_is_404(process_stack: Stack) -> None:
    stack = process_stack
    ours = stack.submit("echo", b"x")["id"]
    other = stack.submit("jobs", {})["id"]
    forged = ours[:-1] + ("0" if ours[-1] != "0" else "1")
    for invocation in ("nonsense", "0190a000-0000-7000-8000-000000000000", forged, other):
        for method in ("GET", "DELETE"):
            reply = stack.http.request(method, stack.path("echo", invocation), timeout=5)
            assert (reply.status_code, problem(reply)["code"]) == (404, "invocation_not_found"), invocation
        reply = stack.http.get(f"{stack.path('echo', invocation)}/result", timeout=5)
        assert (reply.status_code, problem(reply)["code"]) == (404, "invocation_not_found"), invocation
    assert stack.finished("jobs", other)["state"] == "succeeded", "it was not the one that was to be cancelled"


def test_an_id_whose_record_is_gone_is_410(process_stack: Stack) -> None:
    stack = process_stack
    job = stack.submit("echo", b"x")["id"]
    stack.finished("echo", job)
    assert stack.redis.cli("DEL", f"ps:{{echo}}:inv:{job}") == "1"  # as its retention does
    for url in (stack.path("echo", job), f"{stack.path('echo', job)}/result"):
        reply = stack.http.get(url, timeout=5)
        assert (reply.status_code, problem(reply)["code"]) == (410, "invocation_expired")


@pytest.mark.parametrize("prefer", [None, "respond-async"])
def test_a_body_too_large_is_413(process_stack: Stack, prefer: str | None) -> None:
    stack, limit = process_stack, 8 * 2**20
    headers = {"Prefer": prefer} if prefer else {}
    said = stack.call("echo", b"x" * (limit + 1), headers=headers)
    assert (said.status_code, problem(said)["code"]) == (413, "payload_too_large")

    def chunks() -> Iterator[bytes]:
        for _ in range(limit // 2**16 + 1):
            yield b"x" * 2**16

    streamed = requests.post(stack.path("echo"), data=chunks(), headers=headers, timeout=20)
    assert (streamed.status_code, problem(streamed)["code"]) == (413, "payload_too_large")
    triggered = requests.post(f"{stack.url}/fn/echo/", data=b"x" * (limit + 1), timeout=20)
    assert triggered.status_code == 413
    assert not [path for path in stack.data_dir.rglob("*") if ".partial" in path.name], "no half of it is kept"
    assert stack.call("echo", b"x" * limit).content == b"x" * limit, "what just fits is taken"


@pytest.mark.parametrize(
    "prefer",
    ["wait=abc", "wait=", "wait=-1", "wait=1.5", "respond-async=maybe", ";;,=,", "handling=lenient", "wait"],
)
def test_a_bad_prefer_is_ignored(process_stack: Stack, prefer: str) -> None:
    reply = process_stack.call("echo", b"x", headers={"Prefer": prefer})
    assert (reply.status_code, reply.content) == (200, b"x")


def test_a_full_queue_is_429_and_what_was_accepted_ends(process_stack: Stack) -> None:
    stack = process_stack
    replies = [
        stack.call("shallow", {"n": n, "seconds": 0.5}, headers={"Prefer": "respond-async"}) for n in range(6)
    ]
    accepted = [reply.json()["id"] for reply in replies if reply.status_code == 202]
    refused = [reply for reply in replies if reply.status_code != 202]
    assert 2 <= len(accepted) <= 3, "two wait, and one may run already"
    for reply in refused:
        assert (reply.status_code, problem(reply)["code"]) == (429, "queue_full")
        assert reply.json()["retryable"] is True
        assert 1 <= int(reply.headers["Retry-After"]) <= 60
    for job in accepted:
        assert stack.finished("shallow", job)["state"] == "succeeded"
    listed = stack.http.get(stack.path("shallow"), params={"limit": 100}, timeout=5).json()["invocations"]
    assert [one["id"] for one in listed] == accepted[::-1], "of what was refused nothing is kept"
    assert stack.call("shallow", {}, headers={"Prefer": "respond-async"}).status_code == 202, "there is room again"


def test_too_many_held_calls_are_429(process_stack: Stack) -> None:
    stack, port = process_stack, free_port()
    # Gateways are many: this one has a limit of its own.
    extra = stack.run("gateway", "--port", str(port), "--redis-url", stack.redis.url, GATEWAY__HELD_DEPTH="2")
    extra.says("listening")

    def call(n: int) -> requests.Response:
        url = f"http://127.0.0.1:{port}/v1/functions/held/invocations"
        return requests.post(url, json={"n": n, "seconds": 0.3}, timeout=20)

    with ThreadPoolExecutor(8) as clients:
        replies = list(clients.map(call, range(8)))
    refused = [reply for reply in replies if reply.status_code == 429]
    served = [reply for reply in replies if reply.status_code == 200]
    assert len(refused) + len(served) == 8
    assert 2 <= len(served) <= 3, "two wait, and one may run already"
    for reply in refused:
        assert problem(reply)["code"] == "queue_full"
        assert int(reply.headers["Retry-After"]) >= 1
    assert stack.redis.cli("ZCARD", "ps:{held}:calls") == "0", "no place leaks"
    assert extra.stop() == 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/functions/echo/invocations?limit=0", 400),
        ("GET", "/v1/functions/echo/invocations?limit=x", 400),
        ("GET", "/v1/functions/echo/invocations?state=lost", 400),
        ("GET", "/v1/functions/echo/invocations?cursor=x", 400),
        ("PUT", "/v1/functions/echo", 400),
        ("GET", "/v9/anything", 404),
        ("PATCH", "/v1/functions/echo", 405),
    ],
)
def test_other_mistakes(process_stack: Stack, method: str, path: str, status: int) -> None:
    reply = process_stack.http.request(method, process_stack.url + path, data=b"{not json", timeout=5)
    assert reply.status_code == status
    problem(reply)


def test_a_page_of_elsewhere_is_turned_away(process_stack: Stack) -> None:
    """Without keys a browser on this machine would carry any page's requests here."""
    for headers in ({"Origin": "https://example.com"}, {"Host": "rebound.example.com"}):
        reply = process_stack.call("echo", b"x", headers=headers)
        assert (reply.status_code, problem(reply)["code"]) == (403, "forbidden")
    assert process_stack.call("echo", b"x", headers={"Origin": "http://localhost:3000"}).status_code == 200


def test_code_of_the_host_never_comes_over_http(process_stack: Stack) -> None:
    for spec in ({"path": "/etc"}, {"command": ["sh", "-c", "id"]}, {"image": "x", "volumes": ["/:/host"]}):
        reply = process_stack.http.put(f"{process_stack.url}/v1/functions/evil", json=spec, timeout=5)
        assert (reply.status_code, problem(reply)["code"]) == (403, "forbidden")
    assert process_stack.http.get(f"{process_stack.url}/v1/functions/evil", timeout=5).status_code == 404


def test_what_is_not_http_hurts_nobody(process_stack: Stack) -> None:
    for garbage in (b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n", b"\x00" * 1000):
        sent = subprocess.run(
            ["curl", "-s", "-m", "3", f"telnet://127.0.0.1:{process_stack.port}"], input=garbage, check=False
        )
        assert sent.returncode is not None
    wait_until(process_stack.ready, 5, "the gateway still serves")
    assert process_stack.call("echo", b"x").content == b"x"


def test_commands_refuse_bad_input_with_one_line(process_stack: Stack) -> None:
    stack = process_stack
    typo = stack.write_specs({"echo": {"path": "../x", "scalling": {"max": 1}}}, "typo.yaml")
    unit = stack.write_specs({"echo": {"image": "x", "timeout": "90 parsecs"}}, "unit.yaml")
    refused: tuple[tuple[tuple[str, ...], dict[str, str], tuple[str, ...]], ...] = (
        (("deploy", "-f", str(typo)), {}, ("typo.yaml:4", "functions.echo.scalling", "did you mean scaling")),
        (("deploy", "-f", str(unit)), {}, ("functions.echo.timeout", "90 parsecs")),
        (("gateway", "--port", str(stack.port), "--redis-url", stack.redis.url), {}, ("Address already in use",)),
        (("gateway", "--host", "0.0.0.0"), {}, ("--insecure",)),
        (("gateway",), {"SECRET": ""}, ("PENSTOCK_SECRET",)),
        (("gateway",), {"GATEWAY__HOLD": "soon"}, ("gateway.hold", "soon")),
        (("workers", "--engine", "podman"), {}, ("workers.engine", "podman")),
    )
    with ThreadPoolExecutor(2) as shells:
        ended = list(shells.map(lambda one: stack.cli(*one[0], **one[1]), refused))
    for (command, _, words), done in zip(refused, ended, strict=True):
        assert done.returncode == 2, (command, done.stdout, done.stderr)
        assert len(done.stderr.splitlines()) == 1, (command, done.stderr)
        for word in words:
            assert word in done.stderr, (command, done.stderr)
