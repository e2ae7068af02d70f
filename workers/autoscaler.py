"""How many instances a function should have, and which of them may go. Pure: time and facts are arguments.

Work in flight is demand: what is queued plus what runs. A queue's length is not concurrency: a queue that its
instances will drain in time starts no more of them. Waking needs no tick, a busy instance is never a victim,
and what is not known changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

from workers.history import Memory

_DAMPING = 60.0
"""Seconds for which more instances than needed stay, at most: the same load may come again."""
_PANIC = 6.0
_HELD_WINDOW = 6.0
_HELD_WAIT = 0.25


@dataclass(frozen=True, kw_only=True)
class Policy:
    max: int
    concurrency: int
    """Calls at a time in one instance."""
    idle_timeout: float
    """Seconds."""
    max_queue_wait: float | None = None
    """Seconds; None: from the measured cold start."""
    target_utilization: float | None = None
    """Share of its slots that an instance should be busy with, 0 to 1; None: 1, less where clients wait."""
    metric: Literal["concurrency", "queue_delay"] = "concurrency"
    buffer: int = 0
    """Spare instances while there is demand."""


@dataclass(frozen=True, kw_only=True)
class Idle:
    instance: str
    seconds: float
    """Since its last call."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    queued: int | None
    """Ready to be run; None: not known, the store does not answer."""
    held: int
    """How many of the queued have a client waiting."""
    running: int
    held_running: int = 0
    running_age: float = 0.0
    """Seconds that what runs has run, on average."""
    oldest: float | None
    """Seconds that the head of the queue has waited; None: nothing waits."""
    starting: Sequence[str]
    """Instances on their way, the latest first."""
    ready: int
    """Instances that serve, busy and idle."""
    idle: Sequence[Idle]
    floor: int
    """Instances that stay whatever happens."""
    warm: int = 0
    """Instances that somebody asked to have started."""
    capacity: int
    """Instances that this function could have here if no other had any."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    desired: int
    """Instances that should be there: more are started, others stay or go as `stop` says."""
    wanted: int
    """Instances that the demand and the floor need now."""
    stop: tuple[str, ...] = ()
    """Instances that should go now: starting ones first, then the longest idle."""
    reason: str
    """For people: why this many."""
    guarded: bool = False
    """True if it wants one more only because the oldest has waited too long."""
    valid: bool = True
    """False: too little is known to decide anything; all stays as it is."""


@dataclass(frozen=True, kw_only=True)
class _Need:
    instances: int
    why: str
    guarded: bool = False


def decide(policy: Policy, snapshot: Snapshot, memory: Memory, now: float) -> Decision:
    """The same facts give the same decision."""
    current = len(snapshot.starting) + snapshot.ready
    if snapshot.queued is None:
        why = "the queue is not known while the store does not answer: all stays as it is"
        return Decision(desired=current, wanted=current, reason=why, valid=False)
    need = _need(policy, snapshot, memory, current, now)
    wanted, why = _bounded(policy, snapshot, need)
    stop = _overdue(policy, snapshot, memory, wanted, now)
    kept = current - len(stop)
    if kept > wanted:
        why += f"; {kept - wanted} more until idle for {policy.idle_timeout:g} s"
    return Decision(
        desired=max(wanted, kept), wanted=wanted, stop=stop, reason=why, guarded=need.guarded and wanted > current
    )


def max_queue_wait(policy: Policy, held: int, memory: Memory) -> float:
    """Seconds that work may wait before another instance is worth its start."""
    if policy.max_queue_wait is not None:
        return policy.max_queue_wait
    return max(memory.cold_start, 10.0) if held else max(2 * memory.cold_start, 30.0)


def _need(policy: Policy, snapshot: Snapshot, memory: Memory, current: int, now: float) -> _Need:
    queued = snapshot.queued or 0
    if not queued + snapshot.running:
        return _Need(instances=0, why="nothing queued, nothing running")
    slots = policy.concurrency * _utilization(policy, snapshot)
    most = ceil((queued + snapshot.running) / slots)
    wait = max_queue_wait(policy, snapshot.held, memory)
    if policy.metric == "queue_delay":
        instances = ceil(snapshot.running / policy.concurrency)
        why = f"{snapshot.running} running, and the oldest has waited {snapshot.oldest or 0:.1f} s"
    else:
        instances, why = _for_load(policy, snapshot, memory, slots, wait, current, now)
    need = _Need(instances=min(most, max(instances, 1)), why=why)
    late = snapshot.oldest is not None and snapshot.oldest > wait
    if late and not snapshot.starting and need.instances <= current < most and now - memory.guarded >= wait:
        why = f"the oldest has waited {snapshot.oldest:.1f} s, more than {wait:.1f} s"
        need = _Need(instances=current + 1, why=why, guarded=True)
    return need


def _utilization(policy: Policy, snapshot: Snapshot) -> float:
    """Clients that wait want a slot to be free when they come; jobs do not mind."""
    if policy.target_utilization is not None:
        return policy.target_utilization
    if not snapshot.held + snapshot.held_running:
        return 1.0
    return 0.8 if policy.concurrency == 1 else 0.7


def _for_load(
    policy: Policy, snapshot: Snapshot, memory: Memory, slots: float, wait: float, current: int, now: float
) -> tuple[int, str]:
    queued, service = snapshot.queued or 0, memory.service_time(snapshot.running_age)
    panic = max(_PANIC, memory.cold_start / 2)
    rate, rush = memory.rate(max(60.0, 3 * service), now), memory.rate(panic, now)
    if rush * service / policy.concurrency >= 2 * max(1, current):
        rate = rush
    held, held_wait = memory.held(_HELD_WINDOW, now)
    if not memory.rate(_HELD_WINDOW, now):
        held_wait = None  # a burst that is over: its queue would be drained before another instance serves
    drain = 0
    if queued:
        # A slot for each call is the most that can help, whatever the target utilization.
        in_time = ceil((queued + snapshot.running / 2) * service / (policy.concurrency * wait))
        drain = min(in_time, ceil((queued + snapshot.running) / policy.concurrency))
    load, running = ceil(rate * service / slots), memory.running(now)
    busy = ceil(running / slots)
    impatient = ceil(held / slots) if held_wait is not None and held_wait > max(service, _HELD_WAIT) else 0
    instances = max(load, busy, impatient, drain)
    if instances <= 1:
        return instances, f"{queued} queued and {snapshot.running} running"
    if instances == load:
        return instances, f"{rate:.2g} calls/s of {service:.2g} s"
    if instances == busy:
        return instances, f"{running:.2g} running on average"
    if instances == impatient:
        return instances, f"{held:.2g} calls held, {held_wait:.2g} s each"
    return instances, f"{queued} queued and {snapshot.running} running, within {wait:.3g} s"


def _bounded(policy: Policy, snapshot: Snapshot, need: _Need) -> tuple[int, str]:
    demand, why = need.instances, f"{need.why} need {need.instances}" if need.instances else need.why
    if demand and policy.buffer:
        demand, why = demand + policy.buffer, f"{why}, and {policy.buffer} to spare"
    if snapshot.warm > demand:
        demand, why = snapshot.warm, f"{snapshot.warm} were asked to be warmed up"
    wanted = max(min(demand, policy.max), snapshot.floor)
    if wanted == snapshot.floor > demand:
        why = f"the floor is {snapshot.floor}"
    elif wanted < demand:
        why += f", max is {policy.max}"
    if wanted > snapshot.capacity:
        wanted = snapshot.capacity
        why += f"; only {snapshot.capacity} fit here"
    return wanted, why


def _overdue(policy: Policy, snapshot: Snapshot, memory: Memory, wanted: int, now: float) -> tuple[str, ...]:
    """Of those beyond what is needed: at most half at a time, the last one only after the whole idle timeout."""
    current = len(snapshot.starting) + snapshot.ready
    pause = min(_DAMPING, policy.idle_timeout)
    keep = max(wanted, memory.peak(pause, now))
    if current <= keep or now - memory.reduced < pause:
        return ()
    idle = sorted(snapshot.idle, key=lambda one: -one.seconds)
    victims = [*snapshot.starting, *(one.instance for one in idle if one.seconds >= pause)]
    least = max(1, snapshot.floor)
    going = victims[: max(min(current - keep, current // 2, current - least), 0)]
    last = current - len(going) == 1 and keep == snapshot.floor == 0
    if last and idle and idle[-1].seconds >= policy.idle_timeout and idle[-1].instance not in going:
        going.append(idle[-1].instance)
    return tuple(going)
