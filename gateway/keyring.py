"""All API keys as this gateway knows them: a copy, renewed when the store says that it is old.

To know a caller takes one SHA-256 and a look into a dictionary; nothing is asked of the store. A key that is
revoked is refused by every gateway within a second.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping

from gateway.access import ANYBODY, NOBODY, Caller, holder
from penstock import apikey, clock
from penstock.apikey import ALL, PREFIX, ApiKey
from penstock.errors import Unauthorized
from penstock.store import Store

_PERIOD = 0.4
"""Seconds between two looks whether anything has changed."""
_USES = 10.0
"""Seconds between two writes of when keys were last used."""
_ADMIN = Caller(key_id="admin", scopes=ALL)


class Keyring:
    def __init__(self, store: Store, *, admin_key: str, closed: bool) -> None:
        """`admin_key`: of the settings; empty: there is none. `closed`: nobody is served without a key even if
        there are none."""
        self._store = store
        self._admin = apikey.digest(admin_key) if admin_key else None
        self._closed = closed or bool(admin_key)
        self._keys: Mapping[str, ApiKey] = {}
        """By the SHA-256 of each."""
        self._changes: int | None = None
        """None: nothing was read yet."""
        self._used: dict[str, int] = {}
        self.owners: Mapping[str, str] = {}
        """Names of functions that were deleted -> the tenant whose they stay."""

    def is_ours(self, text: str) -> bool:
        """Whether a text is meant as a key of ours, known or not."""
        return text.startswith(PREFIX) or self._is_admin(text)

    async def caller(self, key: str | None) -> Caller:
        """Whose key it is; None: there is none. Raises Unauthorized, and StoreUnavailable if the keys could not be
        read yet."""
        if self._changes is None:
            await self.renew()
        if not self._keys and not self._closed:
            return ANYBODY
        return NOBODY if key is None else self._holder(key)

    async def watch(self) -> None:
        """Loop: renews the copy when anything has changed."""
        while True:
            if await self._store.access.changes() != self._changes:
                await self.renew()
            await asyncio.sleep(_PERIOD)

    async def renew(self) -> None:
        """Reads all keys anew."""
        found = await self._store.access.keyring()
        self._keys = {key.digest: key for key in found.keys}
        self.owners = found.owners
        self._changes = found.changes

    async def keep_uses(self) -> None:
        """Loop: writes down when keys were last used."""
        while True:
            await asyncio.sleep(_USES)
            await self.write_uses()

    async def write_uses(self) -> None:
        used, self._used = self._used, {}
        await self._store.access.used(used)

    def _holder(self, text: str) -> Caller:
        if self._is_admin(text):
            return _ADMIN
        # Looked up by its digest, of which the time that it takes tells nothing that leads back to a key.
        key = self._keys.get(apikey.digest(text))
        if key is None:
            wrong = "is not known" if apikey.well_formed(text) else "is mistyped or cut: its checksum is wrong"
            raise Unauthorized(f"this API key {wrong}")
        now = clock.now_ms()
        if (ended := key.ended(now)) is not None:
            raise Unauthorized(f"API key {key.id} is {ended}; `penstock keys create` makes another one")
        self._used[key.id] = now
        return holder(key)

    def _is_admin(self, text: str) -> bool:
        return self._admin is not None and hmac.compare_digest(self._admin, apikey.digest(text))
