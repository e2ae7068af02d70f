"""Target tracking: how many instances one policy wants, so that its metric stays near a target. Pure.

The metric is looked at each second, as its mean over the last 60 s. That mean is what one period says; the periods
slide, so a jump of the load is answered as soon as it has moved the mean, and not at the next full minute:

- out: the mean of a whole period is above 1.1 of the target. The periods before are then of another size, so the
  next scale-out needs a whole fresh one.
- in: the mean was below 0.9 of the target in every second of three whole periods (180 s), and 120 s have passed
  since the last scale-out.
- hold: this second's value is not known, or less than half of the period's are. Not knowing is no reason to let
  instances go; when the mean is not known, the three periods begin anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, floor, fsum

from penstock.provision import TrackingPolicy

PERIOD = 60.0
"""Seconds that the mean is taken over."""
PERIODS_IN = 3
"""Whole periods below the target before a scale-in."""
COOLDOWN = 120.0
"""Seconds after a scale-out without a scale-in."""
_ABOVE, _BELOW = 1.1, 0.9
"""Shares of the target between which nothing happens."""
_ROUNDING = 1e-9
"""So that 10 instances at twice their target become 20, and not 21 for the last bit of a float."""

Samples = Sequence[tuple[float, float | None]]
"""Instant (seconds since 1970) and value, oldest first; None: not known in that second."""


@dataclass(frozen=True, kw_only=True)
class Tracked:
    """What one policy has come to. Instants in seconds since 1970."""

    metric: str
    count: int
    """Instances that it wants."""
    at: float
    """When it last looked."""
    since: float
    """When it began or last scaled out: its periods count from here."""
    scaled_out: float | None = None
    """The last scale-out; None: there was none."""
    below: float | None = None
    """Since when the mean has been below 0.9 of the target; None: it is not."""
    why: str = "it starts from its minCapacity"
    """For people: why this many."""


def begin(policy: TrackingPolicy, now: float) -> Tracked:
    return Tracked(metric=policy.metric, count=policy.min_capacity, at=now, since=now)


def begin_again(policy: TrackingPolicy, tracked: Tracked, now: float) -> Tracked:
    """With as many instances and without its past: for another metric, or a clock that was set back."""
    scaled_out = None if tracked.scaled_out is None else min(tracked.scaled_out, now)
    return replace(tracked, metric=policy.metric, at=now, since=now, below=None, scaled_out=scaled_out)


def clamp(policy: TrackingPolicy, count: int) -> int:
    return min(max(count, policy.min_capacity), policy.max_capacity)


def mean(tracked: Tracked, samples: Samples, now: float) -> float | None:
    """Over the last period; None: less than half of its seconds are known."""
    known = [value for at, value in samples if now - PERIOD < at <= now and value is not None]
    expected = min(max(now - tracked.since, 1.0), PERIOD)
    return fsum(known) / len(known) if known and len(known) >= expected / 2 else None


def step(policy: TrackingPolicy, tracked: Tracked, samples: Samples, now: float) -> Tracked:
    """What the policy wants after this second's sample; the same arguments give the same answer."""
    v = mean(tracked, samples, now)
    low = v is not None and v < _BELOW * policy.metric_target - _ROUNDING
    below = (now if tracked.below is None else tracked.below) if low else None
    tracked = replace(tracked, at=now, count=clamp(policy, tracked.count), below=below)
    if v is None or samples[-1][1] is None:
        return tracked
    if v > _ABOVE * policy.metric_target + _ROUNDING:
        return _out(policy, tracked, v, now)
    return _in(policy, tracked, v, now) if low else tracked


def _out(policy: TrackingPolicy, tracked: Tracked, v: float, now: float) -> Tracked:
    if now - tracked.since < PERIOD:
        return tracked
    # One that wants none is reckoned as if it wanted one, or it could never leave zero.
    needed = min(max(tracked.count, 1) * v / policy.metric_target - _ROUNDING, policy.max_capacity)
    wanted = clamp(policy, ceil(needed))
    if wanted <= tracked.count:
        return tracked
    return replace(tracked, count=wanted, since=now, scaled_out=now, why=_why(policy, v, "above"))


def _in(policy: TrackingPolicy, tracked: Tracked, v: float, now: float) -> Tracked:
    fresh = tracked.scaled_out is not None and now - tracked.scaled_out < COOLDOWN
    if fresh or tracked.below is None or now - tracked.below < PERIODS_IN * PERIOD:
        return tracked
    fewer = floor(0.5 * tracked.count * (1 - v / policy.metric_target) + _ROUNDING)
    wanted = clamp(policy, tracked.count - fewer)
    if wanted >= tracked.count:
        return tracked
    return replace(tracked, count=wanted, below=None, why=_why(policy, v, "below"))


def _why(policy: TrackingPolicy, v: float, side: str) -> str:
    return f"{policy.metric_type} was {v:.3g}, {side} {policy.metric_target:g}"
