"""Wall time for people, monotonic time for deadlines. Nothing else in the product asks what time it is.

Times that decide about a record come from Redis (`penstock/lua`), so that two machines never disagree.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

monotonic = time.monotonic


def now_ms() -> int:
    """Milliseconds since 1970, for what this process says about itself."""
    return time.time_ns() // 1_000_000


def rfc3339(milliseconds: int | None) -> str | None:
    """RFC 3339 in UTC with milliseconds, as every time in the API is written; None stays None."""
    if milliseconds is None:
        return None
    moment = datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03d}Z"


def parse_rfc3339(text: str) -> int:
    """Milliseconds since 1970 of an RFC 3339 time, with whatever fraction it has. Raises ValueError."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    seconds = datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()
    return int(seconds * 1000) + int((fraction + "000")[:3])
