"""How much of a function a caller may use at a time: so many calls a second, so many in flight. Pure."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(s|m|h|d)")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_FASTEST, _SLOWEST = 1e6, 1 / 86_400


def parse_rate(value: object) -> float:
    """Calls a second, of a rate such as `100/s`, `30/m` or `5000/d`. Raises ValueError."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        rate = float(value)
    else:
        match = _RATE.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None:
            raise ValueError(f"{value!r} is not a rate; write a number and /s, /m, /h or /d, as in 100/s")
        rate = float(match[1]) / _SECONDS[match[2]]
    if not _SLOWEST <= rate <= _FASTEST:
        raise ValueError(f"{value!r} is not between 1/d and {_FASTEST:.0f}/s")
    return rate


def format_rate(rate: float) -> str:
    """The shortest spelling that `parse_rate` reads back as the same value."""
    for unit, seconds in _SECONDS.items():
        count = round(rate * seconds, 6)
        if count.is_integer() and count / seconds == rate:
            return f"{int(count)}/{unit}"
    return f"{rate}/s"


Rate = Annotated[float, BeforeValidator(parse_rate), PlainSerializer(format_rate)]
"""Calls a second; written and shown as `100/s`."""


class Limits(BaseModel):
    """Of a function, or of an API key. What is over them is refused with 429 and when to come again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rate: Rate | None = None
    """Calls that are accepted per time, as 100/s; None: any number."""
    burst: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] | None = None
    """Calls that are accepted at once after a pause; None: those of one second."""
    in_flight: Annotated[int, Field(strict=True, ge=1)] | None = None
    """Calls that were accepted and have not ended; None: any number."""

    @property
    def interval_ms(self) -> float:
        """Milliseconds between two calls at this rate; 0: there is none."""
        return 1000 / self.rate if self.rate is not None else 0.0

    @property
    def at_once(self) -> int:
        """The burst that was given, or that follows from the rate."""
        return self.burst if self.burst is not None else max(int(self.rate or 0), 1)

    @property
    def some(self) -> bool:
        """Whether they limit anything."""
        return self.rate is not None or self.in_flight is not None
