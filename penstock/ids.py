"""Ids of invocations and batches: UUIDv7 (RFC 9562) whose last 32 bits are a MAC over function and id.

They sort by time, and the MAC tells an id that we gave out from an invented one without storing anything: an
id of ours without a record is past its retention (410), any other was never ours (404).

The ids of a batch's jobs follow from the batch's own and their place in it, those of jobs that triggers and
destinations make from what they are made of. So whoever submits one again makes the same id, and nobody has to
keep them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import uuid

from penstock import clock

_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


_PER_MILLISECOND = 64
"""Jobs of a batch whose ids tell the same time; all at one time would make long ties in a listing by time."""


class IdMint:
    """Makes and recognises the ids of one deployment."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self._last = (0, 0)
        """Milliseconds and the rest of the latest id."""

    def new(self, function: str) -> str:
        """A fresh id for an invocation of this function; it sorts after all that this mint made before."""
        now, rest = clock.now_ms(), secrets.randbits(41)
        last, used = self._last
        if now <= last:  # the same millisecond, or a clock that was set back
            now, rest = last, used + 1 + secrets.randbits(30)
            if rest >= 2**42:
                now, rest = last + 1, secrets.randbits(41)
        self._last = (now, rest)
        return self._sign(function, now, rest)

    def is_ours(self, function: str, invocation_id: str) -> bool:
        """True if `new(function)` of this deployment made this id."""
        if not _UUID7.fullmatch(invocation_id):
            return False
        value = uuid.UUID(invocation_id).int
        head = value >> 32 << 32
        mac = (value - head).to_bytes(4, "big")
        return hmac.compare_digest(mac, self._mac(function, head).to_bytes(4, "big"))

    def new_batch(self, function: str) -> str:
        """A fresh id for a batch of this function; it is no id of an invocation."""
        return self.new(_batches_of(function))

    def is_our_batch(self, function: str, batch_id: str) -> bool:
        """True if `new_batch(function)` of this deployment made this id."""
        return self.is_ours(_batches_of(function), batch_id)

    def member(self, function: str, batch_id: str, index: int) -> str:
        """The id of a batch's job, the first is 0: always the same. They sort as the jobs do."""
        message = f"member\0{function}\0{batch_id}\0{index}".encode()
        own = int.from_bytes(hmac.digest(self._secret, message, hashlib.sha256)[:5], "big") & (2**36 - 1)
        later, place = divmod(index, _PER_MILLISECOND)
        return self._sign(function, created_ms(batch_id) + later, place << 36 | own)

    def derived(self, function: str, milliseconds: int, *of: str) -> str:
        """The id of the job that is made of something at a time: always the same for the same."""
        message = "\0".join(("derived", function, *of)).encode(errors="surrogateescape")
        rest = int.from_bytes(hmac.digest(self._secret, message, hashlib.sha256)[:6], "big") & (2**42 - 1)
        return self._sign(function, milliseconds, rest)

    def index(self, function: str, batch_id: str, invocation_id: str) -> int | None:
        """Which job of this batch has this id; None if none has."""
        place = uuid.UUID(invocation_id).int >> 70 & (_PER_MILLISECOND - 1)
        index = (created_ms(invocation_id) - created_ms(batch_id)) * _PER_MILLISECOND + place
        return index if index >= 0 and self.member(function, batch_id, index) == invocation_id else None

    def _sign(self, function: str, milliseconds: int, rest: int) -> str:
        """`rest`: 42 bits."""
        head = (milliseconds & (2**48 - 1)) << 80 | 0x7 << 76 | rest >> 30 << 64
        head |= 0b10 << 62 | (rest & (2**30 - 1)) << 32
        digits = f"{head | self._mac(function, head):032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def _mac(self, function: str, head: int) -> int:
        message = function.encode() + b"\0" + head.to_bytes(16, "big")
        return int.from_bytes(hmac.digest(self._secret, message, hashlib.sha256)[:4], "big")


def _batches_of(function: str) -> str:
    return f"{function} batch"  # the name of no function


def created_ms(invocation_id: str) -> int:
    """Milliseconds since 1970 at which the id was made: the first 48 bits."""
    return int(invocation_id.replace("-", "")[:12], 16)
