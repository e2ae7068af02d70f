"""What a function used on a day, as it is metered, kept and billed. Pure.

Whole numbers throughout: they add up to the same sum in whatever order and portions they come; floats do not.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

KEPT_DAYS = 400
"""A year, and the month in which it is asked for."""
GB = 2**30
"""Bytes of what Function Compute bills as a GB."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """All but `calls` in thousandths: of seconds, of GPU-seconds, of GB-seconds. 0: none was used."""

    calls: int = 0
    """Runs that ended; each attempt is one."""
    provisioned: int = 0
    """Lifetime of instances that the floor keeps, from the decision to start them until they are gone."""
    provisioned_busy: int = 0
    """The part of it with at least one call running."""
    provisioned_gb: int = 0
    """GB-seconds of that lifetime: what provisioned instances are billed by."""
    on_demand: int = 0
    """Lifetime of the other instances: how long they held their place."""
    on_demand_busy: int = 0
    """The part of it with at least one call running."""
    on_demand_gb: int = 0
    """GB-seconds of that lifetime, idle warm time included; not billed."""
    on_demand_busy_gb: int = 0
    """GB-seconds of the busy part: what on-demand instances are billed by."""
    cold_start: int = 0
    """The part of either lifetime before the instance was ready."""
    standby: int = 0
    """Time that paused containers stood by, before they were instances; they hold memory, and are not billed."""
    gpu: int = 0
    """GPU-seconds held: lifetime times the share of a card, 1 for one of its own."""

    def __add__(self, other: Usage) -> Usage:
        mine, theirs = asdict(self), asdict(other)
        return Usage(**{name: mine[name] + theirs[name] for name in mine})

    def __sub__(self, other: Usage) -> Usage:
        mine, theirs = asdict(self), asdict(other)
        return Usage(**{name: mine[name] - theirs[name] for name in mine})

    @property
    def lifetime(self) -> int:
        return self.provisioned + self.on_demand

    @property
    def busy(self) -> int:
        return self.provisioned_busy + self.on_demand_busy


NOTHING = Usage()


def day_of(now: float) -> str:
    """The UTC day, YYYY-MM-DD, of a moment in seconds since 1970."""
    return datetime.fromtimestamp(now, tz=UTC).date().isoformat()


def last_days(now: float, count: int) -> list[str]:
    """So many UTC days, the earliest first; the last is the one of `now`."""
    today = datetime.fromtimestamp(now, tz=UTC).date()
    return [(today - timedelta(days=before)).isoformat() for before in reversed(range(count))]


def length(now: float, days: int) -> int:
    """Thousandths of seconds of those days so far; at least one, for who divides by it."""
    return max((days - 1) * 86_400_000 + int(now % 86_400 * 1000), 1)
