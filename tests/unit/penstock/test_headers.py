"""Which headers cross between a client and a function."""

from __future__ import annotations

import pytest

from penstock.headers import crosses


@pytest.mark.parametrize(
    "name",
    [
        "Accept",
        "Accept-Encoding",
        "Authorization",
        "Content-Encoding",
        "Content-Type",
        "Cookie",
        "ETag",
        "Location",
        "Origin",
        "Range",
        "Retry-After",
        "Set-Cookie",
        "User-Agent",
        "WWW-Authenticate",
        "X-Anything",
        "traceparent",
        "X-FcX",
        "Penstock",
    ],
)
def test_what_is_between_client_and_function_crosses(name: str) -> None:
    assert crosses(name, "value")


@pytest.mark.parametrize(
    "name",
    [
        "Connection",
        "Keep-Alive",
        "Proxy-Authenticate",
        "Proxy-Authorization",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "Content-Length",
        "Host",
        "Date",
        "Server",
        "Expect",
    ],
)
@pytest.mark.parametrize("spell", [str, str.lower, str.upper])
def test_what_is_of_one_hop_stays(name: str, spell: type[str]) -> None:
    assert not crosses(spell(name), "value")


@pytest.mark.parametrize(
    "name", ["x-fc-request-id", "X-Fc-Status", "X-FC-", "penstock-error", "Penstock-Invocation-Id", "PENSTOCK-X"]
)
def test_what_only_penstock_may_say_stays(name: str) -> None:
    assert not crosses(name, "value")


@pytest.mark.parametrize(
    "value", ["a\r\nX-Injected: 1", "a\nb", "a\rb", "a\x00b", "\x7f", "\x1b[31m", "Jos\udce9"]
)
def test_a_value_that_would_not_survive_as_one_header_stays(value: str) -> None:
    assert not crosses("X-Any", value)


@pytest.mark.parametrize("value", ["", "a\tb", "a, b", "grün", "✓", '"quoted; x=1"', "x" * 8000])
def test_any_other_value_crosses(value: str) -> None:
    assert crosses("X-Any", value)


@pytest.mark.parametrize("name", ["", "X A", "X:A", "X\r\nA", "X\x00", "\u00dc", "X(A)", "x" * 257])
def test_what_is_no_name_stays(name: str) -> None:
    assert not crosses(name, "value")


@pytest.mark.parametrize("name", ["x_fc_request_id", "Penstock_Error", "Transfer_Encoding", "Content_Length"])
def test_an_underscore_is_no_way_around(name: str) -> None:
    assert not crosses(name, "value")


def test_what_no_client_would_read_stays() -> None:
    assert crosses("X-A", "a" * 8_190)
    assert not crosses("X-A", "a" * 8_191)
