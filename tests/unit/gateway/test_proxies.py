"""What a function is told of its client, with and without proxies before the gateway."""

from __future__ import annotations

from ipaddress import ip_network

from gateway.proxies import forwarded
from tests.unit.gateway.conftest import House
from tests.unit.gateway.test_trigger import recorded

GIVEN = (
    ("Accept", "*/*"),
    ("X-Forwarded-For", "198.51.100.7"),
    ("x-forwarded-proto", "https"),
    ("X-Forwarded-Host", "api.example.com"),
    ("X-Forwarded-Prefix", "/a"),
    ("Forwarded", "for=198.51.100.7"),
    ("X-Real-IP", "198.51.100.7"),
    ("X_Forwarded_For", "198.51.100.7"),
)
TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def test_a_client_can_claim_nothing() -> None:
    told = forwarded(GIVEN, peer="192.0.2.1", scheme="http", host="gw:8080", trusted=TRUSTED)
    assert told == (
        ("Accept", "*/*"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "gw:8080"),
    )


def test_a_trusted_proxy_is_believed_and_joins_the_chain() -> None:
    for peer in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1"):
        told = dict(forwarded(GIVEN, peer=peer, scheme="http", host="gw:8080", trusted=TRUSTED))
        assert told["X-Forwarded-For"] == f"198.51.100.7, {peer}"
        assert told["X-Forwarded-Proto"] == "https"
        assert told["X-Forwarded-Host"] == "api.example.com"
        assert told["X-Forwarded-Prefix"] == "/a"
        assert told["Forwarded"] == "for=198.51.100.7"


def test_a_trusted_proxy_that_says_nothing_is_a_client() -> None:
    told = forwarded((), peer="10.0.0.1", scheme="https", host="gw", trusted=TRUSTED)
    assert told == (("X-Forwarded-For", "10.0.0.1"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "gw"))


async def test_a_function_is_told_who_calls(house: House) -> None:
    head = "GET /fn/FN/x HTTP/1.1\nX-Forwarded-For: 198.51.100.7\nX-Forwarded-Proto: https"
    told = dict((await recorded(house, head)).request.headers)
    assert (told["X-Forwarded-For"], told["X-Forwarded-Proto"]) == ("127.0.0.1", "http")
