"""Stores what one run says while it goes on: progress, output, lines of its log.

The first at once, what follows together, at most every 50 ms. Under the fencing token of the run: what a stale one
says is dropped.
"""

from __future__ import annotations

import asyncio
import base64
import codecs
import json
import logging
from collections.abc import Callable, Sequence

from penstock.errors import StoreUnavailable
from penstock.events import Kind
from penstock.invocation import Invocation
from penstock.store import Store
from penstock.store.events import CAP

log = logging.getLogger(__name__)

_PERIOD = 0.05
_TEXT = ("text/", "application/json", "application/x-ndjson", "application/xml", "application/javascript")


class Narrator:
    def __init__(self, store: Store, invocation: Invocation) -> None:
        self._store = store
        self._of = invocation
        self._said: list[tuple[Kind, str]] = []
        self._bytes = 0
        self._output: list[bytes] = []
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
        self._tell_soon()

    def line(self, text: str) -> None:
        """A line of its log."""
        self._add("log", json.dumps({"line": text}))
        self._tell_soon()

    async def report(self, progress: Sequence[str]) -> bool:
        """Progress, each as JSON; False if the run is over. Raises StoreUnavailable."""
        self._gather()
        for one in progress:
            self._add("progress", one)
        return await self._tell()

    async def flush(self) -> None:
        """Returns when all that was said is stored, or cannot be."""
        while self._said or self._output or self._in_order.locked():
            await self._try_to_tell()

    def _add(self, kind: Kind, data: str) -> None:
        self._said.append((kind, data))
        self._bytes += len(data)
        while self._bytes > CAP and len(self._said) > 1:  # the store would drop it, too
            self._bytes -= len(self._said.pop(0)[1])

    def _gather(self) -> None:
        """Pieces of output that came since become one."""
        if self._output:
            pieces, self._output = b"".join(self._output), []
            if self._decode is not None:
                self._add("output", json.dumps({"text": self._decode(pieces)}))
            else:
                self._add("output", json.dumps({"base64": base64.b64encode(pieces).decode()}))

    def _tell_soon(self) -> None:
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._keep_telling(), name=f"what {self._of.id} says")

    async def _keep_telling(self) -> None:
        while self._said or self._output:
            await self._try_to_tell()
            await asyncio.sleep(_PERIOD)

    async def _try_to_tell(self) -> None:
        try:
            await self._tell()
        except StoreUnavailable as error:
            log.warning("%s/%s: what it said is not kept: %s", self._of.function, self._of.id, error)

    async def _tell(self) -> bool:
        async with self._in_order:
            self._gather()
            said, self._said, self._bytes = self._said, [], 0
            if not said:
                return True
            return await self._store.events.emit(self._of.function, self._of.id, self._of.token, said)
