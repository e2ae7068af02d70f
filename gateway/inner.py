"""The workers' inner listener, as this gateway reads from it: answers and logs while they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

_CHUNK = 256 * 1024
_ANSWERS = 5.0
"""Seconds within which a listener answers, if it is alive."""
_ADDRESSES = 4
"""Connections are kept to so many; each leader has an address of its own."""


class NotThere(Exception):
    """What is asked for cannot be read there, or not any more."""

    def __init__(self, message: str, *, reached: bool) -> None:
        """`reached`: somebody answered."""
        super().__init__(message)
        self.reached = reached


class BrokenOff(Exception):
    """It ended before it was whole."""


class InnerClient:
    def __init__(self) -> None:
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    @asynccontextmanager
    async def read(self, address: str, path: str) -> AsyncGenerator[AsyncIterator[bytes], None]:
        """The pieces of what lies at this path. Raises NotThere on entering, BrokenOff while it is read."""
        host = "http://inner" if address.startswith("unix:") else address
        await self._close_old()
        try:
            async with asyncio.timeout(_ANSWERS):
                reply = await self._session(address).get(host + path)
        except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is one
            raise NotThere(f"{address}: {error}", reached=False) from error
        try:
            if reply.status != 200:
                raise NotThere(f"{address} answered {reply.status}", reached=True)
            yield _pieces(reply)
        finally:
            reply.close()  # a reader who leaves early frees the run at once

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()

    async def _close_old(self) -> None:
        while len(self._sessions) > _ADDRESSES:
            await self._sessions.pop(next(iter(self._sessions))).close()

    def _session(self, address: str) -> aiohttp.ClientSession:
        session = self._sessions.pop(address, None)
        if session is None:
            connector = (
                aiohttp.UnixConnector(address.removeprefix("unix:"), limit=0)
                if address.startswith("unix:")
                else aiohttp.TCPConnector(limit=0)
            )
            session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=2.0),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                read_bufsize=_CHUNK,
                trust_env=False,
            )
        self._sessions[address] = session  # the latest stands last
        return session


async def _pieces(reply: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for piece in reply.content.iter_any():
            yield piece
    except (aiohttp.ClientError, OSError) as error:
        raise BrokenOff(str(error)) from error
