"""The version of what Redis holds: read, written down, and brought up to date under a lock."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from importlib.metadata import version

from penstock import keys
from penstock.errors import ConfigurationError, StoreUnavailable
from penstock.schema import SCHEMA, UNVERSIONED, Verdict, Version, verdict
from penstock.store.connection import Connection
from penstock.store.migrations import STEPS, Step

log = logging.getLogger(__name__)

NOTICE = 5.0
"""Seconds between two looks of a running process at the version (penstock/startup.py)."""
_LOCK_MS = 30_000


class Schema:
    def __init__(
        self,
        connection: Connection,
        *,
        mine: int = SCHEMA,
        steps: Sequence[Step] = STEPS,
        notice: float = NOTICE,
        lock_ms: int = _LOCK_MS,
    ) -> None:
        """All but the connection is for tests."""
        self._connection = connection
        self._mine = mine
        self._steps = steps
        self._notice = notice
        self._lock_ms = lock_ms

    async def get(self) -> Version | None:
        """None: the data has none, or there is no data."""
        schema, compatible, by = await self._connection.command(
            "HMGET", keys.VERSION, "schema", "compatible_from", "written_by"
        )
        if schema is None:
            return None
        return Version(schema=int(schema), compatible_from=int(compatible), written_by=(by or b"").decode())

    async def settle(self) -> bool:
        """Sees to it that this process and the data fit together; False: not yet, since another process migrates.
        Raises ConfigurationError if they cannot."""
        found = await self.get()
        empty = found is None and not await self._connection.command("EXISTS", keys.FUNCTIONS, keys.DEPLOYMENT)
        what = verdict(found, mine=self._mine, empty=empty)
        if what is Verdict.REFUSE:
            raise ConfigurationError(_refusal(found or UNVERSIONED, self._mine, await _release()))
        if what is Verdict.STAMP:
            await self._stamp()
        return what is not Verdict.MIGRATE or await self._migrate()

    async def _stamp(self) -> None:
        oldest = self._steps[-1].compatible_from if self._steps else 1
        fields = ("schema", self._mine, "compatible_from", oldest, "written_by", await _release())
        try:
            # Should an older process write now, too, the newer one finds less than its own, and migrates.
            await self._connection.command("HSET", keys.VERSION, *map(str, fields))
        except StoreUnavailable as error:
            log.info("the version of the data is written down later: %s", error)  # a full Redis takes no new key

    async def _migrate(self) -> bool:
        nonce = secrets.token_hex(8)
        if not await self._connection.command("SET", keys.MIGRATING, nonce, "NX", "PX", self._lock_ms):
            return False
        found = await self.get() or UNVERSIONED
        for step in self._steps:
            if found.schema < step.schema <= self._mine:
                log.warning("migrating the data to schema %d: %s", step.schema, step.what)
                if not await self._take(step, found, nonce):
                    return False
                found = Version(schema=step.schema, compatible_from=step.compatible_from)
        await self._hold(nonce, lock_ms=0)
        return True

    async def _take(self, step: Step, found: Version, nonce: str) -> bool:
        """False if another process has taken over."""
        if step.compatible_from > found.compatible_from:
            await self._hold(nonce, Version(schema=found.schema, compatible_from=step.compatible_from))
            await asyncio.sleep(2 * self._notice)
        async for _ in step.apply(self._connection):
            if not await self._hold(nonce):
                return False
        return await self._hold(nonce, Version(schema=step.schema, compatible_from=step.compatible_from))

    async def _hold(self, nonce: str, now: Version | None = None, *, lock_ms: int | None = None) -> bool:
        news = (str(now.schema), str(now.compatible_from), await _release()) if now else ("", "", "")
        held = self._lock_ms if lock_ms is None else lock_ms
        return bool(await self._connection.script("migrate", [], nonce, held, *news))


async def _release() -> str:
    """Of this code; it is read from a file."""
    return await asyncio.to_thread(version, "penstock")


def _refusal(found: Version, mine: int, release: str) -> str:
    by = f", written by Penstock {found.written_by}" if found.written_by else ""
    return (
        f"Redis holds data of schema {found.schema}{by}, on which processes of schema {found.compatible_from} and "
        f"newer can work; this is Penstock {release} of schema {mine}: upgrade it or use another Redis"
    )
