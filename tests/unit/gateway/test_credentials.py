"""Where a request may carry a key: in the forms of every client that we serve."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.credentials import find

KEY = "psk_abcdefgh_0123456789"


def ours(text: str) -> bool:
    return text.startswith("psk_")


def found(*headers: tuple[str, str]) -> tuple[str | None, frozenset[str]]:
    return find(CIMultiDictProxy(CIMultiDict(headers)), ours)


@pytest.mark.parametrize(
    "value",
    [
        f"Bearer {KEY}",
        f"bearer   {KEY}",
        f"Token {KEY}",
        KEY,
        f" {KEY} ",
        f"AWS4-HMAC-SHA256 Credential={KEY}/20260101/us-east-1/lambda/aws4_request, Signature=00",
        f"AWS4-HMAC-SHA256 SignedHeaders=host, Credential={KEY}/20260101/us-east-1/lambda/x,Signature=0",
        f"ACS3-HMAC-SHA256 Credential={KEY},SignedHeaders=host;x-acs-date,Signature=00",
        f"FC {KEY}:c2lnbmF0dXJl",
    ],
)
def test_a_key_is_found_in_authorization(value: str) -> None:
    assert found(("authorization", value)) == (KEY, frozenset({"authorization"}))


def test_a_key_is_found_in_x_api_key() -> None:
    assert found(("x-api-key", KEY)) == (KEY, frozenset({"x-api-key"}))


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("Authorization", "Bearer sk-own"),),
        (("Authorization", f"Basic {KEY}"),),
        (("Authorization", f"Bearer x {KEY}"),),
        (("Authorization", ""),),
        (("X-Api-Key", "another"),),
        (("Cookie", f"key={KEY}"),),
        (("X-Key", KEY),),
    ],
)
def test_there_is_none_elsewhere(headers: tuple[tuple[str, str], ...]) -> None:
    assert found(*headers) == (None, frozenset())


def test_a_functions_own_token_stands_beside_our_key() -> None:
    headers = (("Authorization", "Bearer sk-own"), ("X-Api-Key", KEY))
    assert found(*headers) == (KEY, frozenset({"x-api-key"}))


def test_every_header_with_a_key_is_ours() -> None:
    headers = (("X-Api-Key", "psk_two"), ("Authorization", f"Bearer {KEY}"))
    assert found(*headers) == (KEY, frozenset({"authorization", "x-api-key"}))


def test_a_long_header_is_read_at_once() -> None:
    assert found(("Authorization", "AWS4-A " + "Credential" * 100_000)) == (None, frozenset())
    assert found(("Authorization", "FC " + ":" * 100_000)) == (None, frozenset())
