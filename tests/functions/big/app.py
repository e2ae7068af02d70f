"""Answers as many bytes as it is asked for, a pattern that shows what is missing or doubled."""

from typing import Any

_LINE = b"%015d\n"


def pattern(size: int) -> bytes:
    return b"".join(_LINE % number for number in range(size // 16 + 1))[:size]


def handler(event: dict[str, Any], context: Any) -> bytes:
    return pattern(event["bytes"])
