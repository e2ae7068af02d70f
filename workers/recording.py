"""An answer as it comes: kept as a whole, and handed to whoever reads along.

A short one stays in memory and travels with the outcome, a longer one goes into a blob. Those who read along get
each piece at once, from a window of the latest pieces; the instance is read no faster than the slowest of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, contextmanager

from penstock import clock
from penstock.blobs import Blobs, Writer

INLINE = 64 * 1024
"""Bytes up to which an answer travels with its outcome."""
_WINDOW = 1024 * 1024
"""Bytes that a reader may be behind."""
_OVERHEAD = 64
"""Bytes that a piece takes beyond its own: many a token is shorter."""
_SAVE = 256 * 1024
"""Bytes that are written to the blob at a time."""
_READER_COMES = 5.0
"""Seconds within which the first reader comes, if one comes at all."""


class BrokenOff(Exception):
    """The answer ended before it was whole."""


class Recording:
    def __init__(self, blobs: Blobs, name: str, *, awaited: bool, durable: bool) -> None:
        """`name`: of the blob, if it needs one. `awaited`: somebody is about to read along. `durable`: the blob
        must survive a power loss."""
        self._blobs = blobs
        self._name = name
        self._durable = durable
        self._reader_due = clock.monotonic() + (_READER_COMES if awaited else 0.0)
        self._read = False
        self.size = 0
        self._window: deque[bytes] = deque()
        self._dropped = 0
        """Pieces that left the window, and their bytes."""
        self._dropped_bytes = 0
        self._readers: dict[object, tuple[int, int]] = {}
        """Pieces and bytes that each has had."""
        self._unsaved: list[bytes] = []
        self._unsaved_bytes = 0
        self._files = AsyncExitStack()
        self._blob: Writer | None = None
        self._whole = False
        self._ended = False
        self._changed = asyncio.Event()

    async def write(self, piece: bytes) -> None:
        """Adds to it; waits while a reader is too far behind."""
        self._window.append(piece)
        self._unsaved.append(piece)
        self._unsaved_bytes += len(piece) + _OVERHEAD
        self.size += len(piece)
        self._notify()
        if self.size > INLINE and (self._blob is None or self._unsaved_bytes >= _SAVE):
            await self._save()
        while self._behind() > _WINDOW:
            await self._room()

    async def finish(self) -> tuple[bytes, str | None]:
        """All of it has come: its body if that is short, else the name of its blob. Readers wait for `end`."""
        if self._blob is not None:
            await self._save()
            await self._blob.commit(durable=self._durable)
            await self._files.aclose()
        self._whole = True
        return (b"".join(self._unsaved), None) if self._blob is None else (b"", self._name)

    def end(self) -> None:
        """Its run is over: readers see its end, or that it broke off if `finish` did not come first."""
        self._ended = True
        self._notify()

    async def abandon(self) -> None:
        """It never ends: readers see it break off."""
        self.end()
        await self._files.aclose()

    def expect_nobody(self) -> None:
        """Nobody was told of it."""
        self._reader_due = clock.monotonic()

    @property
    def awaited(self) -> bool:
        """True while its first reader may yet come."""
        return not self._read and clock.monotonic() < self._reader_due

    @property
    def readable(self) -> bool:
        """True while a reader would get it from the beginning, and to its end."""
        return not self._dropped and (self._whole or not self._ended)

    @contextmanager
    def reader(self) -> Iterator[AsyncGenerator[bytes, None]]:
        """All of it as it comes; it must be `readable`. The pieces raise BrokenOff."""
        assert not self._dropped, "its beginning has left the window"
        self._read = True
        reader = object()
        self._readers[reader] = (0, 0)
        try:
            yield self._pieces(reader)
        finally:
            del self._readers[reader]
            self._notify()

    async def _pieces(self, reader: object) -> AsyncGenerator[bytes, None]:
        had, size = 0, 0
        while True:
            changed = self._changed
            if had < self._dropped + len(self._window):
                piece = self._window[had - self._dropped]
                yield piece
                had, size = had + 1, size + len(piece)
                self._readers[reader] = (had, size)
                self._notify()
            elif not self._ended:
                await changed.wait()
            elif self._whole:
                return
            else:
                raise BrokenOff

    def _behind(self) -> int:
        """Bytes in the window, after all that nobody waits for has left it."""
        first = min((had for had, _ in self._readers.values()), default=None)
        while self._window:
            held = self.size - self._dropped_bytes + _OVERHEAD * len(self._window)
            read_by_all = first is not None and self._dropped < first
            unread = first is None and not self.awaited
            # What all have read stays while there is room: another reader may come.
            if not (unread or (held > _WINDOW and read_by_all)):
                return held
            self._dropped += 1
            self._dropped_bytes += len(self._window.popleft())
        return 0

    async def _room(self) -> None:
        timeout = None if self._readers else max(self._reader_due - clock.monotonic(), 0.0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._changed.wait()

    async def _save(self) -> None:
        if self._blob is None:
            self._blob = await self._files.enter_async_context(self._blobs.writer(self._name))
        pieces, self._unsaved, self._unsaved_bytes = self._unsaved, [], 0
        await self._blob.write(b"".join(pieces))

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
