"""Six-field cron expressions, `Sec Min Hour DoM Month DoW`, on zone-less wall time. Pure.

Function Compute's dialect: `* , - / ?` and names, and days of the week 1-7 or MON-SUN, in that order: 1 is Monday,
as ISO 8601 and the vendor's ECS documents have it, and not Sunday as in Quartz. 0 is refused, so that nobody's
Sunday moves. If both the day of the month and of the week are restricted, one of them is enough (as in crontab).

croniter 7 was tried: it also takes L, #, H and R (a random time), so fields would be checked here all the same; a
look back costs 200 us; and its next and previous disagree about a shift of half an hour (its issue 258).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

_HORIZON = 9 * 366
"""Days to look through: 29 February is at most eight years away."""
_FIELDS = (
    ("seconds", 0, 59, ""),
    ("minutes", 0, 59, ""),
    ("hours", 0, 23, ""),
    ("day of month", 1, 31, ""),
    ("month", 1, 12, "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC"),
    ("day of week", 1, 7, "MON TUE WED THU FRI SAT SUN"),
)
"""Label, lowest and highest value, names of the values."""
_ITEM = re.compile(r"(?:\*|(?P<first>[A-Z0-9]+)(?:-(?P<last>[A-Z0-9]+))?)(?:/(?P<step>[0-9]+))?")


@dataclass(frozen=True, kw_only=True)
class Cron:
    """When it fires: every value that a field allows, ascending."""

    clock: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    """Hours, minutes, seconds."""
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    """1 is Monday, 7 is Sunday."""

    def latest(self, wall: datetime) -> datetime | None:
        """The last time at or before this one, in whole seconds; None: none in nine years."""
        return self._nearest(wall, -1)

    def following(self, wall: datetime) -> datetime | None:
        """The first time after this one, in whole seconds; None: none in nine years."""
        return self._nearest(wall + timedelta(seconds=1), 1)

    def _nearest(self, wall: datetime, step: int) -> datetime | None:
        # Looking ahead is looking back over the clock with its sign turned.
        clock = self.clock if step < 0 else [[-value for value in reversed(values)] for values in self.clock]
        for day in self._matching(wall.date(), step):
            limit = [-step * part for part in (wall.hour, wall.minute, wall.second)]
            if found := _largest(clock, limit if day == wall.date() else (24, 0, 0)):
                hour, minute, second = map(abs, found)
                return datetime(day.year, day.month, day.day, hour, minute, second)
        return None

    def _matching(self, day: date, step: int) -> Iterator[date]:
        either = len(self.days) < 31 and len(self.weekdays) < 7
        for _ in range(_HORIZON):
            month, week = day.day in self.days, day.isoweekday() in self.weekdays
            if day.month in self.months and (month or week if either else month and week):
                yield day
            day += timedelta(days=step)


def parse(text: str) -> Cron:
    """Six fields separated by blanks. Raises ValueError that names the field, and what it allows."""
    parts = text.upper().split()
    if len(parts) != len(_FIELDS):
        raise ValueError(f"it has {len(parts)} fields; allowed are six: Sec Min Hour DoM Month DoW")
    values = []
    for (label, low, high, names), part in zip(_FIELDS, parts, strict=True):
        items = "*" if part == "?" and label.startswith("day") else part
        try:
            found = {value for item in items.split(",") for value in _item(item, low, high, names.split())}
        except ValueError:
            named = f" or {names[:3]} to {names[-3:]}" if names else ""
            signs = "* , - / ?" if label.startswith("day") else "* , - /"
            allowed = f"allowed are {low} to {high}{named}, with {signs}"
            raise ValueError(f"{label}: {part!r} is not understood; {allowed}") from None
        values.append(tuple(sorted(found)))
    seconds, minutes, hours, days, months, weekdays = values
    cron = Cron(clock=(hours, minutes, seconds), days=days, months=months, weekdays=weekdays)
    if cron.following(datetime(2024, 1, 1)) is None:
        raise ValueError("it never fires; none of its months has such a day")
    return cron


def _item(item: str, low: int, high: int, names: Sequence[str]) -> Sequence[int]:
    """`*`, `a` or `a-b`, each with `/step`: `a/step` goes on to the end, `SAT-MON` goes round. Or ValueError."""
    match = _ITEM.fullmatch(item)
    step = int(match["step"] or 1) if match else 0
    if match is None or not 1 <= step <= high:
        raise ValueError
    if match["first"] is None:
        return range(low, high + 1, step)
    ends = [low + names.index(end) if end in names else int(end) for end in match.group("first", "last") if end]
    first, last = ends[0], high if match["step"] and len(ends) == 1 else ends[-1]
    if not low <= min(first, last) <= max(first, last) <= high:
        raise ValueError
    if first <= last:
        return range(first, last + 1, step)
    return [*range(first, high + 1), *range(low, last + 1)][::step]


def _largest(fields: Sequence[Sequence[int]], limit: Sequence[int]) -> tuple[int, ...] | None:
    """The largest choice of a value per field that is not above the limit, read from left to right."""
    if not fields:
        return ()
    head, *rest = fields
    for value in reversed(head):
        if value < limit[0]:
            return (value, *(values[-1] for values in rest))
        if value == limit[0] and (tail := _largest(rest, limit[1:])) is not None:
            return (value, *tail)
    return None
