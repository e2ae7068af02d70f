"""Which names mean this machine, and how errors look to a client."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import ClientError, web
from aiohttp.test_utils import TestClient, TestServer

from gateway import middleware, problems
from gateway.local import is_local
from penstock import errors
from penstock.errors import PenstockError
from penstock.invocation import Failure, FailureCode


@pytest.mark.parametrize(
    "name",
    [
        "localhost",
        "LOCALHOST",
        "LocalHost:8080",
        "localhost:8080",
        "app.localhost",
        "app.localhost:3000",
        "127.0.0.1",
        "127.0.0.1:8080",
        "127.0.0.2",
        "127.255.255.254:1",
        "[::1]",
        "[::1]:8080",
        "[0:0:0:0:0:0:0:1]",
        "http://localhost",
        "http://localhost:3000",
        "https://127.0.0.1:8443",
        "http://[::1]:8080",
    ],
)
def test_these_names_mean_this_machine(name: str) -> None:
    assert is_local(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "null",
        "evil.com",
        "evil.com:8080",
        "localhost.evil.com",
        "localhost.evil.com:8080",
        "notlocalhost",
        "evil-localhost",
        "127.0.0.1.evil.com",
        "127.0.0.1.nip.io",
        "0.0.0.0",
        "0.0.0.0:8080",
        "[::]",
        "[::]:8080",
        "10.0.0.1",
        "192.168.1.10:8080",
        "169.254.169.254",
        "128.0.0.1",
        "1.0.0.127",
        "[fe80::1]",
        "[2001:db8::1]:8080",
        "http://evil.com",
        "https://localhost.evil.com",
        "http://evil.com/localhost",
        "http://evil.com#localhost",
        "http://evil.com?localhost",
        "http://localhost@evil.com",
        "http://localhost:80@evil.com",
        "http://127.0.0.1@evil.com:80",
        "file://",
        "chrome-extension://abcdef",
        "http://",
        "://localhost",
        "[::1",
        "[evil]",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "localhost\u3002evil.com",
        " ",
    ],
)
def test_these_names_do_not(name: str) -> None:
    assert not is_local(name)


def body(response: web.Response) -> dict[str, Any]:
    assert response.content_type == "application/problem+json"
    assert response.text is not None
    assert response.text.endswith("\n")
    parsed: dict[str, Any] = json.loads(response.text)
    assert parsed["status"] == response.status
    return parsed


@pytest.mark.parametrize(
    ("error", "status", "code", "retryable"),
    [
        (errors.InvalidRequest("bad"), 400, "invalid_request", False),
        (errors.Forbidden("no"), 403, "forbidden", False),
        (errors.FunctionNotFound("f"), 404, "function_not_found", False),
        (errors.InvocationNotFound("i"), 404, "invocation_not_found", False),
        (errors.AlreadyFinished("i", "failed"), 409, "already_finished", False),
        (errors.InvocationExpired("i"), 410, "invocation_expired", False),
        (errors.PayloadTooLarge(10), 413, "payload_too_large", False),
        (errors.QueueFull("full", 7), 429, "queue_full", True),
        (errors.StoreUnavailable("away"), 503, "store_unavailable", True),
    ],
)
def test_an_error_becomes_a_problem_with_its_code(
    error: PenstockError, status: int, code: str, retryable: bool
) -> None:
    response = problems.of_error(error)
    assert response.status == status
    said = body(response)
    assert (said["code"], said["retryable"], said["detail"]) == (code, retryable, str(error))
    assert said["type"] == "about:blank"
    assert said["title"]


@pytest.mark.parametrize(
    ("error", "seconds"), [(errors.QueueFull("full", 7), "7"), (errors.StoreUnavailable("away"), "1")]
)
def test_an_overload_says_when_to_come_again(error: PenstockError, seconds: str) -> None:
    assert problems.of_error(error).headers["Retry-After"] == seconds


def test_another_error_says_nothing_of_coming_again() -> None:
    assert "Retry-After" not in problems.of_error(errors.Forbidden("no")).headers


@pytest.mark.parametrize(
    ("code", "status", "retryable"),
    [
        (FailureCode.FUNCTION_ERROR, 502, False),
        (FailureCode.INSTANCE_LOST, 502, True),
        (FailureCode.RUN_TIMEOUT, 504, True),
        (FailureCode.EXPIRED, 504, True),
        (FailureCode.CANCELLED, 499, False),
        (FailureCode.START_FAILED, 503, True),
        (FailureCode.PAUSED, 503, True),
    ],
)
def test_a_failure_becomes_a_problem_with_its_invocation(code: FailureCode, status: int, retryable: bool) -> None:
    response = problems.of_failure(Failure(code=code, message="why", log_tail="secret lines"), "id-1")
    assert response.status == status
    said = body(response)
    assert (said["code"], said["retryable"], said["detail"], said["invocation"]) == (
        code,
        retryable,
        "why",
        "id-1",
    )
    assert ("Retry-After" in response.headers) is (status == 503)


def test_only_a_failed_start_shows_its_log() -> None:
    shown = problems.of_failure(Failure(code=FailureCode.START_FAILED, message="", log_tail="lines"), "i")
    assert body(shown)["log_tail"] == "lines"
    hidden = problems.of_failure(Failure(code=FailureCode.FUNCTION_ERROR, message="", log_tail="lines"), "i")
    assert "log_tail" not in body(hidden)


def test_a_status_without_a_phrase_has_a_title() -> None:
    assert body(problems.problem(499, "cancelled", "gone"))["title"] == "Client Closed Request"


@pytest.mark.parametrize("gone", [True, False])
async def test_only_what_a_client_that_left_does_to_a_stream_is_no_error_of_ours(
    gone: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        if not gone:
            raise ConnectionResetError("something else")
        response = web.StreamResponse()
        await response.prepare(request)
        assert request.transport is not None
        request.transport.abort()
        await response.write(b"to nobody")
        return response

    app = web.Application(middlewares=[middleware.errors])
    app.router.add_get("/", stream)
    async with TestClient(TestServer(app)) as client:
        if gone:
            with pytest.raises(ClientError):
                await (await client.get("/")).read()
        else:
            assert (await client.get("/")).status == 500
    logged = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert logged == ([] if gone else ["GET /"])
