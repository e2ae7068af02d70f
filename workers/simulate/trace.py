"""What is asked for: requests with their times, the functions that they are for, and a CSV file as one source.

A trace knows how long each call takes to serve, which no policy is told before the call has ended.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path

from penstock.errors import ConfigurationError
from workers.placement import GIB, Need

CARD_MEMORY = 16 * GIB
"""Bytes of each card of the simulated machine."""
CARDS = 12
"""Cards of the simulated machine unless a case says otherwise. Case B needs 10 at its peak."""
_EXPECTED = "expected time,function,duration[,held]"
_HELD = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": False}


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    at: float
    """Seconds from the beginning of the trace."""
    function: str
    duration: float
    """Seconds that a run of it takes."""
    held: bool = False
    """A client waits for it."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What is given of a function, whoever scales it."""

    cold_start: float = 15.0
    """Seconds from the decision to start an instance until it serves."""
    concurrency: int = 1
    """Calls at a time in one instance."""
    floor: int = 0
    """Instances that stay whatever happens."""
    memory: int | None = None
    """Bytes of GPU memory that an instance reserves; None: a whole card."""

    @property
    def need(self) -> Need:
        return Need(gpu=True, memory=self.memory)


@dataclass(frozen=True, kw_only=True)
class Clients:
    """A closed loop: each client asks again as soon as it has its answer."""

    function: str
    count: int
    duration: float
    """Seconds of each call."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    name: str
    requests: tuple[Request, ...]
    """By time."""
    profiles: Mapping[str, Profile]
    """Of every function that is called."""
    length: float
    """Seconds for which requests come."""
    cards: int = CARDS
    clients: Clients | None = None
    """None: all requests are in `requests`."""


def read(path: Path, *, cards: int = CARDS) -> Workload:
    """The requests of a CSV file. Raises ConfigurationError, which names the line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read as text: {error}") from error
    requests = parse(text.splitlines(), str(path))
    names = sorted({request.function for request in requests})
    return Workload(
        name=path.stem,
        requests=requests,
        profiles={name: Profile() for name in names},
        length=requests[-1].at,
        cards=cards,
    )


def parse(lines: Iterable[str], source: str) -> tuple[Request, ...]:
    """Requests by time, the first at 0. Raises ConfigurationError."""
    found: list[tuple[float, str, float, bool]] = []
    dated: bool | None = None
    rows = csv.reader(lines)
    for row in rows:
        where = f"{source}:{rows.line_num}"
        if not row or (not found and row[0].strip().lower() == "time"):
            continue
        if len(row) not in (3, 4):
            raise ConfigurationError(f"{where}: {len(row)} fields; {_EXPECTED}")
        time, by_date = _time(row[0].strip(), where)
        if dated not in (None, by_date):
            raise ConfigurationError(f"{where}: {row[0]!r}; all times must be seconds, or all RFC 3339")
        dated = by_date
        found.append((time, _function(row[1], where), _duration(row[2], where), _held(row[3:], where)))
    if not found:
        raise ConfigurationError(f"{source}: no requests; {_EXPECTED} on each line")
    first = min(time for time, *_ in found)
    found.sort(key=lambda one: one[0])
    return tuple(
        Request(at=time - first, function=function, duration=duration, held=held)
        for time, function, duration, held in found
    )


def _time(text: str, where: str) -> tuple[float, bool]:
    """Seconds, and whether it was written as a date."""
    try:
        seconds, by_date = float(text), False
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is None or "T" not in text.upper().replace(" ", "T"):
            raise ConfigurationError(
                f"{where}: time {text!r}; expected seconds (12.5) or RFC 3339 (2026-01-31T12:00:00Z)"
            ) from None
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        by_date = True
    if not isfinite(seconds):
        raise ConfigurationError(f"{where}: time {text!r}; expected a finite number of seconds")
    return seconds, by_date


def _function(text: str, where: str) -> str:
    if not text.strip():
        raise ConfigurationError(f"{where}: no function; {_EXPECTED}")
    return text.strip()


def _duration(text: str, where: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not (isfinite(seconds) and seconds >= 0):
        raise ConfigurationError(f"{where}: duration {text.strip()!r}; expected seconds, 0 or more")
    return seconds


def _held(rest: list[str], where: str) -> bool:
    text = rest[0].strip().lower() if rest else ""
    if text not in _HELD:
        raise ConfigurationError(f"{where}: held {text!r}; expected true or false")
    return _HELD[text]
