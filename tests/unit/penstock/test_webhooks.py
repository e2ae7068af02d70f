"""Callbacks are signed as Standard Webhooks says: its own library verifies ours, and we verify what it signs."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from penstock.errors import ConfigurationError, InvalidRequest, InvalidSignature
from penstock.webhooks import TOLERANCE, headers, new_secret, parse_secrets, verify

SECRET, OTHER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
KEYS = parse_secrets(SECRET)
BODY = json.dumps({"type": "invocation.succeeded", "data": {"result": "grün ✓"}}).encode()


def signed(secret: str = SECRET, *, at: float | None = None, body: bytes = BODY) -> dict[str, str]:
    """Signed by the standard's own library."""
    moment = datetime.fromtimestamp(int(at or time.time()), tz=UTC)
    signature = Webhook(secret).sign("msg_1", moment, body.decode())
    timestamp = str(int(moment.timestamp()))
    return {"webhook-id": "msg_1", "webhook-timestamp": timestamp, "webhook-signature": signature}


def test_the_standards_library_verifies_what_we_sign() -> None:
    assert Webhook(SECRET).verify(BODY, headers(KEYS, "msg_1", BODY)) == json.loads(BODY)


def test_we_verify_what_the_standards_library_signs() -> None:
    verify(KEYS, signed(), BODY)


@pytest.mark.parametrize("secrets", [SECRET, [SECRET], [OTHER, SECRET], f"{OTHER} {SECRET}", KEYS, KEYS[0]])
@pytest.mark.parametrize("body", [BODY, BODY.decode()])
def test_a_receiver_gets_the_payload(secrets: Any, body: bytes | str) -> None:
    assert verify(secrets, signed(), body) == json.loads(BODY)


def test_a_receiver_may_be_more_patient() -> None:
    old = signed(at=time.time() - 3600)
    assert verify(SECRET, old, BODY, tolerance=7200) == json.loads(BODY)
    with pytest.raises(InvalidSignature):
        verify(SECRET, old, BODY)


def test_what_is_signed_and_no_json_is_refused() -> None:
    with pytest.raises(InvalidSignature, match="no JSON"):
        verify(SECRET, signed(body=b"{"), b"{")


def test_a_receivers_secret_that_is_none_is_said_to_be_none() -> None:
    with pytest.raises(ConfigurationError):
        verify("secret", signed(), BODY)


def test_what_the_docs_say_verifies_what_we_sign() -> None:
    docs = (Path(__file__).parents[3] / "docs/callbacks.md").read_text()
    known: dict[str, Any] = {}
    exec(docs.partition("```python\n")[2].partition("```")[0], known)
    said = headers(parse_secrets(f"{OTHER} {SECRET}"), "msg_1", BODY)
    assert known["verify"](SECRET, said, BODY)
    assert not known["verify"](SECRET, said, BODY + b" ")
    assert not known["verify"](new_secret(), said, BODY)
    assert not known["verify"](SECRET, headers(KEYS, "msg_1", BODY, int(time.time()) - 3600), BODY)


def test_both_sign_alike() -> None:
    now = int(time.time())
    assert headers(KEYS, "msg_1", BODY, now) == signed(at=now)


def test_the_standards_own_example() -> None:
    said = headers(
        parse_secrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        b'{"test": 2432232314}',
        1614265330,
    )
    assert said["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_while_secrets_rotate_each_of_them_verifies() -> None:
    both = headers(parse_secrets(f"{SECRET} {OTHER}"), "msg_1", BODY)
    assert len(both["webhook-signature"].split()) == 2
    for secret in (SECRET, OTHER):
        assert Webhook(secret).verify(BODY, both)
        verify(parse_secrets(secret), both, BODY)


def test_while_secrets_rotate_we_accept_either() -> None:
    keys = parse_secrets(f"{OTHER} {SECRET}")
    verify(keys, signed(SECRET), BODY)
    verify(keys, signed(OTHER), BODY)


@pytest.mark.parametrize("secret", [OTHER, new_secret()])
def test_another_secret_does_not_verify(secret: str) -> None:
    with pytest.raises(InvalidRequest, match="no signature fits"):
        verify(parse_secrets(secret), signed(), BODY)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY, headers(KEYS, "msg_1", BODY))


