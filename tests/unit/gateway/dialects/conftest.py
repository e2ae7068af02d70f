"""Other vendors' clients, which block, beside a gateway in the test's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from tests.unit.gateway.conftest import House, blobs, house, no_blocking_call, open_house, own_server

__all__ = ["blobs", "house", "no_blocking_call", "open_house", "own_server"]

T = TypeVar("T")


def url(house: House) -> str:
    """Where its gateway listens."""
    return str(house.client.make_url("")).rstrip("/")


def begin(call: Callable[..., T], *args: Any, **more: Any) -> asyncio.Task[T]:
    """A client's blocking call, in a thread."""
    return asyncio.create_task(asyncio.to_thread(call, *args, **more))
