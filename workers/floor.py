"""How many provisioned instances a function should have now: `floor` decides, `observe` remembers. Pure.

The largest of what acts counts: the scheduled action that fired last inside its window, and every target-tracking
policy inside its own. If nothing acts, it is the default target; it is never below `scaling.min`. `floor` changes
nothing, so it may be asked at any time; `observe` is called once a second, before it, and is the only thing that
moves a policy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite

from penstock.provision import ProvisionConfig, ScheduledAction, TrackingPolicy
from penstock.schedule import Firing, firing
from penstock.wallclock import zone
from workers.tracking import PERIOD, Tracked, begin, begin_again, clamp, mean, step

_SHOWN = 3
"""Problems that one error text tells in full."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One metric of a function, in this second."""

    value: float | None
    """A share, 1 is all of it; for GPU metrics the largest over the instances. None: not known."""
    work: float | None = None
    """Only for ProvisionedConcurrencyUtilization: instances that all work would fill, (queued + running) / c.
    Full instances read 1, whatever waits; this says by how much they are too few. None: there is only `value`."""
    problem: str = ""
    """For people: why the value is not known."""

    def of(self, count: int) -> float | None:
        """The value as a policy sees it that wants this many instances, whether they have all started or not."""
        if self.value is None or self.value < 1 or self.work is None:
            return self.value
        return self.work / max(count, 1)


@dataclass(frozen=True, kw_only=True)
class FloorMemory:
    """What a function's floor depends on besides config and readings. Only `observe` changes what is in it."""

    tracked: dict[str, Tracked] = field(default_factory=dict)
    """By the name of the policy, while it acts."""
    samples: dict[str, deque[tuple[float, float | None]]] = field(default_factory=dict)
    """Of the last 60 s, by the name of the policy."""
    firings: dict[tuple[str, str | None], Firing] = field(default_factory=dict)
    """By expression and time zone, so that another config never finds a wrong one."""

    def sample(self, policy: str, value: float | None, now: float) -> None:
        """Adds the value of this second, None if it is not known; what is no number is not known either."""
        samples = self.samples.setdefault(policy, deque())
        samples.append((now, value if value is not None and isfinite(value) else None))
        while samples[0][0] <= now - PERIOD:
            samples.popleft()

    def forget(self, policy: str) -> None:
        self.tracked.pop(policy, None)
        self.samples.pop(policy, None)


@dataclass(frozen=True, kw_only=True)
class Floor:
    target: int
    """Instances."""
    reason: str
    """For people: why this many."""
    active: tuple[str, ...]
    """The action that fired last, then the policies that act."""
    pending: tuple[str, ...]
    """Actions and policies whose startTime is yet to come."""
    expired: tuple[str, ...]
    """Actions and policies whose endTime has passed."""
    error: str | None
    """Policies that hold because they cannot see; None: all see."""


def observe(config: ProvisionConfig, readings: Mapping[str, Reading], memory: FloorMemory, now: float) -> None:
    """The step of one second: samples what the policies read, moves them, and looks up firings that are due.

    `readings` is by metric name, GPUMemUtilization as GPUMemoryUtilization. `now` is in seconds since 1970. A
    second step at the same instant changes nothing; after a clock that was set back, the periods begin anew.
    """
    due = {_key(action): _firing(action, memory, now) for action in config.scheduled_actions if _acts(action, now)}
    memory.firings.clear()
    memory.firings.update(due)
    acting = {policy.name: policy for policy in config.target_tracking_policies if _acts(policy, now)}
    for name in memory.tracked.keys() - acting.keys():
        memory.forget(name)
    for policy in acting.values():
        _follow(policy, readings.get(policy.metric), memory, now)


