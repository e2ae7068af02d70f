"""Waiting for a condition with a deadline, so that no test guesses how long something takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def until(look: Callable[[], Awaitable[T]], what: str, *, timeout: float = 10.0) -> T:
    """What `look` returns as soon as it is true; fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (found := await look()):
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {what}"
        await asyncio.sleep(0.005)
    return found


def until_now(look: Callable[[], T], what: str, *, timeout: float = 10.0) -> T:
    """The same for tests without a loop."""
    deadline = time.monotonic() + timeout
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {what}"
        time.sleep(0.01)
    return found
