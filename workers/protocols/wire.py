"""What a protocol is: where an event goes, how it is wrapped, and what an answer means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from penstock.invocation import Invocation


class BadEvent(Exception):
    """The event is none that this protocol can carry. The message says what it takes."""


class NoRoom(Exception):
    """The server took no call: all its slots are busy."""


class NeverReady(Exception):
    """The container says that its start has failed."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """What an answer in a vendor's envelope comes to."""

    status: int
    body: bytes
    content_type: str
    error: str | None = None
    """The handler's error as `Class: message`; None: it did not raise."""


class Wire(Protocol):
    @property
    def health(self) -> str | None:
        """Path that says whether it may be called, unless its spec names one; None: an open port is enough."""

    @property
    def envelopes(self) -> bool:
        """True: events and answers travel wrapped, so that both are needed whole."""

    def event(self, invocation: Invocation) -> tuple[str, str]:
        """Method and path of an event call."""

    def wrap(self, invocation: Invocation, event: bytes) -> bytes:
        """The body that carries an event. Raises BadEvent. Only if it `envelopes`."""

    def unwrap(self, status: int, body: bytes) -> Said:
        """What came back. Only if it `envelopes`. Raises NoRoom."""

    def healthy(self, status: int, body: bytes) -> bool:
        """What an answer to the health check says. Raises NeverReady."""

    def cancel(self, invocation: Invocation) -> str | None:
        """Path to POST to when a call is given up, answered 404 once it has let go of it; None: the end of its
        connection must do."""
