"""Which headers cross between a client and a function, in either direction."""

from __future__ import annotations

import re

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
_UNSENDABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
"""Control characters, and what stands for bytes that are not UTF-8."""


def crosses(name: str, value: str) -> bool:
    """False for a header of one hop, for one that only Penstock itself may set, and for one whose value would
    not survive as one header."""
    lower = name.lower()
    if lower in _STAYS or lower.startswith(("x-fc-", "penstock-")):
        return False
    return not _UNSENDABLE.search(value)
