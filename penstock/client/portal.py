"""A thread with an event loop, through which code without one uses code that needs one."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Coroutine, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

_STOPS = 5.0
"""Seconds that what still runs gets to end at a close."""


class Portal:
    """Its thread is started by its making and ended by `close`; it is no reason for the process to stay."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="penstock client", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What it returns or raises. An interrupt cancels it."""
        if not self._thread.is_alive():
            work.close()
            raise RuntimeError("this client is closed, or was made before a fork: make another one here")
        running = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return running.result()
        except BaseException:
            running.cancel()
            raise

    def iterate(self, source: AsyncGenerator[T, None]) -> Iterator[T]:
        """What it yields, each when it is asked for."""

        async def after() -> T:
            return await anext(source)

        try:
            while True:
                try:
                    one = self.run(after())
                except StopAsyncIteration:
                    return
                yield one
        finally:
            self.run(source.aclose())

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Ends what still runs, then runs the last work; more than once is as good as once."""
        if not self._thread.is_alive():
            last.close()
            return

        async def end() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await last

        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(end(), self._loop).result(_STOPS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOPS)
        if not self._thread.is_alive():
            self._loop.close()
