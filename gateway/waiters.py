"""Clients that wait for an invocation to answer or to end: on a held connection or a long poll.

Both are published to this gateway, the end with the outcome in it. Such a hint may be lost, so whoever has waited
for a second is looked up in the record each second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from penstock import clock, keys
from penstock.invocation import Ending, Opening
from penstock.store import Store
from penstock.store.records import decode_ending, decode_opening

_LOOK_AGAIN = 1.0

News: TypeAlias = "asyncio.Future[Ending | Opening | None]"


class Waiters:
    def __init__(
        self,
        store: Store,
        gateway: str,
        on_hint: Callable[[str], None],
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_hint` hears the id of each invocation that something may have happened to, `on_change` that
        something may have been deployed."""
        self._store = store
        self._on_hint = on_hint
        self._on_change = on_change
        self.gateway = gateway
        """Name under which the store tells this process of ends."""
        self._waiting: dict[str, _Waiting] = {}
        self._closed = False

    @contextmanager
    def expect(self, function: str, invocation_id: str, *, openings: bool = False) -> Iterator[News]:
        """A future of how it ends, or with `openings` of how an answer begins that still comes; None when this
        gateway stops and nobody can wait here any longer. Enter before the store is asked to tell us, or it may be
        missed."""
        news: News = asyncio.get_running_loop().create_future()
        waiting = self._waiting.get(invocation_id)
        if waiting is None:
            waiting = self._waiting[invocation_id] = _Waiting(function, clock.monotonic(), {})
        waiting.futures[news] = openings
        if self._closed or waiting.ending is not None:
            news.set_result(waiting.ending)
        try:
            yield news
        finally:
            del waiting.futures[news]
            if not waiting.futures:
                self._waiting.pop(invocation_id, None)

    @property
    def count(self) -> int:
        """Invocations that somebody waits for here."""
        return len(self._waiting)

    @property
    def closed(self) -> bool:
        """True: nobody may wait here any longer."""
        return self._closed

    def close(self) -> None:
        """Lets go of everybody who waits, and of whoever comes."""
        self._closed = True
        for waiting in self._waiting.values():
            waiting.tell(None)

    async def listen(self) -> None:
        """Loop: what is published to this gateway."""
        async for channel, data in self._store.replies(self.gateway):
            if channel == keys.reply(self.gateway):
                invocation_id, _, rest = data.partition(b"\n")
                await self._told(invocation_id.decode(), rest)
            elif channel == keys.CHANGED:
                self._on_change()

    async def look_again(self) -> None:
        """Loop: the truth, for those whose hint was lost."""
        while True:
            await asyncio.sleep(_LOOK_AGAIN)
            now = clock.monotonic()
            late = [i for i, waiting in self._waiting.items() if now - waiting.since > _LOOK_AGAIN]
            await asyncio.gather(*(self._look(invocation_id) for invocation_id in late))

    async def _told(self, invocation_id: str, rest: bytes) -> None:
        self._on_hint(invocation_id)
        if invocation_id not in self._waiting:
            return
        if not rest:  # an answer too long for a hint
            await self._look(invocation_id)
            return
        state, _, said = rest.partition(b"\n")
        if state == b"open":
            self._waiting[invocation_id].tell(decode_opening(said))
        else:
            head, _, answer = said.partition(b"\n")
            self._waiting[invocation_id].tell(decode_ending(state, head, answer))

    async def _look(self, invocation_id: str) -> None:
        waiting = self._waiting.get(invocation_id)
        if waiting is not None:
            news = await self._store.invocations.news(waiting.function, invocation_id)
            if news is not None:
                waiting.tell(news)


@dataclass
class _Waiting:
    """Those who wait for one invocation."""

    function: str
    since: float
    futures: dict[News, bool]
    """Each, and whether it hears of openings."""
    ending: Ending | None = None
    """Known already to whoever begins to wait now."""

    def tell(self, news: Ending | Opening | None) -> None:
        if isinstance(news, Ending):
            self.ending = news
        for future, openings in self.futures.items():
            if not future.done() and (openings or not isinstance(news, Opening)):
                future.set_result(news)
