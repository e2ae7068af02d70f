"""The connection to Redis: one turn of the event loop is one pipeline; all that fails there is one error.

Every command that is issued in one turn travels in one write and one read. Nothing is sent twice here: a lost
reply is the caller's to handle, and each script says how it bears being called again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from penstock.errors import StoreUnavailable
from penstock.store import scripts

_UNAVAILABLE = ("MISCONF", "OOM", "READONLY", "LOADING", "BUSY", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN")
"""Replies that mean: Redis is there and cannot serve now."""

REDIS_ERRORS = (RedisError, OSError, RuntimeError)
"""What redis-py raises when Redis goes away; the last comes from uvloop, for a transport closed under a write."""

_SUBSCRIPTION_CHECK = 10.0
"""Seconds of silence after which a subscription is asked whether it still lives."""


class Connection:
    """All that the product sends to Redis goes through here."""

    def __init__(self, url: str, *, clock_offset: int = 0, timeout: float = 5.0) -> None:
        """`clock_offset` (ms) advances the scripts' clock; it exists for tests alone."""
        self.clock_offset = clock_offset
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=8,
            timeout=timeout,
            socket_timeout=timeout,
            socket_connect_timeout=2.0,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
        )
        self._redis = Redis(connection_pool=pool)
        self._subscriber = Redis.from_url(
            url,
            socket_connect_timeout=2.0,
            socket_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=_SUBSCRIPTION_CHECK,
        )
        self._scripts: Mapping[str, scripts.Script] = scripts.load()
        self._turn: list[tuple[tuple[Any, ...], asyncio.Future[Any]]] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def command(self, *args: Any) -> Any:
        """One plain command. Raises StoreUnavailable."""
        return await self._result(self._enqueue(args))

    async def script(self, name: str, keys: Sequence[str], *args: Any) -> Any:
        """One script of penstock/lua by its name. Raises StoreUnavailable."""
        script = self._scripts[name]
        try:
            return await self._result(self._enqueue(("EVALSHA", script.sha, len(keys), *keys, *args)))
        except NoScriptError:
            # Redis was restarted or its scripts were flushed: the whole text once, then the name again.
            return await self._result(self._enqueue(("EVAL", script.source, len(keys), *keys, *args)))

    async def messages(self, *channels: str) -> AsyncIterator[tuple[str, bytes]]:
        """What is published on these channels from now on: (channel, data). Yields ("", b"") once subscribed,
        so that the caller can look for what it missed. Raises StoreUnavailable when the connection breaks."""
        try:
            async with self._subscriber.pubsub() as subscription:
                await subscription.subscribe(*channels)
                while True:
                    message = await subscription.get_message(timeout=_SUBSCRIPTION_CHECK)
                    if message is None:
                        continue
                    if message["type"] == "subscribe":
                        yield "", b""
                    elif message["type"] == "message":
                        yield message["channel"].decode(), message["data"]
        except REDIS_ERRORS as error:
            raise StoreUnavailable(f"Redis: {error}") from error

    async def close(self) -> None:
        """Closes every connection; what was issued before has been answered."""
        if self._sending:
            await asyncio.wait(self._sending)
        await self._redis.aclose(close_connection_pool=True)
        await self._subscriber.aclose(close_connection_pool=True)

    def _enqueue(self, args: tuple[Any, ...]) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        # Encoded here, so that what cannot be sent fails for its caller alone and not for the whole turn.
        self._turn.append(((args[0], *map(_encode, args[1:])), future))
        if len(self._turn) == 1:
            loop.call_soon(self._flush)
        return future

    def _flush(self) -> None:
        turn, self._turn = self._turn, []
        task = asyncio.create_task(self._send(turn))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, turn: list[tuple[tuple[Any, ...], asyncio.Future[Any]]]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for args, _ in turn:
            pipeline.execute_command(*args)
        try:
            replies: Sequence[Any] = await pipeline.execute(raise_on_error=False)
        except asyncio.CancelledError:
            for _, future in turn:
                future.cancel()
            raise
        except Exception as error:
            # Whatever it is, nobody may wait for ever: uvloop raises RuntimeError for a transport closed under it.
            replies = [error] * len(turn)
        for (_, future), reply in zip(turn, replies, strict=True):
            if not future.done():
                future.set_result(reply)

    @staticmethod
    async def _result(future: asyncio.Future[Any]) -> Any:
        reply = await future
        if not isinstance(reply, Exception):
            return reply
        if isinstance(reply, NoScriptError) or (isinstance(reply, ResponseError) and not _unavailable(reply)):
            raise reply
        raise StoreUnavailable(f"Redis: {str(reply) or type(reply).__name__}") from reply


def _encode(value: str | bytes | int | float) -> bytes:
    """Raises UnicodeEncodeError for text that is not Unicode."""
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else repr(value).encode()


def _unavailable(error: ResponseError) -> bool:
    # Errors raised by a command inside a script carry the original code somewhere in their text.
    text = str(error)
    return type(error) is not ResponseError or any(code in text for code in _UNAVAILABLE)
