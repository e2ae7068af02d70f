"""The deployed functions, and which of them cannot be invoked yet."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping

from penstock import clock, keys
from penstock.errors import NameTaken
from penstock.function import Function, FunctionSpec
from penstock.store.connection import Connection


class Catalog:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get(self, name: str) -> Function | None:
        """One function; None if there is none of that name."""
        stored: bytes | None = await self._connection.command("HGET", keys.FUNCTIONS, name)
        return Function.load(stored) if stored else None

    async def tenant(self, name: str) -> str:
        """Whose a function is, or was; of one that never was, the operator's."""
        function = await self.get(name)
        return function.tenant if function is not None else await self._former_tenant(name) or ""

    async def list(self, *, versions: bool = False) -> list[Function]:
        """All functions, by name; with their published versions if those are asked for."""
        stored: Mapping[bytes, bytes] = await self._connection.command("HGETALL", keys.FUNCTIONS)
        return [Function.load(stored[name]) for name in sorted(stored) if versions or b"@" not in name]

    async def stored(self) -> Mapping[str, bytes]:
        """All functions and versions as JSON, by name: reading thousands of them is for whoever needs them."""
        stored: Mapping[bytes, bytes] = await self._connection.command("HGETALL", keys.FUNCTIONS)
        return {name.decode(): text for name, text in stored.items()}

    async def changes(self) -> int:
        """Grows with every deploy and delete: an equal number means that a copy is still true."""
        return int(await self._connection.command("GET", keys.CHANGES) or 0)

    async def deploy(
        self,
        name: str,
        spec: FunctionSpec,
        *,
        code: str = "",
        tenant: str | None = None,
        refresh: bool = False,
    ) -> Function:
        """Puts a function; the same spec and code again change nothing. `code` is the digest of its folder.

        `tenant`: whose it is to be; None: whose it is, or was, the operator's if it is new. Raises NameTaken for a
        name that is another tenant's. `refresh`: one with an image gets a new revision all the same, which looks
        up what its tag names now.
        """
        assert "@" not in name, "versions are published, not deployed"
        anew = refresh and spec.image is not None
        # It is in the digest that is stored, so that of the same spec another time is compared by the spec.
        nonce = secrets.token_hex(8) if anew else ""
        payload = json.dumps(spec.model_dump(mode="json"), sort_keys=True) + code + nonce
        digest = hashlib.sha256(payload.encode()).hexdigest()
        while True:
            stored: bytes | None = await self._connection.command("HGET", keys.FUNCTIONS, name)
            old = Function.load(stored) if stored else None
            owner = old.tenant if old is not None else await self._former_tenant(name)
            if tenant not in (None, owner) and owner is not None:
                raise NameTaken(name)
            same = old is not None and not anew and (old.digest == digest or old.spec == spec)
            if old is not None and same and old.code == code:
                return old
            if old is not None and old.digest == digest:  # it was deployed before the digest of code was kept
                old = old.model_copy(update={"code": code})
                if await self._write(old, stored or b"", old.dump(), ""):
                    return old
                continue
            new = Function(
                name=name,
                spec=spec,
                revision=old.revision + 1 if old else 1,
                digest=digest,
                code=code,
                created_at=clock.now_ms(),
                tenant=owner or tenant or "",
            )
            reason = f"revision {new.revision} is not prepared yet"
            if await self._write(new, stored or b"", new.dump(), reason):
                return new

    async def pin(self, function: Function, image: str) -> None:
        """Keeps what the image of a revision is by content, so that whoever leads next runs the same."""
        while True:
            stored: bytes | None = await self._connection.command("HGET", keys.FUNCTIONS, function.name)
            now = Function.load(stored) if stored else None
            if stored is None or now is None or now.digest != function.digest or now.pinned == image:
                return
            new = now.model_copy(update={"pinned": image})
            if await self._write(new, stored, new.dump(), ""):
                return

    async def delete(self, name: str) -> bool:
        """Removes a function; False if there was none."""
        while True:
            stored: bytes | None = await self._connection.command("HGET", keys.FUNCTIONS, name)
            if stored is None:
                return False
            if await self._write(Function.load(stored), stored, "", ""):
                return True

    async def unready(self) -> Mapping[str, str]:
        """Deployed functions that cannot be invoked, and why."""
        stored: Mapping[bytes, bytes] = await self._connection.command("HGETALL", keys.UNREADY)
        return {name.decode(): reason.decode() for name, reason in stored.items()}

    async def set_ready(self, name: str, problem: str | None) -> None:
        """Says whether a function can be invoked; `problem` is why not."""
        if problem is None:
            await self._connection.command("HDEL", keys.UNREADY, name)
        else:
            await self._connection.command("HSET", keys.UNREADY, name, problem)

    async def _former_tenant(self, name: str) -> str | None:
        stored: bytes | None = await self._connection.command("HGET", keys.OWNERS, name.partition("@")[0])
        return None if stored is None else stored.decode()

    async def _write(self, function: Function, old: bytes, new: str, reason: str) -> bool:
        script = self._connection.script
        return bool(await script("deploy", [], function.name, old, new, reason, function.tenant))