def floor(
    config: ProvisionConfig, minimum: int, readings: Mapping[str, Reading], memory: FloorMemory, now: float
) -> Floor:
    """The same arguments give the same answer, and stay as they are."""
    rules = (*config.scheduled_actions, *config.target_tracking_policies)
    policies = [policy for policy in config.target_tracking_policies if _acts(policy, now)]
    wants = _wants(config, policies, memory, now)
    default = ("", config.default_target, "the default target")
    _, target, why = max(wants or [default], key=lambda want: want[1])
    return Floor(
        target=max(target, minimum),
        reason=f"{target}: {why}" if target >= minimum else f"{minimum}: scaling.min, above {target} of {why}",
        active=tuple(name for name, _, _ in wants),
        pending=tuple(rule.name for rule in rules if now < rule.window[0]),
        expired=tuple(rule.name for rule in rules if rule.window[1] < now),
        error=_error(policies, readings, memory, now),
    )


def _wants(
    config: ProvisionConfig, policies: list[TrackingPolicy], memory: FloorMemory, now: float
) -> list[tuple[str, int, str]]:
    """Name, instances and reason of all that acts."""
    action = _fired_last(config, memory, now)
    wants = [] if action is None else [(action.name, action.target, f"action {action.name} fired last")]
    for policy in policies:
        tracked = _tracked(policy, memory, now)
        wants.append((policy.name, tracked.count, f"policy {policy.name}: {tracked.why}"))
    return wants


def _acts(rule: ScheduledAction | TrackingPolicy, now: float) -> bool:
    start, end = rule.window
    return start <= now <= end


def _key(action: ScheduledAction) -> tuple[str, str | None]:
    return action.schedule_expression, action.time_zone


def _firing(action: ScheduledAction, memory: FloorMemory, now: float) -> Firing:
    return firing(action.schedule_expression, zone(action.time_zone), now, memory.firings.get(_key(action)))


def _fired_last(config: ProvisionConfig, memory: FloorMemory, now: float) -> ScheduledAction | None:
    """Of several at once, the one that was due later on the wall, then the one that stands further down."""
    fired = []
    for place, action in enumerate(config.scheduled_actions):
        if _acts(action, now):
            one = _firing(action, memory, now)
            if one.last is not None and one.wall is not None and one.last >= action.window[0]:
                fired.append((one.last, one.wall, place, action))
    return max(fired, key=lambda one: one[:3])[3] if fired else None


def _tracked(policy: TrackingPolicy, memory: FloorMemory, now: float) -> Tracked:
    tracked = memory.tracked.get(policy.name) or begin(policy, now)
    return replace(tracked, count=clamp(policy, tracked.count))


def _follow(policy: TrackingPolicy, reading: Reading | None, memory: FloorMemory, now: float) -> None:
    tracked = memory.tracked.get(policy.name) or begin(policy, now)
    if policy.name in memory.tracked and tracked.at == now:
        return
    if tracked.metric != policy.metric or now < tracked.at:
        memory.forget(policy.name)
        tracked = begin_again(policy, tracked, now)
    memory.sample(policy.name, None if reading is None else reading.of(tracked.count), now)
    after = step(policy, tracked, memory.samples[policy.name], now)
    if after.scaled_out != tracked.scaled_out:
        memory.forget(policy.name)  # what was sampled at the old size says nothing about the new one
    memory.tracked[policy.name] = after


def _error(
    policies: list[TrackingPolicy], readings: Mapping[str, Reading], memory: FloorMemory, now: float
) -> str | None:
    problems = []
    for policy in policies:
        tracked = _tracked(policy, memory, now)
        problem = _problem(policy, readings.get(policy.metric), tracked, memory, now)
        if problem is not None:
            problems.append(f"policy {policy.name} holds at {tracked.count}: {policy.metric_type} {problem}")
    if len(problems) > _SHOWN:
        problems[_SHOWN:] = [f"and {len(problems) - _SHOWN} more"]
    return "; ".join(problems) or None


def _problem(
    policy: TrackingPolicy, reading: Reading | None, tracked: Tracked, memory: FloorMemory, now: float
) -> str | None:
    if reading is None or reading.value is None:
        return "is not known" + (f" ({reading.problem})" if reading is not None and reading.problem else "")
    if now - tracked.since >= PERIOD and mean(tracked, memory.samples.get(policy.name, deque()), now) is None:
        return f"was known in less than half of the last {PERIOD:g} s"
    return None
