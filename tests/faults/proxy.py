"""A TCP proxy before Redis or a gateway, which can hang, cut, and lose the reply to a request it delivered."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from penstock.store import scripts

_CHUNK = 1 << 16
_Result = TypeVar("_Result")


@dataclass
class Loss:
    """Replies to swallow: of requests in which all of `needles` are found."""

    needles: tuple[re.Pattern[bytes], ...]
    left: int
    stall: bool
    """The connection stays open and silent; else it is closed."""
    seen: threading.Event = field(default_factory=threading.Event)
    """Set once the last of them was carried out by Redis and its reply swallowed."""

    def wanted(self, request: bytes) -> bool:
        return self.left > 0 and all(needle.search(request) for needle in self.needles)


class Proxy:
    """Listens on loopback, in a thread and a loop of its own, and connects to the socket of a Redis, or to a host
    and port."""

    def __init__(self, target: Path | tuple[str, int]) -> None:
        self._target = target
        self._losses: list[Loss] = []
        self._links: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._open.set()
        self._refusing = False
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._accept, "127.0.0.1", 0), self._loop
        ).result(5)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.links = 0
        """Connections that were made so far."""

    def hang(self) -> None:
        """Accepts what comes and delivers nothing, in neither direction, until `heal`."""
        self._call(self._open.clear)

    def cut(self) -> None:
        """Closes every connection, and each that is opened, until `heal`."""

        def cut() -> None:
            self._refusing = True
            for link in self._links:
                link.cancel()

        self._call(cut)

    def heal(self) -> None:
        """Passes everything again; what hung is delivered now."""

        def heal() -> None:
            self._refusing = False
            self._losses.clear()
            self._open.set()

        self._call(heal)

    def lose(self, script: str, function: str = "", *, times: int = 1, stall: bool = False) -> Loss:
        """Has Redis carry out the next `times` requests of this script (for this function) and loses the
        replies; whatever travels in the same pipeline is lost with them."""
        found = scripts.load()[script]
        self._teach(found.source.encode())
        # Others travel in the same write: the function is that of this script's own first key.
        first_key = (
            rb"\r\n\$\d+\r\n\d+\r\n\$\d+\r\nps:" + re.escape(f"{{{function}}}".encode()) if function else b""
        )
        return self._swallow(re.compile(found.sha.encode() + first_key), times=times, stall=stall)

    def swallow(self, *needles: bytes, times: int = 1, stall: bool = False) -> Loss:
        """Loses the replies to the next `times` requests that hold all of these."""
        return self._swallow(*(re.compile(re.escape(one)) for one in needles), times=times, stall=stall)

    def _swallow(self, *needles: re.Pattern[bytes], times: int, stall: bool) -> Loss:
        loss = Loss(needles, times, stall)
        self._call(lambda: self._losses.append(loss))
        return loss

    def drop(self) -> None:
        """Closes every connection that there is."""

        def drop() -> None:
            for link in self._links:
                link.cancel()

        self._call(drop)

    def close(self) -> None:
        async def close() -> None:
            self._server.close()
            for link in list(self._links):
                link.cancel()
            await asyncio.gather(*self._links, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _teach(self, source: bytes) -> None:
        """Redis knows the script: what is delivered is carried out, and not answered with NOSCRIPT."""
        assert isinstance(self._target, Path), "only Redis has scripts"
        with socket.socket(socket.AF_UNIX) as direct:
            direct.connect(str(self._target))
            direct.sendall(b"*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n$%d\r\n%b\r\n" % (len(source), source))
            assert direct.recv(100).startswith(b"$40")

    def _call(self, action: Callable[[], _Result]) -> _Result:
        async def act() -> _Result:
            return action()

        return asyncio.run_coroutine_threadsafe(act(), self._loop).result(5)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        try:
            if not self._refusing:
                await self._link(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # cut, or one of its ends is gone
        finally:
            self._links.discard(task)
            writer.transport.abort()

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.links += 1
        if isinstance(self._target, Path):
            upstream = await asyncio.open_unix_connection(str(self._target))
        else:
            upstream = await asyncio.open_connection(*self._target)
        losing: list[Loss] = []

        async def requests() -> None:
            while data := await reader.read(_CHUNK):
                await self._open.wait()
                for loss in self._losses:
                    if loss.wanted(data):
                        loss.left -= 1
                        losing.append(loss)
                upstream[1].write(data)
                await upstream[1].drain()

        async def replies() -> None:
            while data := await upstream[0].read(_CHUNK):
                await self._open.wait()
                if losing:
                    for loss in losing:
                        if loss.left == 0:
                            loss.seen.set()
                    if losing[0].stall:
                        await asyncio.Event().wait()
                    return
                writer.write(data)
                await writer.drain()

        ways = [asyncio.create_task(requests()), asyncio.create_task(replies())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*ways, return_exceptions=True)
            upstream[1].transport.abort()
