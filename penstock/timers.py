"""When a timer is due: `@every 90s`, counted from its beginning, or cron in a time zone. Pure.

Times are milliseconds since 1970.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from penstock import cron
from penstock.cron import Cron
from penstock.wallclock import instant, shown, zone

_EVERY = re.compile(r"@every\s+(?P<parts>(?:[1-9]\d{0,8}[smhd])+)")
_PART = re.compile(r"(\d+)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST = 366 * 86_400


@dataclass(frozen=True, kw_only=True)
class Dues:
    last: int | None
    """The latest time at or before now; None: there was none since the timer's beginning."""
    next: int | None
    """The first time after now; None: none in nine years."""


@lru_cache(maxsize=1024)
def parse(schedule: str) -> Cron | int:
    """A cron, or the seconds of an `@every`. Raises ValueError."""
    text = schedule.strip()
    if not text.startswith("@"):
        return cron.parse(text)
    match = _EVERY.fullmatch(text)
    if match is None:
        raise ValueError(f"{schedule!r} is not understood: write @every 90s, @every 1h30m or six fields of cron")
    seconds = sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(match["parts"]))
    if seconds > _LONGEST:
        raise ValueError(f"{schedule!r} is longer than a year; write six fields of cron")
    return seconds


def around(schedule: str, timezone: str | None, *, since_ms: int, now_ms: int) -> Dues:
    """When it was due last, after `since_ms`, and when it is next."""
    parsed = parse(schedule)
    if isinstance(parsed, int):
        period = parsed * 1000
        passed = max((now_ms - since_ms) // period, 0)
        return Dues(last=since_ms + passed * period if passed else None, next=since_ms + (passed + 1) * period)
    local = zone(timezone)
    wall = shown(now_ms / 1000, local)
    before, after = parsed.latest(wall), parsed.following(wall)
    last = None if before is None else round(instant(before, local) * 1000)
    following = None if after is None else round(instant(after, local) * 1000)
    return Dues(last=last if last is not None and last > since_ms else None, next=following)
