"""What triggers have done and seen, so that a restart neither repeats nor loses anything.

Written by the leader alone, after the jobs are: whoever dies between the two makes the same jobs again, under the
same ids. Every method raises StoreUnavailable when Redis cannot be reached or cannot serve.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict

from penstock import keys
from penstock.store.connection import Connection
from penstock.store.known import known
from penstock.store.topics import Topics
from penstock.triggers import ObjectsTrigger, Past, Trigger


def group(function: str, trigger: str) -> str:
    """The consumer group of a trigger on its topic."""
    return f"{function}/{trigger}"


class Triggers:
    def __init__(self, connection: Connection, topics: Topics) -> None:
        self._connection = connection
        self._topics = topics

    async def functions(self) -> list[str]:
        """Those of whose triggers anything is kept."""
        stored: list[bytes] = await self._connection.command("SMEMBERS", keys.TRIGGERED)
        return sorted(name.decode() for name in stored)

    async def pasts(self, function: str) -> dict[str, Past]:
        """What each trigger of a function has done, by its name."""
        stored: Mapping[bytes, bytes] = await self._connection.command("HGETALL", keys.triggers(function))
        return {name.decode(): Past(**known(Past, json.loads(text))) for name, text in stored.items()}

    async def write(self, function: str, trigger: str, past: Past) -> None:
        await asyncio.gather(
            self._connection.command("SADD", keys.TRIGGERED, function),
            self._connection.command("HSET", keys.triggers(function), trigger, json.dumps(asdict(past))),
        )

    async def forget(self, function: str, names: Collection[str] | None = None) -> None:
        """What these triggers did and saw; None: all of the function's."""
        pasts = await self.pasts(function)
        if names is None or pasts.keys() <= set(names):
            await self._connection.command("SREM", keys.TRIGGERED, function)
        for name, past in pasts.items():
            if names is None or name in names:
                await self._connection.command("DEL", keys.seen(function, name, past.identity))
                if past.topic is not None:
                    await self._topics.leave(past.topic, group(function, name))
                await self._connection.command("HDEL", keys.triggers(function), name)

    async def seen(self, function: str, trigger: ObjectsTrigger) -> dict[str, str]:
        """The objects that it has seen, and how they looked."""
        stored: Mapping[bytes, bytes] = await self._connection.command("HGETALL", _seen(function, trigger))
        return {_text(key): look.decode() for key, look in stored.items()}

    async def saw(self, function: str, trigger: ObjectsTrigger, looks: Mapping[str, str]) -> None:
        """It has seen these, as they look now."""
        pairs = [part for key, look in looks.items() for part in (_bytes(key), look)]
        if pairs:
            await self._connection.command("HSET", _seen(function, trigger), *pairs)

    async def gone(self, function: str, trigger: ObjectsTrigger, objects: Collection[str]) -> None:
        """These are not there any more."""
        if objects:
            await self._connection.command("HDEL", _seen(function, trigger), *map(_bytes, objects))


def _seen(function: str, trigger: Trigger) -> str:
    return keys.seen(function, trigger.name, trigger.identity)


# A file's name may be bytes that are no UTF-8.


def _text(stored: bytes) -> str:
    return stored.decode(errors="surrogateescape")


def _bytes(key: str) -> bytes:
    return key.encode(errors="surrogateescape")
