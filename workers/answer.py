"""What comes back from an instance: an answer, or exactly what went wrong when there is none.

Whether bytes of the request had left decides whether it may be handed back untouched: every failure says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from penstock.invocation import Response


class ChannelError(Exception):
    """There is no answer."""


class NotSent(ChannelError):
    """No byte of the request reached the instance."""


class Busy(ChannelError):
    """The instance has no room for another call just now: it did not take this one."""


class Lost(ChannelError):
    """The connection broke after bytes were sent: the function may have run."""


class Malformed(ChannelError):
    """What came back is not HTTP, or more than is allowed."""


class Raised(ChannelError):
    """The handler raised in the middle of its answer."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    response: Response
    body: bytes
    error: str | None
    """The handler's error as `Class: message`; None: it did not raise."""
    retryable: bool = False
    """The error itself says that another attempt may help."""
    first_byte: float = 0.0
    """Seconds from the request until its head came."""
    marked_failed: bool = False
    """The function itself says that its event call failed, whatever the status of its answer."""
