"""Clients that wait for an invocation to end: on a held connection or a long poll.

The end is published to this gateway with the outcome in it. Such a hint may be lost, so whoever has waited for
a second is looked up in the record each second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from penstock import clock, keys
from penstock.invocation import Ending
from penstock.store import Store
from penstock.store.records import decode_ending

_LOOK_AGAIN = 1.0


class Waiters:
    def __init__(self, store: Store, gateway: str) -> None:
        self._store = store
        self.gateway = gateway
        """Name under which the store tells this process of ends."""
        self._waiting: dict[str, tuple[str, float, set[asyncio.Future[Ending | None]]]] = {}
        self._closed = False

    @contextmanager
    def expect(self, function: str, invocation_id: str) -> Iterator[asyncio.Future[Ending | None]]:
        """A future of how it ends; None when this gateway stops and nobody can wait here any longer. Enter before
        the store is asked to tell us, or the end may be missed."""
        future: asyncio.Future[Ending | None] = asyncio.get_running_loop().create_future()
        if self._closed:
            future.set_result(None)
        entry = self._waiting.setdefault(invocation_id, (function, clock.monotonic(), set()))
        entry[2].add(future)
        try:
            yield future
        finally:
            entry[2].discard(future)
            if not entry[2]:
                self._waiting.pop(invocation_id, None)

    def close(self) -> None:
        """Lets go of everybody who waits, and of whoever comes."""
        self._closed = True
        for _, _, futures in self._waiting.values():
            for future in futures:
                if not future.done():
                    future.set_result(None)

    async def listen(self) -> None:
        """Loop: what is published to this gateway."""
        async for channel, data in self._store.replies(self.gateway):
            if channel == keys.reply(self.gateway):
                invocation_id, _, rest = data.partition(b"\n")
                await self._told(invocation_id.decode(), rest)

    async def look_again(self) -> None:
        """Loop: the truth, for those whose hint was lost."""
        while True:
            await asyncio.sleep(_LOOK_AGAIN)
            now = clock.monotonic()
            late = [i for i, (_, since, _) in self._waiting.items() if now - since > _LOOK_AGAIN]
            await asyncio.gather(*(self._look(invocation_id) for invocation_id in late))

    async def _told(self, invocation_id: str, rest: bytes) -> None:
        if invocation_id not in self._waiting:
            return
        if not rest:  # an answer too long for a hint
            await self._look(invocation_id)
            return
        state, head, answer = rest.split(b"\n", 2)
        self._resolve(invocation_id, decode_ending(state, head, answer))

    async def _look(self, invocation_id: str) -> None:
        entry = self._waiting.get(invocation_id)
        if entry is not None:
            ending = await self._store.invocations.ending(entry[0], invocation_id)
            if ending is not None:
                self._resolve(invocation_id, ending)

    def _resolve(self, invocation_id: str, ending: Ending) -> None:
        entry = self._waiting.get(invocation_id)
        for future in entry[2] if entry else ():
            if not future.done():
                future.set_result(ending)
