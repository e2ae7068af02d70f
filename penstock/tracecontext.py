"""Which trace something belongs to, as W3C Trace Context writes it. Pure.

A context is two headers, `traceparent` and `tracestate` (https://www.w3.org/TR/trace-context/). What is not valid
is treated as if it were not there, as the recommendation asks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PARENT, STATE = "traceparent", "tracestate"
HEADERS = frozenset({PARENT, STATE})

_PARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 0x01
_LONGEST_STATE = 512
"""Characters; a longer one need not be passed on (3.3.1.5)."""
_VISIBLE = re.compile(r"[\x20-\x7e]+")


@dataclass(frozen=True)
class TraceContext:
    trace_id: str
    """32 hexadecimal digits, as span_id has 16."""
    span_id: str
    """Of the span that what happens next is a child of."""
    flags: int
    state: str = ""
    """What other vendors add, passed on as it came."""

    @property
    def sampled(self) -> bool:
        """Whoever began the trace records it."""
        return bool(self.flags & _SAMPLED)

    @property
    def parent(self) -> str:
        """The header `traceparent`."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"

    def headers(self) -> tuple[tuple[str, str], ...]:
        """What tells somebody else of it."""
        return ((PARENT, self.parent), (STATE, self.state)) if self.state else ((PARENT, self.parent),)

    def dump(self) -> str:
        """As one text."""
        return f"{self.parent} {self.state}" if self.state else self.parent


def parse(parent: str, state: str = "") -> TraceContext | None:
    """From the values of the two headers; None if the first is not valid."""
    match = _PARENT.fullmatch(parent.strip())
    if match is None or (match[5] and match[1] == "00"):
        return None
    state = state.strip()
    kept = state if len(state) <= _LONGEST_STATE and _VISIBLE.fullmatch(state) else ""
    return TraceContext(match[2], match[3], int(match[4], 16), kept)


def load(text: str) -> TraceContext | None:
    """What `dump` made."""
    parent, _, state = text.partition(" ")
    return parse(parent, state)
