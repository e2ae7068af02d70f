"""What an instance is told with a call."""

from __future__ import annotations

import pytest

from penstock import clock
from penstock.invocation import Request
from penstock.settings import FcSettings
from tests.unit.workers.samples import function, invocation
from workers.contract import call_headers, hook_headers, runtime_environment

FC = FcSettings()
URL = "http://127.0.0.1:9/runs/echo/1/1/signature/progress"


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now_ms", lambda: 1_700_000_000_000)


def test_an_event_call_of_a_job() -> None:
    called = function(path="/srv/echo", handler="app:run", resources={"memory": "512MiB"})
    one = invocation(token=3, deferrals=1, timeout_ms=5_000)
    assert call_headers(called, one, URL, FC) == [
        ("x-fc-request-id", one.id),
        ("x-fc-function-name", "echo"),
        ("x-fc-function-handler", "app:run"),
        ("x-fc-function-memory", "512"),
        ("x-fc-region", "local"),
        ("x-fc-account-id", "0"),
        ("x-fc-version-id", "LATEST"),
        ("x-fc-qualifier", "LATEST"),
        ("x-fc-control-path", "/invoke"),
        ("x-fc-invocation-type", "Async"),
        ("penstock-attempt", "2"),
        ("penstock-deadline", "1700000005000"),
        ("penstock-progress-url", URL),
    ]


def test_a_held_http_call() -> None:
    headers = dict(call_headers(function(), invocation(kind="call", request=Request(path="/predict")), URL, FC))
    assert headers["x-fc-control-path"] == "/http-invoke"
    assert headers["x-fc-invocation-type"] == "Sync"
    assert headers["x-fc-function-handler"] == ""


def test_the_clients_own_headers_come_first_and_all() -> None:
    own = (("Content-Type", "text/plain"), ("X-Tag", "a"), ("X-Tag", "b"))
    headers = call_headers(function(), invocation(request=Request(headers=own)), URL, FC)
    assert headers[:3] == list(own)


def test_no_credentials_are_sent() -> None:
    sent = {name for name, _ in call_headers(function(), invocation(), URL, FC)}
    assert not [name for name in sent if "key" in name or "secret" in name or "token" in name]


def test_initialize_belongs_to_its_instance() -> None:
    headers = dict(hook_headers(function(), "echo-1a2b", "/initialize", FC))
    assert headers["x-fc-request-id"] == "echo-1a2b"
    assert (headers["x-fc-function-name"], headers["x-fc-control-path"]) == ("echo", "/initialize")
    assert headers.keys() == set(dict(call_headers(function(), invocation(), URL, FC))) - {
        "x-fc-invocation-type",
        "penstock-attempt",
        "penstock-deadline",
        "penstock-progress-url",
    }


def test_a_version_says_which_it_is_and_by_which_name_it_was_called() -> None:
    published = function(name="echo@3", region="eu-1")
    headers = dict(call_headers(published, invocation(), URL, FcSettings(account_id="42")))
    assert (headers["x-fc-function-name"], headers["x-fc-version-id"]) == ("echo", "3")
    assert (headers["x-fc-qualifier"], headers["x-fc-region"], headers["x-fc-account-id"]) == ("3", "eu-1", "42")
    called = invocation(request=Request(headers=(("X-Fc-Qualifier", "prod"),)))
    names = [name.lower() for name, _ in call_headers(published, called, URL, FC)]
    assert names.count("x-fc-qualifier") == 1
    assert ("X-Fc-Qualifier", "prod") in call_headers(published, called, URL, FC)


def test_the_runtime_is_told_what_to_serve_and_how() -> None:
    one = function(path="/srv/echo", handler="app:run", resources={"memory": "512MiB"}, concurrency=2).spec
    plain = {
        "PENSTOCK_FUNCTION": "echo",
        "PENSTOCK_HANDLER": "app:run",
        "PENSTOCK_CODE": "/code",
        "PENSTOCK_EVENT": "bytes",
        "PENSTOCK_CONCURRENCY": "2",
        "PENSTOCK_WORKERS": "thread",
        "PENSTOCK_MEMORY": "512",
    }
    assert runtime_environment("echo", one, "/code") == plain
    batching = function(path="/srv/echo", handler="app:run", batch={"max_size": 8, "max_wait": "5ms"}).spec
    told = runtime_environment("echo", batching, "/code")
    assert (told["PENSTOCK_BATCH_SIZE"], told["PENSTOCK_BATCH_WAIT"]) == ("8", "0.005")
