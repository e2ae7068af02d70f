"""How many instances a function should have, and which of them may go. Pure: time and facts are arguments.

Work in flight is demand: what is queued plus what runs. A queue's length is not concurrency, so a queue that
its instances will drain in time (`max_queue_wait`) starts no more of them. A busy instance is never a victim.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

SERVICE_PRIOR = 5.0
"""Seconds that a call is taken to last before one was seen."""
COLD_START_PRIOR = 15.0
"""Seconds that a start is taken to last before one was seen."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    min: int
    max: int
    concurrency: int
    """Calls at a time in one instance."""
    idle_timeout: float
    """Seconds."""
    max_queue_wait: float | None
    """Seconds; None: from the measured cold start."""


@dataclass(frozen=True, kw_only=True)
class Idle:
    instance: str
    seconds: float
    """Since its last call."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    queued: int
    held: int
    """How many of the queued have a client waiting."""
    running: int
    oldest: float | None
    """Seconds that the head of the queue has waited; None: nothing waits."""
    starting: int
    """Instances on their way."""
    ready: int
    """Instances that serve, busy and idle."""
    idle: Sequence[Idle]
    capacity: int
    """Instances that this function may have on this machine, those it has included."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    service: float | None = None
    """Seconds of a call, smoothed; None: no call has ended yet."""
    cold_start: float | None = None
    """Seconds of a start; None: none has ended yet."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    desired: int
    stop: tuple[str, ...]
    """Idle instances that should go now, the longest idle first."""
    reason: str
    """For people: why this many."""


def decide(policy: Policy, snapshot: Snapshot, memory: Memory) -> Decision:
    """The same facts give the same decision."""
    current = snapshot.starting + snapshot.ready
    demand, why = _demand(policy, snapshot, memory, current)
    wanted = max(min(demand, policy.max), policy.min)
    if wanted == policy.min > demand:
        why = f"the floor is {policy.min}"
    elif wanted < demand:
        why += f", max is {policy.max}"
    if wanted > snapshot.capacity:
        wanted = snapshot.capacity
        why += f"; only {snapshot.capacity} fit on this machine"
    stop = _overdue(policy, snapshot, spare=current - wanted)
    kept = current - len(stop)
    if kept > wanted:
        why += f"; {kept - wanted} more until idle for {policy.idle_timeout:g} s"
    return Decision(desired=max(wanted, kept), stop=stop, reason=why)


def max_queue_wait(policy: Policy, held: int, memory: Memory) -> float:
    """Seconds that work may wait before another instance is worth its start."""
    if policy.max_queue_wait is not None:
        return policy.max_queue_wait
    cold = COLD_START_PRIOR if memory.cold_start is None else memory.cold_start
    return max(cold, 10.0) if held else max(2 * cold, 30.0)


def _demand(policy: Policy, snapshot: Snapshot, memory: Memory, current: int) -> tuple[int, str]:
    total = snapshot.queued + snapshot.running
    if not total:
        return 0, "nothing queued, nothing running"
    service = SERVICE_PRIOR if memory.service is None else memory.service
    wait = max_queue_wait(policy, snapshot.held, memory)
    at_once = ceil(total / policy.concurrency)
    busy = ceil(snapshot.running / policy.concurrency)
    drain = (
        ceil((snapshot.queued + snapshot.running / 2) * service / (policy.concurrency * wait))
        if snapshot.queued
        else 0
    )
    demand = min(at_once, max(busy, drain, 1))
    why = f"{snapshot.queued} queued and {snapshot.running} running need {demand}"
    if snapshot.oldest is not None and snapshot.oldest > wait and not snapshot.starting and demand <= current:
        demand = min(at_once, current + 1)
        why = f"the oldest has waited {snapshot.oldest:.1f} s, more than {wait:.1f} s"
    return demand, why


def _overdue(policy: Policy, snapshot: Snapshot, *, spare: int) -> tuple[str, ...]:
    """Of the idle ones beyond what is wanted, those past the idle timeout."""
    by_idleness = sorted(snapshot.idle, key=lambda idle: -idle.seconds)
    overdue = [idle.instance for idle in by_idleness if idle.seconds >= policy.idle_timeout]
    return tuple(overdue[: max(spare, 0)])
