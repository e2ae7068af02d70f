"""Large bodies in and out, byte for byte, through both doors; and the clients that people have."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import requests

from tests.conftest import missing
from tests.e2e.harness import FUNCTIONS, Stack

MIB = 2**20


def noise(size: int) -> bytes:
    """Bytes that nobody could guess or compress, the same each time."""
    blocks = (hashlib.sha512(b"%d" % n).digest() for n in range(size // 64 + 1))
    return b"".join(blocks)[:size]


@pytest.mark.parametrize("size", [0, 1, 256 * 1024, 256 * 1024 + 1, MIB])
def test_a_body_comes_back_as_it_was_sent(process_stack: Stack, size: int) -> None:
    body = noise(size)
    held = process_stack.call("echo", body)
    assert (held.status_code, held.content == body) == (200, True)
    triggered = requests.put(f"{process_stack.url}/fn/echo/a/b?c=d", data=body, timeout=20)
    assert (triggered.status_code, triggered.content == body) == (200, True)
    job = process_stack.submit("echo", body)
    assert job["request"]["size"] == size
    process_stack.finished("echo", job["id"])
    for _ in range(2):
        assert process_stack.result("echo", job["id"]).content == body


def test_a_large_answer_and_a_large_body(stack: Stack) -> None:
    body = noise(MIB)
    assert stack.call("echo", body).content == body
    for size in (300 * 1024, 5 * MIB):
        expected = pattern(size)
        held = stack.call("big", {"bytes": size})
        assert held.headers["Content-Length"] == str(size)
        assert held.content == expected
        job = stack.submit("big", {"bytes": size})["id"]
        assert stack.finished("big", job)["response"]["size"] == size
        assert stack.result("big", job).content == expected
    triggered = stack.http.post(f"{stack.url}/fn/big/any", json={"bytes": 5 * MIB}, timeout=20)
    assert triggered.content == expected


def test_a_trigger_passes_method_path_query_and_headers(stack: Stack) -> None:
    url = f"{stack.url}/fn/server/v1/a%20b//c?q=1&q=2&e=%2F"
    reply = stack.http.put(url, data=b"body", headers={"X-Mine": "yes", "Content-Type": "text/x-y"}, timeout=20)
    assert reply.status_code == 200
    seen = reply.json()
    assert (seen["method"], seen["path"], seen["body"]) == ("PUT", "/v1/a%20b//c?q=1&q=2&e=%2F", "body")
    assert seen["headers"]["x-mine"] == "yes"
    assert seen["headers"]["content-type"] == "text/x-y"
    assert seen["headers"]["x-fc-request-id"] == reply.headers["Penstock-Invocation-Id"]
    assert reply.headers["X-Answer"] == "as the function said it"
    # Here a complete answer is an answer, whatever its status.
    teapot = stack.http.get(f"{stack.url}/fn/server", headers={"X-Want-Status": "418"}, timeout=20)
    assert (teapot.status_code, teapot.json()["path"]) == (418, "/")
    record = stack.record("server", teapot.headers["Penstock-Invocation-Id"])
    assert (record["state"], record["response"]["status"]) == ("succeeded", 418)


def test_curl(process_stack: Stack, tmp_path: Path) -> None:
    """It waits for `100 Continue` before it sends a body as long as this one."""
    needs("curl")
    sent, got, head = tmp_path / "sent", tmp_path / "got", tmp_path / "head"
    sent.write_bytes(noise(2 * MIB))
    command = ["curl", "-sS", "-m", "20", "-D", str(head), "-o", str(got), "--data-binary", f"@{sent}"]
    subprocess.run([*command, "-H", "Expect: 100-continue", process_stack.path("echo")], check=True, timeout=30)
    assert got.read_bytes() == sent.read_bytes()
    assert re.search(r"^HTTP/1.1 200 OK", head.read_text(), re.MULTILINE)
    assert "Penstock-Cold-Start: " in head.read_text()


def test_ab(process_stack: Stack, tmp_path: Path) -> None:
    """It speaks HTTP/1.0, with and without keep-alive."""
    needs("ab")
    body = tmp_path / "body"
    body.write_bytes(b"Nice to meet you")
    for options in ([], ["-k"]):
        command = ["ab", "-q", *options, "-n", "200", "-c", "8", "-p", str(body), "-T", "text/plain"]
        done = subprocess.run(
            [*command, process_stack.path("echo")], capture_output=True, text=True, check=True, timeout=30
        )
        assert re.search(r"Complete requests: +200\n", done.stdout), done.stdout
        assert re.search(r"Failed requests: +0\n", done.stdout), done.stdout
        assert "Non-2xx" not in done.stdout, done.stdout


def pattern(size: int) -> bytes:
    """As tests/functions/big answers it."""
    scope: dict[str, object] = {}
    exec((FUNCTIONS / "big" / "app.py").read_text(), scope)
    made: bytes = scope["pattern"](size)  # type: ignore[operator]
    return made


def needs(program: str) -> None:
    if shutil.which(program) is None:
        missing(program)
