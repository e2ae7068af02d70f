"""What a function did over time, in points that can be added up, and what Function Compute calls it. Pure.

A point is flat JSON of what happened since the last one: `{"n": 12, "t": 4.1, "d": {"114": 12}, "pr": 1}`. What is
zero is left out. Points of any length add up: counts are added, peaks are the highest, durations lie in buckets of
logarithmic width, from which percentiles of any stretch of time come without averaging percentiles.

A function that nothing happens to has no points. What is counted is zero then. How many instances there are stays
as it last was, for a minute at most, since one that has any is written down each minute all the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Point = dict[str, Any]

SECOND_KEPT_MS = 3_600_000
"""How long points of a second are kept."""
MINUTE_KEPT_MS = 7 * 86_400_000
"""How long points of a minute are."""
HELD_MS = 65_000
"""How long a state lasts without another word: it is told again each minute."""
PEAKS = ("od", "pr", "b", "c", "mm")
"""Of these the highest counts; all other fields are added up. What they are stands in `FIELDS`."""
STATES = ("od", "pr", "b")
"""What is so until something else is told."""
BUCKETS = "d"

FIELDS: Mapping[str, str] = {
    "s": "looks of the leader; a point without any is a gateway's, and tells no state",
    "n": "invocations that ended, or were refused",
    "p": "of those that ran, on provisioned instances",
    "se": "ended by a failure of this system",
    "ce": "refused, for the request's own fault or a limit",
    "fe": "ended by a failure of the function",
    "ct": "refused since too many were under way",
    "rt": "refused, or given up, for want of an instance",
    "x": "expired in the queue",
    "t": "seconds that runs took",
    "r": "runs",
    "d": "runs by bucket of their duration",
    "l": "seconds from submit to end",
    "ln": "invocations that those are of",
    "m": "seconds that jobs waited for their first run",
    "mn": "jobs that those are of",
    "mm": "the longest of them",
    "c": "most runs at a time",
    "od": "on-demand instances that run calls",
    "pr": "provisioned instances",
    "b": "jobs that wait",
    "gm": "memory of its cards in use, each a share, added up over looks",
    "gmn": "looks that those are of",
    "gs": "likewise of the multiprocessors",
    "gsn": "…",
    "ge": "likewise of the encoders",
    "gen": "…",
    "gd": "likewise of the decoders",
    "gdn": "…",
}

_RATIO = 1.08
"""Of the bounds of a bucket: a percentile is within 4 % of the true one."""
_LOG = math.log(_RATIO)


def bucket(seconds: float) -> str:
    """The one that this duration lies in: the bound above it is _RATIO to the power of its number, in ms."""
    return str(math.ceil(math.log(max(seconds * 1000, 0.01)) / _LOG))


def merge(points: Iterable[Mapping[str, Any]]) -> Point:
    """What happened in all of them."""
    whole: Point = {}
    for point in points:
        for name, value in point.items():
            if name == BUCKETS:
                buckets = whole.setdefault(BUCKETS, {})
                for number, count in value.items():
                    buckets[number] = buckets.get(number, 0) + count
            elif name in PEAKS:
                whole[name] = max(whole.get(name, value), value)
            else:
                whole[name] = whole.get(name, 0) + value
    return whole


def quantile(point: Mapping[str, Any], share: float) -> float | None:
    """Milliseconds that this share of the runs took at most; None: there was none."""
    buckets = sorted((int(number), count) for number, count in point.get(BUCKETS, {}).items())
    rank, seen = share * sum(count for _, count in buckets), 0
    for number, count in buckets:
        seen += count
        if seen >= rank:
            return float(round(_RATIO ** (number - 0.5), 3))
    return None


@dataclass(frozen=True)
class Figure:
    """One of Function Compute's metrics."""

    unit: str
    means: str
    of: Callable[[Mapping[str, Any]], float | None]
    """None: nobody knows, or there was nothing to take the mean of."""


def _count(name: str, means: str) -> Figure:
    def of(point: Mapping[str, Any]) -> float:
        count: float = point.get(name, 0)
        return count

    return Figure("Count", means, of)


