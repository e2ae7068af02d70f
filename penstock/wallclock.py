"""Between a zone's clock on the wall and instants, where summer time skips an hour and repeats another. Pure.

A time on the wall happens once: at the first instant when that clock shows it or has jumped past it. So what is
due in the hour that spring skips happens at the jump rather than not at all, and what is due in the hour that
autumn repeats happens in its first pass and not again. Later times never happen earlier than earlier ones.
"""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from math import ceil, floor
from zoneinfo import ZoneInfo


@lru_cache(maxsize=256)
def zone(name: str | None) -> ZoneInfo:
    """The zone of an IANA name; None is UTC. Raises ValueError."""
    try:
        return ZoneInfo("UTC" if name is None else name)
    except (KeyError, OSError, ValueError):  # not there, a folder of zones, a path
        raise ValueError(f"{name!r} is not a time zone; allowed are IANA names such as Europe/Berlin") from None


def instant(wall: datetime, zone: tzinfo) -> float:
    """Seconds since 1970 when the zone's clock first shows this zone-less time, or has jumped past it."""
    first = wall.replace(tzinfo=zone, fold=0).timestamp()
    second = wall.replace(tzinfo=zone, fold=1).timestamp()
    # Of a time that is skipped, fold=1 is the earlier instant (PEP 495): the jump is between the two.
    return first if first <= second else float(_change(floor(second), ceil(first), zone))


def shown(now: float, zone: tzinfo) -> datetime:
    """The latest zone-less time that the zone's clock has shown by now, in whole seconds.

    In the second pass of a repeated hour that is the end of its first pass.
    """
    local = datetime.fromtimestamp(floor(now), zone)
    if not local.fold:
        return local.replace(tzinfo=None)
    repeated = _offset(local.replace(fold=0)) - _offset(local)
    change = _change(floor(now) - int(repeated.total_seconds()), floor(now), zone)
    return datetime.fromtimestamp(change - 1, zone).replace(tzinfo=None, fold=0)


def _change(before: int, after: int, zone: tzinfo) -> int:
    """The first second with the offset of `after`, which `before` does not have."""
    new = _offset(datetime.fromtimestamp(after, zone))
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(datetime.fromtimestamp(middle, zone)) == new:
            after = middle
        else:
            before = middle
    return after


def _offset(local: datetime) -> timedelta:
    return local.utcoffset() or timedelta()
