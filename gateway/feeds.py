"""What happens to all invocations of a function, for those who look on: one subscription for all of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator

from penstock.errors import StoreUnavailable
from penstock.events import Event
from penstock.store import Store
from penstock.tasks import cancel

_HEARTBEAT = 15.0
_BEHIND = 1_000
"""Events that a reader may be behind; more are dropped, and it is told how many."""
_PAUSE = 1.0


class _Reader:
    def __init__(self) -> None:
        self.queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self.dropped = 0

    def hear(self, event: Event) -> None:
        if self.queue.qsize() >= _BEHIND:
            self.dropped += 1
            return
        if self.dropped:
            self.queue.put_nowait(Event(id=None, kind="gap", data={"events": self.dropped}))
            self.dropped = 0
        self.queue.put_nowait(event)


class _Listening:
    """To one function."""

    def __init__(self) -> None:
        self.readers: set[_Reader] = set()
        self.hears = asyncio.Event()
        """Set once the subscription stands."""
        self.task: asyncio.Task[None] | None = None

    def heard(self, event: Event) -> None:
        for reader in self.readers:
            reader.hear(event)


class Feeds:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._listening: dict[str, _Listening] = {}
        self._closed = False

    async def follow(self, function: str) -> AsyncGenerator[Event | None, None]:
        """What happens from the first item on, until this gateway stops; None: a heartbeat is due."""
        reader = _Reader()
        listening = self._listening.get(function)
        if listening is None:
            listening = self._listening[function] = _Listening()
            listening.task = asyncio.create_task(self._listen(function, listening), name=f"feed of {function}")
        listening.readers.add(reader)
        try:
            await listening.hears.wait()
            yield None
            while not self._closed:
                try:
                    async with asyncio.timeout(_HEARTBEAT):
                        event = await reader.queue.get()
                except TimeoutError:
                    yield None
                    continue
                if event is None:
                    return
                yield event
        finally:
            listening.readers.discard(reader)
            if not listening.readers:
                del self._listening[function]
                assert listening.task is not None, "it was begun above"
                await cancel([listening.task])

    def close(self) -> None:
        """Lets go of everybody."""
        self._closed = True
        for listening in self._listening.values():
            listening.hears.set()
            for reader in listening.readers:
                reader.queue.put_nowait(None)

    async def _listen(self, function: str, listening: _Listening) -> None:
        while True:
            try:
                async for channel, data in self._store.feed(function):
                    if channel:
                        listening.heard(_event(data))
                    else:
                        listening.hears.set()
            except StoreUnavailable:
                # What happened meanwhile is not told; whoever needs all of it reads the list of jobs.
                listening.heard(Event(id=None, kind="gap", data={"events": None}))
                await asyncio.sleep(_PAUSE)


def _event(data: bytes) -> Event:
    invocation_id, what, attempt, *said = data.decode().split(" ", 3)
    known = {"id": invocation_id, "state": what, "attempt": int(attempt)}
    if said:
        known |= {"state": "running", **json.loads(said[0])}
    return Event(id=None, kind=what, data=known)
