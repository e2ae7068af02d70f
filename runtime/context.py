"""What a handler is told about its call, beside the event."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from runtime.progress import Reporter

_NO_DEADLINE_MS = 2**31 - 1
"""Lambda's figure is an integer in any case; three weeks."""


@dataclass(frozen=True, kw_only=True)
class FunctionInfo:
    name: str
    handler: str
    """As in the spec: `module:function`."""
    memory: int
    """MiB that the instance may use."""
    version: str = ""
    """Number of the published version; empty: it is the latest."""


@dataclass(kw_only=True)
class Context:
    """The second argument of a handler, and the only one of `initialize` and `pre_stop`."""

    function: FunctionInfo
    logger: logging.Logger
    """Writes to the instance's log."""
    request_id: str = ""
    """Id of the invocation; empty in `initialize` and `pre_stop`."""
    attempt: int = 1
    """1 for the first run, one more for each retry."""
    deadline: float = float("inf")
    """Unix seconds at which the run is given up."""
    cancelled: bool = False
    """Becomes True when nobody waits for the answer any more: a handler that looks at it can stop early."""
    traceparent: str = ""
    """W3C trace context of the call, to be passed on to what the handler calls; empty if there is none."""
    progress_url: str = ""
    """Where progress goes; empty: nowhere."""
    reporter: Reporter | None = None
    reported: bool = False
    """Whether the handler has said anything about its progress."""

    def remaining(self) -> float:
        """Seconds until the deadline; negative past it."""
        return self.deadline - time.time()

    def progress(self, fraction: float | None = None, message: str | None = None) -> None:
        """Tells those who wait how far the call is: 0 to 1, and a line of text; either may be left out.

        Returns at once, and never raises for what becomes of it.
        """
        if self.reporter is not None and self.progress_url:
            self.reported = True
            self.reporter.report(self.progress_url, fraction, message)

    # What samples written for Lambda and Function Compute call the same things.

    @property
    def aws_request_id(self) -> str:
        return self.request_id

    @property
    def requestId(self) -> str:
        return self.request_id

    @property
    def function_name(self) -> str:
        return self.function.name

    @property
    def function_version(self) -> str:
        return self.function.version or "$LATEST"

    @property
    def invoked_function_arn(self) -> str:
        return f"arn:aws:lambda:local:000000000000:function:{self.function.name}"

    @property
    def memory_limit_in_mb(self) -> int:
        return self.function.memory

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int(min(self.remaining() * 1000, _NO_DEADLINE_MS)))


def from_headers(base: Context, headers: Mapping[bytes, bytes]) -> Context:
    """The context of one call, from the headers of the container contract."""
    deadline = headers.get(b"penstock-deadline", b"").decode()
    return replace(
        base,
        request_id=headers.get(b"x-fc-request-id", b"").decode(),
        attempt=int(headers.get(b"penstock-attempt", b"1")),
        deadline=int(deadline) / 1000 if deadline else float("inf"),
        traceparent=headers.get(b"traceparent", b"").decode("latin-1"),
        progress_url=headers.get(b"penstock-progress-url", b"").decode("latin-1"),
    )
