"""Adds up what each function uses, by UTC day, from readings of its instances. Pure.

A reading tells all of an instance's life so far and the meter takes the difference to the one before, so that
readings may come at any pace: the sums are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from penstock.usage import GB, NOTHING, Usage, day_of
from workers.placement import Need, Reservation


@dataclass(frozen=True, kw_only=True)
class Rate:
    """What an instance holds for as long as it lives."""

    gpu: float
    """Share of a card, 0 to 1; 0: none."""
    gb: float
    """What it is billed by: of GPU memory or, without a GPU, of the container's."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One instance. Times are seconds since its life began."""

    instance: str
    function: str
    provisioned: bool
    """Now: what is new since the last reading counts so."""
    rate: Rate
    lived: float
    starting: float
    """Of a cold start; 0 for one that was adopted."""
    busy: float
    calls: int
    """Runs that ended."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    function: str
    day: str
    """UTC, YYYY-MM-DD."""
    usage: Usage


class Meter:
    def __init__(self) -> None:
        self._last: dict[str, Reading] = {}
        self._used: dict[tuple[str, str], Usage] = {}

    def stood_by(self, now: float, function: str, seconds: float) -> None:
        """Adds what containers of a function stood by since the last tick."""
        key = (function, day_of(now))
        self._used[key] = self._used.get(key, NOTHING) + Usage(standby=int(seconds * 1000))

    def tick(self, now: float, readings: Iterable[Reading]) -> None:
        """Takes a reading of every instance there is, and a last one of those that have gone since; `now` is in
        seconds since 1970. What was used since the last tick counts to this one's day."""
        day = day_of(now)
        latest: dict[str, Reading] = {}
        for reading in readings:
            used = _since(self._last.get(reading.instance), reading)
            if used != NOTHING:
                place = reading.function, day
                self._used[place] = self._used.get(place, NOTHING) + used
            latest[reading.instance] = reading
        self._last = latest

    def take(self) -> list[Entry]:
        """What was used since the last time; an idle function has no entry."""
        used, self._used = self._used, {}
        return [Entry(function=function, day=day, usage=usage) for (function, day), usage in used.items()]


def rate(need: Need, made: Reservation | None, total: int | None, memory: int) -> Rate:
    """What an instance holds: `made` is its reservation, on a card with `total` bytes, None where its card is not
    there; `memory` is its container's, in bytes. Billed is what it asked for; a card of its own counts whole."""
    if not need.gpu:
        return Rate(gpu=0.0, gb=memory / GB)
    asked = need.reserved if need.reserved is not None else total or 0
    if made is None:
        return Rate(gpu=0.0, gb=asked / GB)
    return Rate(gpu=1.0 if made.exclusive or not total else min(made.amount / total, 1.0), gb=asked / GB)


def _since(last: Reading | None, reading: Reading) -> Usage:
    if last is None:
        return _used(reading)
    return _used(reading) - _used(replace(last, provisioned=reading.provisioned))


def _used(reading: Reading) -> Usage:
    """In its whole life. Rounding the whole, not the difference, keeps what is left over for the next tick."""
    lived, busy = int(reading.lived * 1000), int(reading.busy * 1000)
    gb = reading.rate.gb
    figures: Mapping[str, int] = (
        {"provisioned": lived, "provisioned_busy": busy, "provisioned_gb": int(lived * gb)}
        if reading.provisioned
        else {
            "on_demand": lived,
            "on_demand_busy": busy,
            "on_demand_gb": int(lived * gb),
            "on_demand_busy_gb": int(busy * gb),
        }
    )
    cold_start, gpu = int(reading.starting * 1000), int(lived * reading.rate.gpu)
    return Usage(calls=reading.calls, cold_start=cold_start, gpu=gpu, **figures)
