"""What instances write, in lines: the latest are kept, and whoever follows gets each as it comes."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable

_KEPT = 64 * 1024
"""Bytes of one instance."""
_LONGEST_LINE = 8 * 1024
_INSTANCES = 256
"""How many are remembered; those that wrote longest ago are forgotten first."""
_BEHIND = 1_000
"""Lines that a follower may be behind."""


class Logs:
    def __init__(self, on_line: Callable[[str, str, float], None]) -> None:
        """`on_line(instance, line, unix seconds)` hears each."""
        self._on_line = on_line
        self._lines: dict[str, _Lines] = {}
        self._followers: dict[str, set[asyncio.Queue[str]]] = {}

    def knows(self, instance: str) -> bool:
        """True for one that is there, or was lately."""
        return instance in self._lines

    def hear(self, instance: str, data: bytes, at: float) -> None:
        """An instance wrote something at this Unix time, or nothing yet."""
        lines = self._lines.pop(instance, None) or _Lines()
        self._lines[instance] = lines  # the latest stands last
        while len(self._lines) > _INSTANCES:
            del self._lines[next(iter(self._lines))]
        for line in lines.add(data):
            self._on_line(instance, line, at)
            for follower in self._followers.get(instance, ()):
                with contextlib.suppress(asyncio.QueueFull):
                    follower.put_nowait(line)

    def latest(self, instance: str, count: int) -> list[str]:
        """The last lines of an instance, oldest first."""
        lines = self._lines.get(instance)
        return list(lines.whole)[-count:] if lines and count else []

    async def follow(self, instance: str, count: int) -> AsyncGenerator[str, None]:
        """The last `count` lines, then each as it is written."""
        queue: asyncio.Queue[str] = asyncio.Queue(_BEHIND)
        followers = self._followers.setdefault(instance, set())
        followers.add(queue)
        try:
            for line in self.latest(instance, count):
                yield line
            while True:
                yield await queue.get()
        finally:
            followers.discard(queue)
            if not followers:
                self._followers.pop(instance, None)


class _Lines:
    """Of one instance."""

    def __init__(self) -> None:
        self.whole: deque[str] = deque()
        self._size = 0
        self._rest = b""

    def add(self, data: bytes) -> list[str]:
        """The lines that it completes; one that is too long is cut into several."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) >= _LONGEST_LINE:
            whole.append(self._rest)
            self._rest = b""
        lines = [
            line[start : start + _LONGEST_LINE].decode(errors="replace").rstrip("\r")
            for line in whole
            for start in range(0, len(line) or 1, _LONGEST_LINE)
        ]
        for line in lines:
            self.whole.append(line)
            self._size += len(line)
            while self._size > _KEPT:
                self._size -= len(self.whole.popleft())
        return lines
