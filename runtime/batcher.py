"""Calls that come one by one and are given to the handler as lists: the loop around the policy of batching.py."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from runtime.batching import Policy, Waiting
from runtime.context import Context
from runtime.errors import Raised
from runtime.events import event_of, send_answer, set_up
from runtime.exchange import Exchange, Refused
from runtime.handlers import Handler
from runtime.slots import Slot, Threads, run


class BatchError(Exception):
    """The handler did not return a list with one answer for each event."""


@dataclass(eq=False)
class _Item:
    event: Any
    context: Context
    waiting: Waiting
    answer: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """What the handler returned for it, which may be an exception."""


class BatchFunction:
    def __init__(self, handler: Handler, slots: Threads, policy: Policy, *, batches: int) -> None:
        """`batches`: at a time."""
        self._handler = handler
        self._slots = slots
        self._policy = policy
        self._batches = batches
        self._waiting: list[_Item] = []
        self._changed = asyncio.Event()
        self._senders: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        await set_up(self._handler, self._slots)
        self._senders = [
            asyncio.create_task(self._send(), name=f"batches-{number}") for number in range(self._batches)
        ]

    async def stop(self) -> None:
        for sender in self._senders:
            sender.cancel()
        await asyncio.wait(self._senders)

    async def call(self, exchange: Exchange, body: bytes, context: Context) -> None:
        event = event_of(self._handler, exchange, body)
        now = time.monotonic()
        item = _Item(event, context, Waiting(arrived=now, deadline=now + context.remaining()))
        self._policy.arrivals.add(now)
        self._waiting.append(item)
        self._changed.set()
        try:
            result = await asyncio.shield(item.answer)
        except asyncio.CancelledError:
            if item in self._waiting:
                self._waiting.remove(item)
            else:  # it is in a batch by now, and counts until that ends
                await asyncio.wait([item.answer])
                item.answer.exception()
            raise
        if isinstance(result, BaseException):
            raise Raised(result)
        await send_answer(exchange, context, self._handler, result)

    async def _send(self) -> None:
        """One batch after the other."""
        while True:
            while not self._waiting:
                self._changed.clear()
                await self._changed.wait()
            async with self._slots.one() as slot:
                batch = await self._due()
                if batch:
                    await self._run(slot, batch)

    async def _due(self) -> list[_Item]:
        """The next batch when its time has come; nothing if nobody waits any more."""
        loop, free = asyncio.get_running_loop(), time.monotonic()
        while self._waiting:
            batch, now = self._waiting[: self._policy.max_size], time.monotonic()
            at = self._policy.send_at([item.waiting for item in batch], now, free)
            if at <= now:
                del self._waiting[: len(batch)]
                return batch
            self._changed.clear()
            alarm = loop.call_at(at, self._changed.set)
            await self._changed.wait()
            alarm.cancel()
        return []

    async def _run(self, slot: Slot, batch: list[_Item]) -> None:
        batch = self._shed(batch)
        if not batch:
            return
        events, contexts = [item.event for item in batch], [item.context for item in batch]
        began = time.monotonic()
        try:
            result = await run(slot, self._handler.call, events, contexts, on_loop=self._handler.on_loop)
            answers: Sequence[Any] = _checked(result, len(batch))
        except Raised as raised:
            answers = [raised.error] * len(batch)
        except asyncio.CancelledError as error:
            if (task := asyncio.current_task()) and task.cancelling():
                raise
            answers = [error] * len(batch)  # the handler made it up
        except Exception as error:
            answers = [error] * len(batch)
        else:
            now = time.monotonic()
            self._policy.durations.add(now, len(batch), now - began)
        for item, answer in zip(batch, answers, strict=True):
            item.answer.set_result(answer)

    def _shed(self, batch: list[_Item]) -> list[_Item]:
        """Those that can be answered in time; the others are told that they are not run."""
        late = self._policy.late([item.waiting for item in batch], time.monotonic())
        for item, is_late in zip(batch, late, strict=True):
            if is_late:
                message = (
                    f"not run: {item.context.remaining():.3f} s are left until its deadline, and a batch of "
                    f"{len(batch)} takes longer"
                )
                item.answer.set_exception(Refused(504, "DeadlineExceeded", message, retryable=True))
        return [item for item, is_late in zip(batch, late, strict=True) if not is_late]


def _checked(result: Any, count: int) -> Sequence[Any]:
    if isinstance(result, (str, bytes, bytearray, dict)) or not hasattr(result, "__len__"):
        kind = type(result).__name__
        raise BatchError(f"the handler got {count} events (batch: ...) and returned {kind}: return a list")
    if len(result) != count:
        raise BatchError(
            f"the handler got {count} events and returned {len(result)} answers: return one for each, in their "
            "order, and an exception in the place of one that failed"
        )
    return list(result)
