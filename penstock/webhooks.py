"""Standard Webhooks 1.0.0: how a callback is signed, and how its receiver checks it.

Signed is `<webhook-id>.<webhook-timestamp>.<body>` with HMAC-SHA256 under each secret that is valid now.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from penstock.errors import ConfigurationError, InvalidSignature

_PREFIX = "whsec_"
TOLERANCE = 300
"""Seconds that a timestamp may be off, either way."""


def new_secret() -> str:
    """A fresh secret, in the form that the standard asks for."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(24)).decode()


def parse_secrets(text: str) -> tuple[bytes, ...]:
    """The keys of one or several `whsec_…`, separated by spaces. Raises ConfigurationError."""
    keys = []
    for word in text.split():
        try:
            key = base64.b64decode(word.removeprefix(_PREFIX), validate=True)
        except ValueError:
            key = b""
        if not key:
            raise ConfigurationError(
                "PENSTOCK_CALLBACKS__SECRET must be whsec_ followed by base64; several are separated by spaces"
            )
        keys.append(key)
    return tuple(keys)


def headers(keys: tuple[bytes, ...], message_id: str, body: bytes, timestamp: int | None = None) -> dict[str, str]:
    """The three headers of a delivery. `timestamp` in seconds; None is now."""
    moment = int(time.time()) if timestamp is None else timestamp
    signatures = " ".join(_sign(key, message_id, str(moment), body) for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(moment),
        "webhook-signature": signatures,
    }


def verify(
    secrets: str | bytes | Iterable[str | bytes],
    received: Mapping[str, str],
    body: bytes | str,
    *,
    tolerance: float = TOLERANCE,
) -> Any:
    """The payload of a callback, once one signature fits one secret and the timestamp is recent.

    `secrets`: `whsec_…`, several separated by spaces or in a list, or keys from `parse_secrets`. `received`: the
    request's headers, whatever the case of their names. `body`: as it came, before any parsing. `tolerance`:
    seconds that the timestamp may be off. Raises InvalidSignature, whose message says what does not fit, and
    ConfigurationError for a secret that is none.
    """
    data = body.encode() if isinstance(body, str) else body
    lower = {name.lower(): value for name, value in received.items()}
    try:
        message_id, timestamp = lower["webhook-id"], lower["webhook-timestamp"]
        given = lower["webhook-signature"].split()
    except KeyError as missing:
        raise InvalidSignature(f"the header {missing.args[0]} is missing") from None
    number = timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 13
    if not number or abs(time.time() - int(timestamp)) > tolerance:
        raise InvalidSignature(f"webhook-timestamp {timestamp} is more than {tolerance:g} s off")
    expected = [_sign(key, message_id, timestamp, data) for key in _keys(secrets)]
    if not any(hmac.compare_digest(one.encode(), other.encode()) for one in expected for other in given):
        raise InvalidSignature("no signature fits: another secret, or a changed body")
    try:
        return json.loads(data)
    except ValueError as error:
        raise InvalidSignature(f"signed as it should be, but no JSON: {error}") from None


def _keys(secrets: str | bytes | Iterable[str | bytes]) -> Iterator[bytes]:
    for one in (secrets,) if isinstance(secrets, (str, bytes)) else secrets:
        yield from parse_secrets(one) if isinstance(one, str) else (one,)


def _sign(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    content = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