def test_without_a_key_nothing_verifies() -> None:
    with pytest.raises(InvalidRequest):
        verify((), signed(), BODY)


@pytest.mark.parametrize("body", [BODY + b" ", BODY[:-1], b"", BODY.replace(b"succeeded", b"failed")])
def test_a_changed_body_does_not_verify(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="no signature fits"):
        verify(KEYS, headers(KEYS, "msg_1", BODY), body)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp"])
def test_a_changed_header_does_not_verify(name: str) -> None:
    said = headers(KEYS, "msg_1", BODY)
    changed = {"webhook-id": "msg_2", "webhook-timestamp": str(int(said["webhook-timestamp"]) - 1)}
    with pytest.raises(InvalidRequest, match="no signature fits"):
        verify(KEYS, said | {name: changed[name]}, BODY)


@pytest.mark.parametrize("off", [-TOLERANCE - 2, TOLERANCE + 2, -86_400])
def test_an_old_or_future_callback_does_not_verify(off: int) -> None:
    with pytest.raises(InvalidRequest, match=f"more than {TOLERANCE} s off"):
        verify(KEYS, signed(at=time.time() + off), BODY)


@pytest.mark.parametrize("off", [-TOLERANCE + 5, TOLERANCE - 5])
def test_clocks_may_differ_by_some_minutes(off: int) -> None:
    verify(KEYS, signed(at=time.time() + off), BODY)


@pytest.mark.parametrize("timestamp", ["", "now", "-1", "1.5", "1e9", "²", "١٦١٤٢٦٥٣٣٠", " 1", "9" * 400])
def test_a_timestamp_that_is_none_does_not_verify(timestamp: str) -> None:
    with pytest.raises(InvalidRequest):
        verify(KEYS, signed() | {"webhook-timestamp": timestamp}, BODY)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_header_that_is_missing_is_named(name: str) -> None:
    said = {key: value for key, value in signed().items() if key != name}
    with pytest.raises(InvalidRequest, match=f"the header {name} is missing"):
        verify(KEYS, said, BODY)


@pytest.mark.parametrize(
    "signature", ["", "v1", "v1,", "v1,AAAA", "v2,{}", "v1a,{}", "{}", "v1,ü", "v1,{}ü", ",,,"]
)
def test_a_signature_that_is_none_does_not_verify(signature: str) -> None:
    right = signed()["webhook-signature"].split(",")[1]
    with pytest.raises(InvalidRequest):
        verify(KEYS, signed() | {"webhook-signature": signature.replace("{}", right)}, BODY)


def test_signatures_of_other_versions_are_skipped() -> None:
    said = signed()
    mixed = f"v1a,AAAA v2,BBBB {said['webhook-signature']} v1,CCCC"
    verify(KEYS, said | {"webhook-signature": mixed}, BODY)


def test_names_of_headers_have_no_case() -> None:
    verify(KEYS, {name.title(): value for name, value in signed().items()}, BODY)


def test_a_new_secret_has_24_random_bytes_in_the_standards_form() -> None:
    secret = new_secret()
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 24
    assert secret != new_secret()
    Webhook(secret)


def test_secrets_are_separated_by_spaces() -> None:
    assert parse_secrets(f"  {SECRET}   {OTHER}\n") == (*parse_secrets(SECRET), *parse_secrets(OTHER))
    assert parse_secrets("") == ()
    assert parse_secrets(SECRET.removeprefix("whsec_")) == KEYS, "the prefix may be left out"


@pytest.mark.parametrize(
    "text", ["whsec_!!!!", "secret", "whsec_ü", "whsec_abc", "whsec_MfKQ9r8GKYqr,TwjUPD8", "whsec_"]
)
def test_a_secret_that_is_none_is_a_configuration_error(text: str) -> None:
    with pytest.raises(ConfigurationError, match="must be whsec_ followed by base64"):
        parse_secrets(text)
