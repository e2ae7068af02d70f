"""Raises an error of its own class."""

from typing import Any


class TooSad(Exception):
    pass


def handler(event: bytes, context: Any) -> bytes:
    print("about to raise")
    raise TooSad(f"{len(event)} bytes are too sad to say anything about")
