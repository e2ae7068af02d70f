"""Stores what one run says while it goes on: progress, output, lines of its log.

The first at once, what follows together, at most every 50 ms. Under the fencing token of the run: what a stale one
says is dropped. What may not have been stored is sent again under the same numbers, and so is stored once.
"""

from __future__ import annotations

import asyncio
import base64
import codecs
import json
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from penstock.errors import StoreUnavailable
from penstock.events import Kind
from penstock.invocation import Invocation
from penstock.store import Store
from penstock.store.events import CAP

log = logging.getLogger(__name__)

_PERIOD = 0.05
_RATE = 4 * 2**20
"""Bytes a second that one run says at most, so that none keeps the store from others; more of it is dropped."""
_PAUSE = 0.5
"""Seconds after the store could not be reached."""
_PIECE = 64 * 1024
"""Bytes of output from which on it is an event of its own."""
_TEXT = ("text/", "application/json", "application/x-ndjson", "application/xml", "application/javascript")

_Said = tuple[Kind, str | bytes]
"""Output is encoded when it is stored: much of a fast one is dropped before."""


class Narrator:
    def __init__(self, store: Store, invocation: Invocation, ids: Mapping[str, str] | None = None) -> None:
        """`ids` of its trace go with every line of its log."""
        self._store = store
        self._of = invocation
        self._ids = ids or {}
        self._output: list[bytes] = []
        self._output_bytes = 0
        self._said: deque[_Said] = deque()
        self._bytes = 0
        self._dropped = 0
        """Bytes that were said before these and are not kept."""
        self._sending: list[tuple[Kind, str]] = []
        """What is on its way to the store, or may be."""
        self._skipped = 0
        """Bytes right before it that are not kept."""
        self._number = 1
        """Of the first of it."""
        self._decode: Callable[[bytes], str] | None = None
        self._in_order = asyncio.Lock()
        """Two writes at a time could overtake each other."""
        self._telling: asyncio.Task[None] | None = None

    def speaks(self, content_type: str) -> None:
        """What its output is: text is stored as such, anything else as base64."""
        if content_type.startswith(_TEXT) or content_type.partition(";")[0].endswith(("+json", "+xml")):
            self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode

    def output(self, piece: bytes) -> None:
        """A piece of its answer."""
        self._output.append(piece)
        self._output_bytes += len(piece)
        if self._output_bytes >= _PIECE:
            self._gather()
        self._tell_soon()

    def line(self, text: str) -> None:
        """A line of its log."""
        self._add("log", json.dumps({"line": text, **self._ids}))
        self._tell_soon()

    async def report(self, progress: Sequence[str]) -> bool:
        """Progress, each as JSON; False if the run is over. While the store is away it is kept until later."""
        for one in progress:
            self._add("progress", one)
        try:
            return await self._tell_all()
        except StoreUnavailable:
            self._tell_soon()
            return True

    async def flush(self) -> None:
        """Returns when all that was said is stored, or cannot be."""
        if not (self._said or self._output or self._sending or self._telling):
            return  # most runs say nothing
        try:
            await self._tell_all()
        except StoreUnavailable as error:
            log.warning("%s/%s: what it said last is not kept: %s", self._of.function, self._of.id, error)
            self._output, self._sending = [], []
            self._said.clear()

    def _add(self, kind: Kind, data: str | bytes) -> None:
        """What was said before it comes before it."""
        if kind != "output":
            self._gather()
        self._said.append((kind, data))
        self._bytes += len(data)
        while self._bytes > CAP and len(self._said) > 1:  # the store would drop it, too
            lost = len(self._said.popleft()[1])
            self._bytes -= lost
            self._dropped += lost

    def _gather(self) -> None:
        """Pieces of output that came since become one."""
        if self._output:
            pieces, self._output, self._output_bytes = b"".join(self._output), [], 0
            self._add("output", pieces)

    def _tell_soon(self) -> None:
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._keep_telling(), name=f"what {self._of.id} says")

    async def _keep_telling(self) -> None:
        while self._said or self._output or self._sending:
            size = self._bytes + self._output_bytes
            try:
                await self._tell_all()
                await asyncio.sleep(_PERIOD + size / _RATE)
            except StoreUnavailable:
                await asyncio.sleep(_PAUSE)

    async def _tell_all(self) -> bool:
        """All that was said by now; False if the run is over."""
        async with self._in_order:
            current = not self._sending or await self._send()  # again what may not have arrived
            self._gather()
            if self._said:
                self._skipped, self._dropped = self._dropped, 0
                self._number += bool(self._skipped)
                self._sending = [self._encoded(kind, data) for kind, data in self._said]
                self._said.clear()
                self._bytes = 0
                current = await self._send()
            return current

    async def _send(self) -> bool:
        one, number = self._of, self._number
        current = await self._store.events.emit(
            one.function, one.id, one.token, self._sending, first=number, skipped=self._skipped
        )
        self._number += len(self._sending)
        self._sending, self._skipped = [], 0
        return current

    def _encoded(self, kind: Kind, data: str | bytes) -> tuple[Kind, str]:
        if isinstance(data, str):
            return kind, data
        if self._decode is not None:
            return kind, json.dumps({"text": self._decode(data)})
        return kind, json.dumps({"base64": base64.b64encode(data).decode()})
