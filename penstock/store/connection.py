"""The connection to Redis: one turn of the event loop is one write; all that fails there is one error.

Nothing is sent twice here: a lost reply is the caller's to handle, and each script says how it bears being called
again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import hiredis
from redis.asyncio import Redis
from redis.exceptions import RedisError

from penstock import clock
from penstock.errors import StoreUnavailable
from penstock.store import scripts
from penstock.store.link import Link, LinkLost, ReplyError, dial

_UNAVAILABLE = (
    "MISCONF",
    "OOM",
    "READONLY",
    "LOADING",
    "BUSY",
    "MASTERDOWN",
    "NOREPLICAS",
    "CLUSTERDOWN",
    "NOAUTH",
    "WRONGPASS",
    "NOPERM",
    "max number of clients",
)
"""What a reply holds that means: Redis is there and cannot serve now."""

REDIS_ERRORS = (RedisError, OSError, RuntimeError)
"""What redis-py, which arq uses, raises when Redis goes away; the last comes from uvloop, for a transport closed
under a write."""

_SUBSCRIPTION_CHECK = 10.0
"""Seconds of silence after which a subscription is asked whether it still lives."""


class Connection:
    """All that the product sends to Redis goes through here."""

    def __init__(self, url: str, *, clock_offset: int = 0, timeout: float = 5.0) -> None:
        """`clock_offset` (ms) advances the scripts' clock; it exists for tests alone. `timeout`: seconds that
        Redis may be silent while it owes a reply."""
        self.clock_offset = clock_offset
        self._url = url
        self._timeout = timeout
        self._link: Link | None = None
        self.on_trip: Callable[[float, int, bool], None] | None = None
        """Hears of each round trip: seconds, how many commands it carried, whether Redis answered."""
        self._dialling: asyncio.Task[None] | None = None
        self._scripts: Mapping[str, scripts.Script] = scripts.load()
        # How redis-py reads the reply to a plain command: that to HGETALL makes a dict, and so on.
        self._readers: Mapping[Any, Any] = Redis().response_callbacks
        self._commands: list[bytes] = []
        self._replies: list[asyncio.Future[Any]] = []

    async def command(self, *args: Any) -> Any:
        """One plain command. Raises StoreUnavailable."""
        reply = await self._result(self._enqueue(args))
        read = self._readers.get(args[0])
        return reply if read is None else read(reply)

    async def script(self, name: str, keys: Sequence[str], *args: Any) -> Any:
        """One script of penstock/lua by its name. Raises StoreUnavailable."""
        script = self._scripts[name]
        try:
            return await self._result(self._enqueue(("EVALSHA", script.sha, len(keys), *keys, *args)))
        except ReplyError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
            # Redis was restarted or its scripts were flushed: the whole text once, then the name again.
            return await self._result(self._enqueue(("EVAL", script.source, len(keys), *keys, *args)))

    async def messages(self, *channels: str) -> AsyncIterator[tuple[str, bytes]]:
        """What is published on these channels from now on: (channel, data). Yields ("", b"") once subscribed,
        so that the caller can look for what it missed. Raises StoreUnavailable when the connection breaks."""
        inbox: deque[tuple[bytes, bytes]] = deque()
        arrived = asyncio.Event()

        def put(channel: bytes, data: bytes) -> None:
            inbox.append((channel, data))
            arrived.set()

        try:
            link = await dial(self._url, timeout=self._timeout, pushed=put, ended=arrived.set)
            try:
                await asyncio.gather(*(link.ask("SUBSCRIBE", channel) for channel in channels))
                link.keep_alive(_SUBSCRIPTION_CHECK)
                yield "", b""
                while link.lost is None:
                    await arrived.wait()
                    arrived.clear()
                    while inbox:
                        channel, data = inbox.popleft()
                        yield channel.decode(), data
                raise link.lost
            finally:
                link.close()
        except (OSError, LinkLost, ReplyError) as error:
            raise _unavailable(error) from error

    async def close(self) -> None:
        """Closes the connection; what was issued before has been answered."""
        if self._commands:
            self._flush()
        if self._dialling is not None:
            await asyncio.wait([self._dialling])
        if self._link is not None:
            await self._link.settled()
            self._link.close()
        await asyncio.sleep(0)  # whoever waited for a reply has its turn

    def _enqueue(self, args: Sequence[Any]) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        # Packed here, so that what cannot be sent fails for its caller alone and not for the whole turn.
        packed = hiredis.pack_command(tuple(args))
        future: asyncio.Future[Any] = loop.create_future()
        if not self._commands and self._dialling is None:
            loop.call_soon(self._flush)
        self._commands.append(packed)
        self._replies.append(future)
        return future

    def _flush(self) -> None:
        if self._dialling is not None or not self._commands:
            return  # sent by then
        if self._link is None or self._link.lost is not None or self._link.stalled:
            self._dialling = asyncio.get_running_loop().create_task(self._dial())
            return
        commands, self._commands = self._commands, []
        replies, self._replies = self._replies, []
        if self.on_trip is not None:
            replies[-1].add_done_callback(partial(self._answered, clock.monotonic(), len(replies)))
        self._link.send(b"".join(commands), replies)

    def _answered(self, began: float, commands: int, last: asyncio.Future[Any]) -> None:
        """One round trip is over."""
        if self.on_trip is not None and not last.cancelled():
            self.on_trip(clock.monotonic() - began, commands, not isinstance(last.result(), LinkLost))

    async def _dial(self) -> None:
        """What was issued meanwhile is sent, or fails with the reason."""
        try:
            former, self._link = self._link, await dial(self._url, timeout=self._timeout)
            if former is not None:
                former.retire()
        except BaseException as error:
            replies, self._commands, self._replies = self._replies, [], []
            if self.on_trip is not None:
                self.on_trip(0.0, len(replies), False)
            for future in replies:
                if not future.done():
                    future.set_result(error if isinstance(error, Exception) else LinkLost("given up"))
            if not isinstance(error, Exception):
                raise
        finally:
            self._dialling = None
        self._flush()

    @staticmethod
    async def _result(future: asyncio.Future[Any]) -> Any:
        reply = await future
        if not isinstance(reply, Exception):
            return reply
        # An error raised by a command inside a script carries the original code somewhere in its text.
        if isinstance(reply, ReplyError) and not any(code in str(reply) for code in _UNAVAILABLE):
            raise reply
        raise _unavailable(reply) from reply


def _unavailable(error: Exception) -> StoreUnavailable:
    return StoreUnavailable(f"Redis: {str(error) or type(error).__name__}")
