"""API keys, as hashes, and who owns the names of functions that are gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from penstock import clock, keys
from penstock.apikey import ApiKey
from penstock.store.connection import Connection


@dataclass(frozen=True, kw_only=True)
class Keyring:
    """All keys at one moment."""

    changes: int
    """Of the store: an equal number means that these are still all."""
    keys: Sequence[ApiKey]
    owners: Mapping[str, str]
    """Names of functions that were deleted -> the tenant whose they stay."""


class Access:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def put(self, key: ApiKey) -> None:
        """Keeps a new key, or changes one."""
        await self._connection.command("HSET", keys.API_KEYS, key.id, key.dump())
        await self._connection.command("INCR", keys.ACCESS_CHANGES)

    async def get(self, key_id: str) -> ApiKey | None:
        stored: bytes | None = await self._connection.command("HGET", keys.API_KEYS, key_id)
        return ApiKey.load(stored) if stored else None

    async def list(self) -> list[ApiKey]:
        """All keys, the revoked and expired ones, too; the oldest first."""
        stored: Mapping[bytes, bytes] = await self._connection.command("HGETALL", keys.API_KEYS)
        found = [ApiKey.load(text) for text in stored.values()]
        return sorted(found, key=lambda key: (key.created_at, key.id))

    async def any(self) -> bool:
        """Whether there ever was a key: revoking the last one opens nothing."""
        return bool(await self._connection.command("EXISTS", keys.API_KEYS))

    async def revoke(self, key_id: str) -> ApiKey | None:
        """None if there is no such key; one that is revoked stays as it is."""
        key = await self.get(key_id)
        if key is not None and key.revoked_at is None:
            key = key.model_copy(update={"revoked_at": clock.now_ms()})
            await self.put(key)
        return key

    async def changes(self) -> int:
        """Grows with every change of a key, and with every function that is deleted."""
        return int(await self._connection.command("GET", keys.ACCESS_CHANGES) or 0)

    async def keyring(self) -> Keyring:
        changes = await self.changes()  # first: what changes after it is read again
        owners: Mapping[bytes, bytes] = await self._connection.command("HGETALL", keys.OWNERS)
        return Keyring(
            changes=changes,
            keys=await self.list(),
            owners={name.decode(): tenant.decode() for name, tenant in owners.items()},
        )

    async def used(self, when: Mapping[str, int]) -> None:
        """Keeps when keys were last used: id -> milliseconds since 1970."""
        fields = [part for item in when.items() for part in item]
        if fields:
            await self._connection.command("HSET", keys.API_KEY_USES, *fields)

    async def last_used(self) -> Mapping[str, int]:
        stored: Mapping[bytes, bytes] = await self._connection.command("HGETALL", keys.API_KEY_USES)
        return {key_id.decode(): int(when) for key_id, when in stored.items()}
