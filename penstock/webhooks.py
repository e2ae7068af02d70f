"""Standard Webhooks 1.0.0: how a callback is signed, and how its receiver checks it.

Signed is `<webhook-id>.<webhook-timestamp>.<body>` with HMAC-SHA256 under each secret that is valid now.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping

from penstock.errors import ConfigurationError, InvalidRequest

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


def verify(keys: tuple[bytes, ...], received: Mapping[str, str], body: bytes) -> None:
    """Raises InvalidRequest unless one signature fits one key and the timestamp is recent. Header names are
    compared in lower case."""
    lower = {name.lower(): value for name, value in received.items()}
    try:
        message_id, timestamp = lower["webhook-id"], lower["webhook-timestamp"]
        given = lower["webhook-signature"].split()
    except KeyError as missing:
        raise InvalidRequest(f"the header {missing.args[0]} is missing") from None
    number = timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 13
    if not number or abs(time.time() - int(timestamp)) > TOLERANCE:
        raise InvalidRequest(f"webhook-timestamp {timestamp} is more than {TOLERANCE} s off")
    expected = [_sign(key, message_id, timestamp, body) for key in keys]
    if not any(hmac.compare_digest(one.encode(), other.encode()) for one in expected for other in given):
        raise InvalidRequest("no signature fits: another secret, or a changed body")


def _sign(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    content = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