def _mean(total: str, number: str, unit: str, factor: float, means: str) -> Figure:
    def of(point: Mapping[str, Any]) -> float | None:
        return round(factor * point.get(total, 0) / point[number], 3) if point.get(number) else None

    return Figure(unit, means, of)


def _longest(point: Mapping[str, Any]) -> float | None:
    return round(1000 * point["mm"], 3) if "mm" in point else None


FIGURES: Mapping[str, Figure] = {
    "FunctionTotalInvocations": _count("n", "invocations that ended, or were refused"),
    "FunctionProvisionInvocations": _count("p", "runs on provisioned instances"),
    "FunctionServerErrors": _count("se", "failures of the system: a worker was lost, Redis did not answer"),
    "FunctionClientErrors": _count("ce", "requests that were wrong, or over a limit"),
    "FunctionFunctionErrors": _count("fe", "failures of the function: it raised, timed out, or did not start"),
    "FunctionConcurrencyThrottles": _count("ct", "refused since too many waited already (429)"),
    "FunctionResourceThrottles": _count("rt", "refused for want of an instance (503)"),
    "FunctionAvgDuration": _mean("t", "r", "ms", 1000, "mean time of a run"),
    "FunctionP90Duration": Figure("ms", "9 of 10 runs took less", lambda point: quantile(point, 0.9)),
    "FunctionP99Duration": Figure("ms", "99 of 100 runs took less", lambda point: quantile(point, 0.99)),
    "FunctionLatencyAvg": _mean("l", "ln", "ms", 1000, "mean time from submit to end, waiting included"),
    "FunctionOndemandActiveInstance": _count("od", "on-demand instances at work"),
    "FunctionProvisionedCurrentInstance": _count("pr", "provisioned instances that serve"),
    "FunctionAsyncMessagesBacklog": _count("b", "jobs that wait"),
    "FunctionAsyncMessageLatencyAvg": _mean("m", "mn", "ms", 1000, "mean time that jobs waited for their run"),
    "FunctionAsyncMessageLatencyMax": Figure("ms", "the longest that one did", _longest),
    "FunctionAsyncEventExpiredDropped": _count("x", "invocations that waited longer than they may"),
    "FunctionMaxConcurrentRequests": _count("c", "most runs at a time"),
    "FunctionGPUMemoryUsagePercent": _mean("gm", "gmn", "Percent", 100, "memory in use of its cards"),
    "FunctionGPUSMPercent": _mean("gs", "gsn", "Percent", 100, "how busy their multiprocessors are"),
    "FunctionGPUEncoderPercent": _mean("ge", "gen", "Percent", 100, "likewise their video encoders"),
    "FunctionGPUDecoderPercent": _mean("gd", "gdn", "Percent", 100, "likewise their video decoders"),
}
SHORT = {"P90": "FunctionP90Duration", "P99": "FunctionP99Duration"}
"""As the console's charts call them."""


def steps(
    stored: Sequence[tuple[int, Mapping[str, Any]]], start_ms: int, end_ms: int, step: int, *, held_ms: int
) -> list[tuple[int, Point]]:
    """The points of each step from start to end; `stored` are (ms, point) in the order of time, from `held_ms`
    before the start on, for the states that hold that long."""
    taken: dict[int, list[Mapping[str, Any]]] = {}
    for at, point in stored:
        if start_ms <= at < end_ms:
            taken.setdefault((at - start_ms) // (step * 1000), []).append(point)
    told = [(at, {name: point.get(name, 0) for name in STATES}) for at, point in stored if _tells(point)]
    found: list[tuple[int, Point]] = []
    place, state = 0, (0, dict.fromkeys(STATES, 0))
    for number, begin in enumerate(range(start_ms, end_ms, step * 1000)):
        while place < len(told) and told[place][0] < begin:
            state, place = told[place], place + 1
        holds = [state[1]] if begin - state[0] < held_ms else []
        if step == 1 and place < len(told) and told[place][0] < begin + 1000:
            holds = []  # told anew in this very second
        found.append((begin, merge([*holds, *taken.get(number, ())])))
    return found


def _tells(point: Mapping[str, Any]) -> bool:
    """It says how things are; a gateway's does not."""
    return "s" in point
