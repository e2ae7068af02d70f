"""The places where calls run: exactly as many at a time as the spec says, each with a thread of its own.

A call stays on one thread from its beginning to the last thing it yields: what frameworks keep by thread, such as
torch's no_grad, holds for all of it. A function with one slot has one thread for import, initialize and all calls.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

from runtime.errors import Raised
from runtime.exchange import Refused, to_its_end


class Slot:
    def __init__(self, number: int) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"handler-{number}")

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Calls the user's code in the slot's thread, and waits for its end even if cancelled. Raises Raised."""
        loop = asyncio.get_running_loop()
        return await to_its_end(loop.run_in_executor(self._thread, _guarded, function, args))


T = TypeVar("T")


class Slots(Generic[T]):
    """Threads, or processes: lent to one call at a time. The one that came back last is lent first."""

    def __init__(self, slots: Sequence[T]) -> None:
        self._free = list(reversed(slots))
        self._count = asyncio.Semaphore(len(slots))

    @asynccontextmanager
    async def one(self) -> AsyncIterator[T]:
        """Waits for its turn."""
        async with self._count:
            slot = self._free.pop()
            try:
                yield slot
            finally:
                self._free.append(slot)


Threads = Slots[Slot]


async def awaited(awaitable: Any) -> Any:
    """What the user's own coroutine returns. Raises Raised."""
    try:
        return await awaitable
    except (asyncio.CancelledError, Refused):
        raise
    except BaseException as error:
        raise Raised(error) from error


async def run(slot: Slot, function: Callable[..., Any], *args: Any, on_loop: bool | None = None) -> Any:
    """Calls a function of either kind; `on_loop` where it is known already. Raises Raised."""
    if inspect.iscoroutinefunction(function) if on_loop is None else on_loop:
        return await awaited(_started(function, args))
    result = await slot.run(function, *args)
    return await awaited(result) if inspect.isawaitable(result) else result


async def _started(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    return await function(*args)


def _guarded(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    try:
        return function(*args)
    except Refused:
        raise
    except BaseException as error:
        raise Raised(error) from error
