"""One socket to Redis, used as Redis means it: commands go out as they come, replies come back in their order.

hiredis packs and parses; redis-py would add a connection of a pool, a retry policy and a timer to each exchange,
which cost more than all the rest of it. Nothing here is sent twice.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import hiredis
from redis.asyncio.connection import parse_url

_CONNECT = 2.0
"""Seconds that a connection may take, until Redis has let us in."""

_STALL = 1.0
"""Seconds of silence after which a link that owes replies is given nothing more."""

Pushed = Callable[[bytes, bytes], None]
"""Hears of each message that was published: its channel and its data."""


class ReplyError(Exception):
    """Redis says no. Its text begins with a code, such as NOSCRIPT."""


class LinkLost(Exception):
    """The connection is gone; whether what was sent has been carried out is not known."""


class Link(asyncio.Protocol):
    """Made by `dial`."""

    def __init__(self, timeout: float, pushed: Pushed | None, ended: Callable[[], None] | None) -> None:
        """`timeout`: seconds that Redis may be silent while it owes a reply. `ended` is called at the end."""
        self.lost: Exception | None = None
        """Why it can no longer be used."""
        self._timeout = timeout
        self._pushed = pushed
        self._ended = ended
        self._reader = hiredis.Reader(protocolError=LinkLost, replyError=ReplyError)
        self._owed: deque[asyncio.Future[Any]] = deque()
        self._heard = 0.0
        """When Redis last said anything, or was first owed a reply, by the loop's clock."""
        self._watch: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._retired = False
        self._loop = asyncio.get_running_loop()

    def send(self, commands: bytes, replies: list[asyncio.Future[Any]]) -> None:
        """Packed commands, and who gets the reply to each: an exception is one, too."""
        if self.lost is not None or self._transport is None:
            _fail(replies, self.lost or LinkLost("not connected"))
            return
        if not self._owed:
            self._heard = self._loop.time()
        self._owed.extend(replies)
        self._transport.write(commands)
        if self._watch is None:
            self._watch = self._loop.call_later(self._timeout, self._check)

    async def ask(self, *command: Any) -> Any:
        """One command. Raises what Redis answers, if that is an error."""
        reply = self._loop.create_future()
        self.send(hiredis.pack_command(command), [reply])
        answer = await reply
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def stalled(self) -> bool:
        """It has been owed a reply for a while, and silent: what comes now had better not queue behind that."""
        return bool(self._owed) and self._loop.time() - self._heard > _STALL

    def keep_alive(self, period: float) -> None:
        """From now on Redis is asked every `period` seconds whether it is still there."""

        def ping() -> None:
            if self.lost is None:
                self.send(hiredis.pack_command(("PING",)), [self._loop.create_future()])
                self._loop.call_later(period, ping)

        self._loop.call_later(period, ping)

    async def settled(self) -> None:
        """Until every reply that is owed has come, or never will."""
        if self._owed:
            await asyncio.wait(self._owed)

    def retire(self) -> None:
        """It gets nothing more, and ends with the last reply that it owes, or when that is too late."""
        self._retired = True
        if not self._owed:
            self.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # As asyncio calls them

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not False:
                self._sort(reply)
        except LinkLost as error:
            self._give_up(error)
        if self._retired and not self._owed:
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._end(LinkLost(f"{error or 'the connection was closed'}"))

    def _sort(self, reply: Any) -> None:
        if self._pushed is not None and type(reply) is list and reply[0] == b"message":
            self._pushed(reply[1], reply[2])
        elif self._owed:
            waiting = self._owed.popleft()
            if not waiting.done():
                waiting.set_result(reply)

    def _check(self) -> None:
        self._watch = None
        if not self._owed:
            return
        left = self._heard + self._timeout - self._loop.time()
        if left > 0:
            self._watch = self._loop.call_later(left, self._check)
        else:
            self._give_up(LinkLost(f"no answer within {self._timeout:g} s"))

    def _give_up(self, error: LinkLost) -> None:
        self._end(error)
        if self._transport is not None:
            self._transport.abort()

    def _end(self, error: LinkLost) -> None:
        if self.lost is None:
            self.lost = error
        if self._watch is not None:
            self._watch.cancel()
        owed, self._owed = self._owed, deque()
        _fail(owed, self.lost)
        if self._ended is not None:
            self._ended()


async def dial(
    url: str, *, timeout: float, pushed: Pushed | None = None, ended: Callable[[], None] | None = None
) -> Link:
    """A link to the Redis of a URL (redis://, rediss:// or unix://, as redis-py reads them). Raises OSError and
    TimeoutError if nothing is there, ReplyError if Redis does not let us in."""
    given = parse_url(url)
    loop = asyncio.get_running_loop()

    def make() -> Link:
        return Link(timeout, pushed, ended)

    async with asyncio.timeout(_CONNECT):
        if "path" in given:
            _, link = await loop.create_unix_connection(make, given["path"])
        else:
            kind: Any = given.get("connection_class")
            context = kind(**_without(given, "connection_class")).ssl_context.get() if kind else None
            host, port = given.get("host", "localhost"), given.get("port", 6379)
            _, link = await loop.create_connection(make, host, port, ssl=context)
        try:
            if "password" in given:
                user = (given["username"],) if "username" in given else ()
                await link.ask("AUTH", *user, given["password"])
            if given.get("db"):
                await link.ask("SELECT", given["db"])
        except BaseException:
            link.close()
            raise
    return link


def _without(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != name}


def _fail(waiting: Iterable[asyncio.Future[Any]], error: Exception | None) -> None:
    for future in waiting:
        if not future.done():
            future.set_result(error)
