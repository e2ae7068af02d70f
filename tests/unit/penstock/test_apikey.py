"""API keys: how they look, what their scopes allow, when they end."""

from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

from penstock import apikey
from penstock.apikey import ApiKey, Verb, allows, covers, well_formed


def key(**fields: object) -> ApiKey:
    return ApiKey.model_validate({"id": "k", "digest": "d", "name": "n", "created_at": 0, **fields})


def test_a_key_has_prefix_id_secret_and_checksum() -> None:
    text, key_id = apikey.mint()
    assert re.fullmatch(rf"psk_{key_id}_[0-9A-Za-z]{{30}}_[0-9A-Za-z]{{6}}", text)
    assert 62**30 > 2**160, "too few random bits"
    assert well_formed(text)


def test_no_two_keys_are_the_same() -> None:
    assert len({apikey.mint() for _ in range(1000)}) == 1000


def test_a_mistyped_or_cut_key_is_told_from_an_unknown_one() -> None:
    text, _ = apikey.mint()
    for place in range(len(text)):
        other = "x" if text[place] != "x" else "y"
        assert not well_formed(text[:place] + other + text[place + 1 :]), place
        assert not well_formed(text[:place])
    assert not well_formed(text + "0")
    assert not well_formed(text + "\n")


def test_a_key_is_found_in_the_midst_of_text() -> None:
    text, _ = apikey.mint()
    assert apikey.in_text(f"/fn/f?token={text}&a=b")
    assert not apikey.in_text(f"/fn/f?token={text[:-1]}!")
    assert not apikey.in_text("/fn/psk_nothing")


def test_what_is_kept_is_a_hash() -> None:
    text, made = apikey.make("ci", now_ms=5, lifetime=2.5, tenant="acme")
    assert text not in made.dump()
    assert text.split("_")[2] not in made.dump()
    assert made.digest == apikey.digest(text)
    assert ApiKey.model_validate_json(made.dump()) == made
    assert (made.expires_at, made.tenant, made.scopes) == (2505, "acme", ("invoke:*", "read:*", "cancel:*"))


def test_a_key_ends_when_it_is_revoked_or_its_time_is_over() -> None:
    assert key().ended(10**15) is None
    assert key(expires_at=100).ended(99) is None
    assert key(expires_at=100).ended(100) == "expired"
    assert key(expires_at=100, revoked_at=1).ended(0) == "revoked"


@pytest.mark.parametrize(
    ("scopes", "verb", "function", "allowed"),
    [
        (("invoke:chat",), Verb.INVOKE, "chat", True),
        (("invoke:chat",), Verb.INVOKE, "chats", False),
        (("invoke:chat",), Verb.READ, "chat", False),
        (("invoke:chat*",), Verb.INVOKE, "chats", True),
        (("invoke:*-dev",), Verb.INVOKE, "chat-dev", True),
        (("invoke:*-dev",), Verb.INVOKE, "chat-prod", False),
        (("read:*",), Verb.READ, "anything", True),
        (("*:chat",), Verb.ADMIN, "chat", True),
        (("*:*",), Verb.DEPLOY, "chat", True),
        (("invoke:*",), Verb.INVOKE, "*", True),
        (("invoke:chat*",), Verb.INVOKE, "*", False),
        ((), Verb.INVOKE, "chat", False),
    ],
)
def test_what_scopes_allow(scopes: tuple[str, ...], verb: Verb, function: str, allowed: bool) -> None:
    assert allows(scopes, verb, function) is allowed


@pytest.mark.parametrize(
    ("held", "scope", "covered"),
    [
        (("*:*",), "*:*", True),
        (("invoke:*", "read:*"), "invoke:chat", True),
        (("invoke:*", "read:*"), "*:chat", False),
        (("invoke:chat",), "invoke:*", False),
        (("invoke:chat*",), "invoke:chat-*", True),
        (("invoke:chat-*",), "invoke:chat*", False),
        (("invoke:*", "read:*", "cancel:*", "deploy:*", "admin:*"), "*:x", True),
    ],
)
def test_a_key_gives_only_what_it_has(held: tuple[str, ...], scope: str, covered: bool) -> None:
    assert covers(held, scope) is covered


@pytest.mark.parametrize(
    "scope", ["", "invoke", "invoke:", "fly:*", "invoke:Chat", "invoke:a b", "invoke:[a]", "invoke:?", 7]
)
def test_what_is_no_scope_is_refused_with_what_would_be(scope: object) -> None:
    with pytest.raises(ValidationError, match="write VERB:FUNCTION"):
        key(scopes=(scope,))


@pytest.mark.parametrize("tenant", ["Acme", "a b", "-a", "a" * 64])
def test_a_tenant_is_a_name(tenant: str) -> None:
    with pytest.raises(ValidationError, match="tenant"):
        key(tenant=tenant)
