"""What protocols without an envelope share: event and answer are bytes, and a status says all about health."""

from __future__ import annotations

from penstock.invocation import Invocation
from workers.protocols.wire import Said


class Plain:
    envelopes = False

    def wrap(self, invocation: Invocation, event: bytes) -> bytes:
        return event

    def unwrap(self, status: int, body: bytes) -> Said:
        raise AssertionError("there is no envelope")

    def healthy(self, status: int, body: bytes) -> bool:
        return 200 <= status < 400

    def cancel(self, invocation: Invocation) -> str | None:
        return None
