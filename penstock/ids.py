"""Invocation ids: UUIDv7 (RFC 9562) whose last 32 bits are a MAC over function and id.

They sort by time, and the MAC tells an id that we gave out from an invented one without storing anything: an
id of ours without a record is past its retention (410), any other was never ours (404).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import uuid

from penstock import clock

_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class IdMint:
    """Makes and recognises the ids of one deployment."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def new(self, function: str) -> str:
        """A fresh id for an invocation of this function."""
        milliseconds = clock.now_ms() & (2**48 - 1)
        head = milliseconds << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62
        head |= secrets.randbits(30) << 32
        return str(uuid.UUID(int=head | self._mac(function, head)))

    def is_ours(self, function: str, invocation_id: str) -> bool:
        """True if `new(function)` of this deployment made this id."""
        if not _UUID7.fullmatch(invocation_id):
            return False
        value = uuid.UUID(invocation_id).int
        head = value >> 32 << 32
        mac = (value - head).to_bytes(4, "big")
        return hmac.compare_digest(mac, self._mac(function, head).to_bytes(4, "big"))

    def _mac(self, function: str, head: int) -> int:
        message = function.encode() + b"\0" + head.to_bytes(16, "big")
        return int.from_bytes(hmac.digest(self._secret, message, hashlib.sha256)[:4], "big")


def created_ms(invocation_id: str) -> int:
    """Milliseconds since 1970 at which the id was made: the first 48 bits."""
    return int(invocation_id.replace("-", "")[:12], 16)
