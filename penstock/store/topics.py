"""Topics: streams of messages, one consumer group for each trigger of each function.

A message is kept until every group has made its job, and for a minute at least: a trigger that was just deployed
begins with the messages after its deployment. Every method raises StoreUnavailable when Redis cannot be
reached or cannot serve.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from penstock import keys
from penstock.errors import QueueFull, TopicNotFound
from penstock.store.connection import Connection

MOST = 100_000
"""Messages of a topic that wait."""
_CONSUMER = "leader"
"""One name for all leaders, so that the next one finds what the last had not finished."""
_KEPT_MS = 60_000


@dataclass(frozen=True, kw_only=True)
class Message:
    id: str
    """Redis's: milliseconds since 1970, and a number."""
    body: bytes
    tag: str | None
    content_type: str | None

    @property
    def published_ms(self) -> int:
        return int(self.id.partition("-")[0])


class Topics:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def publish(
        self, topic: str, body: bytes, *, tag: str | None = None, content_type: str | None = None
    ) -> str:
        """Durable when this returns its id. Raises TopicNotFound if no trigger ever asked for it, QueueFull."""
        key = keys.topic(topic)
        command = self._connection.command
        exists, waiting = await asyncio.gather(command("EXISTS", key), command("XLEN", key))
        if not exists:
            raise TopicNotFound(topic)
        if waiting >= MOST:
            raise QueueFull(f"{waiting} messages of topic {topic} already wait; the limit is {MOST}")
        fields: list[str | bytes] = ["body", body]
        fields += ["tag", tag] if tag is not None else []
        fields += ["content_type", content_type] if content_type else []
        stored, _ = await asyncio.gather(
            command("XADD", key, "*", *fields), command("PUBLISH", keys.WAKE, "!topics")
        )
        return str(stored.decode())

    async def join(self, topic: str, group: str, since_ms: int) -> None:
        """A group that gets the messages since then; one that is there goes on where it was."""
        if group not in await self._groups(topic):
            before = max(since_ms - 1, 0)
            await self._connection.command("XGROUP", "CREATE", keys.topic(topic), group, before, "MKSTREAM")

    async def leave(self, topic: str, group: str) -> None:
        """Nobody asks for the group's messages any more; with the last one goes the topic."""
        groups = await self._groups(topic)
        if groups.keys() == {group}:
            await self._connection.command("DEL", keys.topic(topic))
        elif group in groups:
            await self._connection.command("XGROUP", "DESTROY", keys.topic(topic), group)

    async def read(self, topic: str, group: str, *, unfinished: bool, limit: int) -> list[Message]:
        """The next messages of a group; or again those that were read and not finished, from the first on."""
        reply = await self._connection.command(
            "XREADGROUP",
            "GROUP",
            group,
            _CONSUMER,
            "COUNT",
            limit,
            "STREAMS",
            keys.topic(topic),
            "0" if unfinished else ">",
        )
        found = reply[0][1] if reply else ()
        # What somebody deleted while it was unfinished is no message any more.
        await self.finish(topic, group, [stored_id.decode() for stored_id, fields in found if not fields])
        return [_message(stored_id, fields) for stored_id, fields in found if fields]

    async def finish(self, topic: str, group: str, ids: Collection[str]) -> None:
        """They are jobs now."""
        if ids:
            await self._connection.command("XACK", keys.topic(topic), group, *ids)

    async def trim(self, topic: str) -> None:
        """Drops what every group has finished, a minute after it was published."""
        seconds, microseconds = await self._connection.command("TIME")
        least = (int(seconds) * 1000 + int(microseconds) // 1000 - _KEPT_MS, 0)
        for group, delivered in (await self._groups(topic)).items():
            pending = await self._connection.command("XPENDING", keys.topic(topic), group)
            least = min(least, _parts(pending["min"]) if pending["pending"] else delivered)
        await self._connection.command("XTRIM", keys.topic(topic), "MINID", "~", f"{least[0]}-{least[1]}")

    async def _groups(self, topic: str) -> dict[str, tuple[int, int]]:
        """Each group, and the last message that it got."""
        if not await self._connection.command("EXISTS", keys.topic(topic)):
            return {}
        groups = await self._connection.command("XINFO", "GROUPS", keys.topic(topic))
        told = [dict(zip(one[::2], one[1::2], strict=True)) for one in groups]
        return {one[b"name"].decode(): _parts(one[b"last-delivered-id"]) for one in told}


def _parts(stored: bytes) -> tuple[int, int]:
    milliseconds, _, number = stored.decode().partition("-")
    return int(milliseconds), int(number or 0)


def _message(stored_id: bytes, given: Mapping[bytes, bytes]) -> Message:
    """One that somebody wrote to the stream without a field `body` is JSON of its fields."""
    body = given.get(b"body")
    if body is None:
        plain = {name.decode(errors="replace"): value.decode(errors="replace") for name, value in given.items()}
        body = json.dumps(plain).encode()
    return Message(
        id=stored_id.decode(),
        body=body,
        tag=_word(given.get(b"tag")),
        content_type=_word(given.get(b"content_type")),
    )


def _word(stored: bytes | None) -> str | None:
    return None if stored is None else stored.decode(errors="replace")
