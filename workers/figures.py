"""What the leader counts about each function that is active, each thing once, where it happens.

A function's counters are found once and kept; on the way of a call they are only added to. The same figures fill
the next point of its series (workers/chronicle.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from penstock import clock
from penstock.invocation import FailureCode, Invocation, Outcome, State
from penstock.series import Point, bucket
from penstock.store import Sweep
from penstock.telemetry import catalogue as the
from penstock.telemetry.metrics import Counter, Metrics
from penstock.telemetry.names import OTHER, Names
from workers.autoscaler import Decision

_IDLE = 600.0
"""Seconds without anything after which a function's series go."""
_OUR_FAULT = frozenset({FailureCode.INSTANCE_LOST})
_NO_ROOM = frozenset({FailureCode.PAUSED})


class FunctionFigures:
    """Of one function; `name` is what it is called in metrics."""

    def __init__(self, metrics: Metrics, name: str) -> None:
        self._metrics = metrics
        self._name = name
        self.point: Point = {}
        """What happened since the last one."""
        self._wait = metrics.histogram(the.WAIT, name)
        self._run = metrics.histogram(the.RUN, name)
        self._duration = metrics.histogram(the.DURATION, name)
        self._attempts = metrics.counter(the.ATTEMPTS, name)
        self._cold = metrics.counter(the.COLD, name)
        self._deferrals = metrics.counter(the.DEFERRALS, name)
        self._retries = metrics.counter(the.RETRIES, name)
        self._dead = metrics.counter(the.DEAD, name)
        self._succeeded = metrics.counter(the.ENDED, name, State.SUCCEEDED, "")

    def began(self, invocation: Invocation, *, at_once: int) -> None:
        """A run; `at_once` with it."""
        self._attempts.add()
        self._peak("c", at_once)
        if invocation.token == 1 and invocation.started_at is not None:
            waited = (invocation.started_at - invocation.created_at) / 1000
            self._wait.record(waited)
            if invocation.kind == "job":
                self._add("m", waited)
                self._add("mn", 1)
                self._peak("mm", waited)

    def ran(self, seconds: float, *, provisioned: bool) -> None:
        """A run has ended, however it did, but was not handed back."""
        self._run.record(seconds)
        self._add("r", 1)
        self._add("t", seconds)
        if provisioned:
            self._add("p", 1)
        buckets, number = self.point.setdefault("d", {}), bucket(seconds)
        buckets[number] = buckets.get(number, 0) + 1

    def was_cold(self) -> None:
        self._cold.add()

    def handed_back(self) -> None:
        self._deferrals.add()

    def retried(self) -> None:
        self._retries.add()

    def ended(self, state: State, outcome: Outcome, seconds: float, *, dead: bool) -> None:
        """`seconds` after it was submitted."""
        self._duration.record(seconds)
        self._add("l", seconds)
        self._add("ln", 1)
        if dead:
            self._dead.add()
        if state is State.SUCCEEDED:
            self._succeeded.add()
            self._add("n", 1)
        else:
            self.failed(state, outcome.failure.code if outcome.failure else None)

    def failed(self, state: State, code: FailureCode | None, count: int = 1) -> None:
        """So many ended like this."""
        if not count:
            return
        self._metrics.counter(the.ENDED, self._name, state, code or "").add(count)
        self._add("n", count)
        if state is State.EXPIRED:
            self._add("x", count)
        else:
            self._add("se" if code in _OUR_FAULT else "rt" if code in _NO_ROOM else "fe", count)

    def swept(self, sweep: Sweep) -> None:
        """What a sweep did."""
        self.failed(State.EXPIRED, FailureCode.EXPIRED, sweep.expired)
        self.failed(State.FAILED, FailureCode.INSTANCE_LOST, sweep.failed)
        if sweep.dead:
            self._dead.add(sweep.dead)
        for became, count in (("requeued", sweep.requeued), ("failed", sweep.failed)):
            if count:
                self._metrics.counter(the.LEASES, self._name, became).add(count)

    def _add(self, field: str, amount: float) -> None:
        self.point[field] = self.point.get(field, 0) + amount

    def _peak(self, field: str, value: float) -> None:
        self.point[field] = max(self.point.get(field, 0), value)


class _Silent(FunctionFigures):
    """Counts nothing, for a deployment that wants no metrics."""

    def began(self, invocation: Invocation, *, at_once: int) -> None:
        pass

    def ran(self, seconds: float, *, provisioned: bool) -> None:
        pass

    def ended(self, state: State, outcome: Outcome, seconds: float, *, dead: bool) -> None:
        pass

    def failed(self, state: State, code: FailureCode | None, count: int = 1) -> None:
        pass


class Figures:
    def __init__(self, metrics: Metrics, *, most: int) -> None:
        """`most` functions have series of their own."""
        self.metrics = metrics
        self._silent = None if metrics.enabled else _Silent(metrics, "")
        self._names = Names(most, idle=_IDLE)
        self._functions: dict[str, FunctionFigures] = {}

    def of(self, function: str) -> FunctionFigures:
        """It is active."""
        found = self._functions.get(function, self._silent)
        if found is None:
            found = self._functions[function] = FunctionFigures(self.metrics, self.name(function))
        return found

    @property
    def functions(self) -> Mapping[str, FunctionFigures]:
        return self._functions

    def name(self, function: str) -> str:
        """What it is called in metrics."""
        return self._names.of(function, clock.monotonic())

    def named(self, function: str) -> bool:
        """It has a name of its own."""
        return function in self._names

    def count(self, metric: the.Metric, function: str) -> Counter:
        """One that is not on the way of a call."""
        return self.metrics.counter(metric, self.name(function))

    def started(self, function: str, timeline: Mapping[str, float]) -> None:
        """An instance is ready: milliseconds by stage."""
        self.metrics.histogram(the.INIT, self.name(function)).record(sum(timeline.values()) / 1000)
        self.took(timeline)

    def took(self, stages: Mapping[str, float]) -> None:
        """Milliseconds by stage of a start, or of what is done once for all of them."""
        for stage, milliseconds in stages.items():
            self.metrics.histogram(the.STAGES, stage).record(milliseconds / 1000)

    def decided(self, decision: Decision, have: int) -> None:
        """Something else than before, with so many instances there."""
        self.metrics.counter(the.DECISIONS, _kind(decision, have)).add()

    def close(self) -> None:
        """This process leads no more: what it counted about functions goes with its leadership."""
        self.metrics.forget("function", {OTHER, *self._names.forget(list(self._names))})
        self._functions.clear()

    def tidy(self, active: Collection[str], deleted: Collection[str]) -> None:
        """Drops the series of functions that are not there any more, or were idle for long."""
        now = clock.monotonic()
        for function in active:
            self._names.of(function, now)
        gone = {*self._names.forget(deleted), *self._names.forget_idle(now)}
        if gone:
            self.metrics.forget("function", gone)
        for function in list(self._functions):
            if function in gone or function in deleted or not (function in self._names or function in active):
                del self._functions[function]


def _kind(decision: Decision, have: int) -> str:
    if not decision.valid:
        return "unknown"
    if decision.guarded:
        return "overdue"
    return "up" if decision.desired > have else "down" if decision.desired < have else "hold"
