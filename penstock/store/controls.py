"""What operators ask for beside specs: pauses, warm-ups, provision configs. Each survives every restart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from penstock import clock, keys
from penstock.store.connection import Connection

Kind = Literal["function", "gpu"]


@dataclass(frozen=True, kw_only=True)
class Paused:
    """Names of what is paused -> milliseconds since 1970 at which it was."""

    functions: Mapping[str, int]
    gpus: Mapping[str, int]


class Controls:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def pause(self, kind: Kind, name: str) -> None:
        """A second time changes nothing."""
        await self._connection.command("HSETNX", keys.PAUSED, f"{kind}:{name}", clock.now_ms())
        await self._changed(name)

    async def resume(self, kind: Kind, name: str) -> bool:
        """False if it was not paused."""
        resumed = await self._connection.command("HDEL", keys.PAUSED, f"{kind}:{name}")
        await self._changed(name)
        return bool(resumed)

    async def paused(self) -> Paused:
        stored: Mapping[bytes, bytes] = await self._connection.command("HGETALL", keys.PAUSED)
        found: dict[str, dict[str, int]] = {"function": {}, "gpu": {}}
        for field, since in stored.items():
            kind, _, name = field.decode().partition(":")
            found[kind][name] = int(since)
        return Paused(functions=found["function"], gpus=found["gpu"])

    async def warm_up(self, function: str, instances: int) -> None:
        """Asks for so many instances to be started; the last one to ask counts."""
        await self._connection.command("HSET", keys.WARMUPS, function, instances)
        await self._changed(function)

    async def take_warm_ups(self) -> Mapping[str, int]:
        """What was asked for since the last call."""
        stored: Mapping[bytes, bytes] = await self._connection.command("HGETALL", keys.WARMUPS)
        if stored:
            await self._connection.command("HDEL", keys.WARMUPS, *stored)
        return {name.decode(): int(count) for name, count in stored.items()}

    async def provision(self, function: str, config: str) -> None:
        """Puts a provision config, as JSON."""
        await self._connection.command("HSET", keys.PROVISION, function, config)
        await self._changed(function)

    async def unprovision(self, function: str) -> bool:
        """Removes a function's own config; False if it had none."""
        removed = await self._connection.command("HDEL", keys.PROVISION, function)
        await self._changed(function)
        return bool(removed)

    async def provisions(self) -> Mapping[str, bytes]:
        """Every config that was put, as JSON."""
        stored: Mapping[bytes, bytes] = await self._connection.command("HGETALL", keys.PROVISION)
        return {name.decode(): config for name, config in stored.items()}

    async def forget(self, function: str) -> None:
        """It was deleted: one that gets its name later begins afresh."""
        await self._connection.command("HDEL", keys.PAUSED, f"function:{function}")
        await self._connection.command("HDEL", keys.WARMUPS, function)
        await self._connection.command("HDEL", keys.PROVISION, function)
        await self._changed(function)

    async def _changed(self, name: str) -> None:
        await self._connection.command("INCR", keys.CHANGES)
        await self._connection.command("PUBLISH", keys.CHANGED, name)
