"""Answers the body it got, unchanged."""

from typing import Any


def handler(event: bytes, context: Any) -> bytes:
    return event
