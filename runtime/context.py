"""What a handler is told about its call, beside the event."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FunctionInfo:
    name: str
    handler: str
    """As in the spec: `module:function`."""
    memory: int
    """MiB that the instance may use."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """The second argument of a handler, and the only one of `initialize`."""

    function: FunctionInfo
    logger: logging.Logger
    """Writes to the instance's log."""
    request_id: str = ""
    """Id of the invocation; empty in `initialize`."""
    attempt: int = 1
    """1 for the first run, one more for each retry."""
    deadline: float = float("inf")
    """Unix seconds at which the run is given up."""

    def remaining(self) -> float:
        """Seconds until the deadline; negative past it."""
        return self.deadline - time.time()


def from_headers(base: Context, headers: Mapping[bytes, bytes]) -> Context:
    """The context of one call, from the headers of the container contract."""
    deadline = headers.get(b"penstock-deadline", b"").decode()
    return Context(
        function=base.function,
        logger=base.logger,
        request_id=headers.get(b"x-fc-request-id", b"").decode(),
        attempt=int(headers.get(b"penstock-attempt", b"1")),
        deadline=int(deadline) / 1000 if deadline else float("inf"),
    )
