"""Schedule expressions, `at(...)` and `cron(...)` in a time zone, and when one last fired. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import lru_cache

from penstock import cron
from penstock.cron import Cron
from penstock.wallclock import instant, shown

_AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)", re.ASCII)
_CRON = re.compile(r"cron\((.*)\)")
ALLOWED = "allowed are at(yyyy-mm-ddThh:mm:ss) and cron(Sec Min Hour DoM Month DoW)"


@dataclass(frozen=True, kw_only=True)
class Firing:
    """What a schedule last did and does next; it stays true until `next`. Instants in seconds since 1970."""

    last: float | None
    """None: it has not fired yet."""
    wall: datetime | None
    """The zone-less time that `last` was due at; of two that fire when a clock jumps, the later is the last."""
    next: float | None
    """None: it does not fire again."""

    def holds(self, now: float) -> bool:
        return (self.last is None or self.last <= now) and (self.next is None or now < self.next)


@lru_cache(maxsize=1024)
def parse(expression: str) -> Cron | datetime:
    """A cron, or the zone-less time of an `at`. Raises ValueError."""
    if match := _AT.fullmatch(expression):
        try:
            return datetime.fromisoformat(match[1])
        except ValueError as error:
            raise ValueError(f"{expression!r} is no date and time: {error}; {ALLOWED}") from None
    if match := _CRON.fullmatch(expression):
        try:
            return cron.parse(match[1])
        except ValueError as error:
            raise ValueError(f"{expression!r}: {error}") from None
    raise ValueError(f"{expression!r} is no schedule; {ALLOWED}")


def firing(expression: str, zone: tzinfo, now: float, known: Firing | None = None) -> Firing:
    """The last firing at or before now, and the next one after it.

    `known` is an earlier answer for the same expression and zone: looked at each second, nothing is computed until
    the next firing.
    """
    if known is not None and known.holds(now):
        return known
    schedule = parse(expression)
    if isinstance(schedule, datetime):
        due = instant(schedule, zone)
        if due <= now:
            return Firing(last=due, wall=schedule, next=None)
        return Firing(last=None, wall=None, next=due)
    wall = shown(now, zone)
    last, following = schedule.latest(wall), schedule.following(wall)
    return Firing(
        last=None if last is None else instant(last, zone),
        wall=last,
        next=None if following is None else instant(following, zone),
    )
