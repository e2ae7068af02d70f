"""Durations and sizes, written as people write them: `90s`, `5m`, `24h`, `2GiB`.

Specs keep the text away from the code: a field of type `Duration` is a float of seconds, one of type `Size`
an int of bytes, and both are rendered back in the shortest exact spelling.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, GetJsonSchemaHandler, PlainSerializer
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

_DURATION_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE_UNITS = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)", re.ASCII)
DURATION_TEXT = r"^[0-9]+(\.[0-9]+)? *(ms|s|m|h|d)$"
SIZE_TEXT = r"^[0-9]+(\.[0-9]+)? *(B|KB|MB|GB|KiB|MiB|GiB|TiB)$"
"""What JSON Schema says of the two as text."""


def parse_duration(value: object) -> float:
    """Seconds of a duration such as `90s`, `1.5m` or `250ms`; a bare number is seconds. Raises ValueError."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < float("inf"):
        return float(value)
    match = _QUANTITY.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is not None and match[2] == "ms":
        return float(match[1]) / 1000  # not times 0.001, which is not a binary fraction: 51ms is 0.051
    if match is None or match[2] not in _DURATION_UNITS:
        raise ValueError(f"{value!r} is not a duration; write a number and ms, s, m, h or d, as in 90s or 5m")
    return float(match[1]) * _DURATION_UNITS[match[2]]


def parse_size(value: object) -> int:
    """Bytes of a size such as `512MiB` or `2GB`; a bare whole number is bytes. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _QUANTITY.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or match[2] not in _SIZE_UNITS:
        raise ValueError(f"{value!r} is not a size; write a number and B, KiB, MiB, GiB, TiB, KB, MB or GB")
    return round(float(match[1]) * _SIZE_UNITS[match[2]])


def format_duration(seconds: float) -> str:
    """The shortest spelling that `parse_duration` reads back as the same value."""
    for unit in ("d", "h", "m", "s"):
        count = seconds / _DURATION_UNITS[unit]
        if seconds and count.is_integer() and count * _DURATION_UNITS[unit] == seconds:
            return f"{int(count)}{unit}"
    milliseconds = round(seconds * 1000)
    return f"{milliseconds}ms" if milliseconds / 1000 == seconds else f"{Decimal(repr(seconds)):f}s"


def format_size(count: int) -> str:
    """The shortest spelling that `parse_size` reads back as the same value."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if count and count % _SIZE_UNITS[unit] == 0:
            return f"{count // _SIZE_UNITS[unit]}{unit}"
    return f"{count}B"


class _Described:
    """How JSON Schema describes a quantity: text, or where it is read also a bare number."""

    def __init__(self, pattern: str, example: str) -> None:
        self._pattern = pattern
        self._example = example

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        text = {"type": "string", "pattern": self._pattern, "examples": [self._example]}
        if handler.mode == "serialization":
            return text
        # A field's bounds are said of the bare number; they hold for the text, too, which no pattern can say.
        number = {"minimum": 0} | {_BOUNDS.get(name, name): value for name, value in handler(core).items()}
        return {"anyOf": [text, number]}


_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
"""pydantic leaves its own names for bounds of what it takes for a function."""


Duration = Annotated[
    float, BeforeValidator(parse_duration), PlainSerializer(format_duration), _Described(DURATION_TEXT, "90s")
]
"""Seconds; written and shown as `90s`."""

Size = Annotated[int, BeforeValidator(parse_size), PlainSerializer(format_size), _Described(SIZE_TEXT, "2GiB")]
"""Bytes; written and shown as `2GiB`."""
