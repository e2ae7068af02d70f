"""Which headers cross between a client and a function, in either direction."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC
from email.utils import parsedate_to_datetime

_STAYS = frozenset(
    {
        "connection",
        "content-length",
        "date",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "server",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_LONGEST = 8_190
"""Characters of one, as HTTP clients and proxies take it."""
_UNSENDABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
"""Control characters, and what stands for bytes that are not UTF-8."""


def crossing(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Those that cross; one that `Connection` names belongs to its hop alone (RFC 9110, 7.6.1)."""
    given = tuple(headers)
    named = {
        word.strip().lower() for name, value in given if name.lower() == "connection" for word in value.split(",")
    }
    return tuple((name, value) for name, value in given if name.lower() not in named and crosses(name, value))


def crosses(name: str, value: str) -> bool:
    """False for a header of one hop, for one that only Penstock itself may set, and for one whose name or value
    would not survive as one header."""
    plain = name.lower().replace("_", "-")  # the same header to many a server (CGI, WSGI)
    if plain in _STAYS or plain.startswith(("x-fc-", "penstock-")):
        return False
    return bool(_NAME.fullmatch(name)) and len(value) <= _LONGEST and not _UNSENDABLE.search(value)


def retry_after(headers: Iterable[tuple[str, str]], now_ms: int) -> float | None:
    """Seconds that a Retry-After asks for, given as a number or as a date (RFC 9110, 10.2.3); None: it asks for
    nothing that can be understood."""
    for name, value in headers:
        if name.lower() != "retry-after":
            continue
        if value.isascii() and value.isdigit() and len(value) < 10:
            return float(value)
        try:
            date = parsedate_to_datetime(value)
            return max(date.replace(tzinfo=date.tzinfo or UTC).timestamp() - now_ms / 1000, 0.0)
        except (ValueError, OverflowError):
            return None
    return None
