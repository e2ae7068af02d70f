"""No orphan task: every background loop has a name, is guarded, and is stopped in a stated order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from penstock import clock
from penstock.errors import PenstockError

log = logging.getLogger(__name__)

_LONGEST_PAUSE = 2.0
"""Seconds between two tries of a loop that fails; what depends on Redis must be back within 5 s of it."""
_TELL_AGAIN = 60.0
_CANCEL_AGAIN = 0.5


class Tasks:
    """The background work of one process or part of it."""

    def __init__(self) -> None:
        self._loops: list[asyncio.Task[None]] = []
        self._shots: set[asyncio.Task[None]] = set()

    def loop(self, name: str, body: Callable[[], Awaitable[None]]) -> None:
        """Runs `body`, which never returns by itself, and starts it again whenever it raises."""
        self._loops.append(asyncio.create_task(_forever(name, body), name=name))

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs something that ends by itself. A failure is logged, never swallowed."""
        task = asyncio.create_task(work, name=name)
        self._shots.add(task)
        task.add_done_callback(self._ended)
        return task

    async def drain(self, timeout: float) -> bool:
        """Waits for what was spawned; False if some of it was still at work after `timeout` seconds."""
        if self._shots:
            await asyncio.wait(self._shots, timeout=timeout)
        return not self._shots

    async def stop(self) -> None:
        """Cancels everything, loops first and the latest of them before the earlier, and waits for the end."""
        for loop in reversed(self._loops):
            await cancel([loop])
        self._loops.clear()
        await cancel(self._shots)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._shots.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed", task.get_name(), exc_info=error)


async def cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancels them until they have ended: a library may swallow a cancellation that comes while it connects. What
    they raise is nobody's concern any more."""
    all_of_them = list(tasks)
    pending = set(all_of_them)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN)
    for task in all_of_them:
        if not task.cancelled():
            task.exception()


async def _forever(name: str, body: Callable[[], Awaitable[None]]) -> None:
    told: dict[str, float] = {}

    def report(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        text = f"{type(error).__name__}: {error}"
        # An outage repeats one error many times: it is told once a minute.
        if clock.monotonic() - told.get(text, float("-inf")) > _TELL_AGAIN:
            told[text] = clock.monotonic()
            log.warning("%s: %s; trying again", name, text, exc_info=_unexpected(error))

    async for attempt in AsyncRetrying(
        wait=wait_random_exponential(multiplier=0.1, max=_LONGEST_PAUSE),
        retry=retry_if_exception_type(Exception),
        before_sleep=report,
    ):
        with attempt:
            await body()


def _unexpected(error: BaseException | None) -> BaseException | None:
    """The error itself if its traceback would help: outages explain themselves."""
    return None if isinstance(error, (PenstockError, OSError)) else error
