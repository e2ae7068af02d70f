"""Published versions and aliases. Each change is one script, made only on what was read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from penstock import clock, keys
from penstock.errors import AliasNotFound, FunctionNotFound, InvalidRequest, VersionInUse, VersionNotFound
from penstock.function import Function, FunctionSpec
from penstock.store.connection import Connection
from penstock.versions import LATEST, Alias, Versions, named


class VersionStore:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get(self, function: str) -> Versions:
        """Last number and aliases; of a function that has none, or is not there, the empty one."""
        return _decode(await self._stored(function))

    async def all(self) -> Mapping[str, Versions]:
        """By function; those without any are left out."""
        stored: Mapping[bytes, bytes] = await self._connection.command("HGETALL", keys.VERSIONS)
        return {name.decode(): _decode(text) for name, text in stored.items()}

    async def published(self, function: str) -> list[Function]:
        """The published versions that there are, the first one first."""
        last = (await self.get(function)).last
        names = [named(function, str(number)) for number in range(1, last + 1)]
        if not names:
            return []
        stored: Sequence[bytes | None] = await self._connection.command("HMGET", keys.FUNCTIONS, *names)
        return [Function.load(text) for text in stored if text is not None]

    async def publish(self, function: str, *, description: str = "", number: int | None = None) -> Function:
        """What is deployed now, as the next version; the last one, if it is the same. `number`: under this one in
        any case, which must be greater than the last. Raises FunctionNotFound, InvalidRequest."""
        while True:
            latest, stored, versions = await self._read(function)
            last = await self._function(named(function, str(versions.last)))
            if number is None and last is not None and last.source == latest.digest:
                return last
            if latest.spec.path is not None and not latest.code:
                raise InvalidRequest(
                    f"what was in its folder is not known: deploy {function} again, then publish it"
                )
            new = _version(latest, max(versions.last + 1, number or 0), description)
            after = versions.model_copy(update={"last": int(new.version or 0), "changes": versions.changes + 1})
            if await self._write(function, stored, after, new.name, new.dump()):
                return new

    async def remove(self, function: str, version: str) -> None:
        """Raises VersionNotFound, and VersionInUse while an alias points to it."""
        name = named(function, version)
        while True:
            _, stored, versions = await self._read(function)
            if await self._function(name) is None:
                raise VersionNotFound(function, version)
            users = [alias for alias, one in versions.aliases.items() if version in one.shares]
            if users:
                raise VersionInUse(
                    f"{name} is in use by alias {', '.join(sorted(users))}: point it elsewhere first"
                )
            after = versions.model_copy(update={"changes": versions.changes + 1})
            if await self._write(function, stored, after, name, ""):
                return

    async def put_alias(self, function: str, name: str, change: Callable[[Alias | None], Alias]) -> Alias:
        """Makes an alias of what it was (None: there was none). Raises FunctionNotFound, VersionNotFound."""
        while True:
            _, stored, versions = await self._read(function)
            old, now = versions.aliases.get(name), clock.now_ms()
            new = change(old).model_copy(update={"created_at": old.created_at if old else now, "updated_at": now})
            for version in new.shares:
                if version != LATEST and await self._function(named(function, version)) is None:
                    raise VersionNotFound(function, version)
            if await self._replace(function, stored, versions, {**versions.aliases, name: new}):
                return new

    async def remove_alias(self, function: str, name: str) -> None:
        """Raises AliasNotFound."""
        while True:
            _, stored, versions = await self._read(function)
            if name not in versions.aliases:
                raise AliasNotFound(function, name)
            left = {alias: one for alias, one in versions.aliases.items() if alias != name}
            if await self._replace(function, stored, versions, left):
                return

    async def forget(self, function: str) -> list[str]:
        """The function is deleted: so are its versions and aliases. What they were called."""
        aliases = (await self.get(function)).aliases
        gone = [one.name for one in await self.published(function)]
        if gone:
            await self._connection.command("HDEL", keys.FUNCTIONS, *gone)
            await self._connection.command("HDEL", keys.UNREADY, *gone)
        if await self._connection.command("HDEL", keys.VERSIONS, function):
            await self._connection.command("INCR", keys.CHANGES)
            await self._connection.command("PUBLISH", keys.CHANGED, function)
        return gone + [named(function, alias) for alias in aliases]

    async def _read(self, function: str) -> tuple[Function, bytes, Versions]:
        latest = await self._function(function)
        if latest is None:
            raise FunctionNotFound(function)
        stored = await self._stored(function)
        return latest, stored, _decode(stored)

    async def _replace(
        self, function: str, stored: bytes, versions: Versions, aliases: Mapping[str, Alias]
    ) -> bool:
        after = versions.model_copy(update={"aliases": dict(aliases), "changes": versions.changes + 1})
        return await self._write(function, stored, after, "", "")

    async def _write(self, function: str, before: bytes, after: Versions, name: str, text: str) -> bool:
        reason = "it is not prepared yet"
        done = await self._connection.script(
            "versions", [], function, before, after.model_dump_json(), name, text, reason
        )
        return bool(done)

    async def _stored(self, function: str) -> bytes:
        return await self._connection.command("HGET", keys.VERSIONS, function) or b""

    async def _function(self, name: str) -> Function | None:
        stored: bytes | None = await self._connection.command("HGET", keys.FUNCTIONS, name)
        return Function.load(stored) if stored else None


def _decode(stored: bytes) -> Versions:
    return Versions.model_validate_json(stored, extra="ignore") if stored else Versions()


def _asked_by_clients(triggers: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those that say how clients may call it; the others call it by themselves."""
    return [one for one in triggers if one["type"] == "http"]


def _version(latest: Function, number: int, description: str) -> Function:
    """A function of its own, with a digest of its own: its code may come from another place than that of LATEST.

    What stands warm, and what calls a function by itself, belongs to a name and not to a version: ten published
    versions must not keep ten cards, nor hear a timer ten times."""
    fields = latest.spec.model_dump(exclude={"provision"})
    fields["scaling"]["min"] = 0
    fields |= {"triggers": http} if (http := _asked_by_clients(fields.pop("triggers", ()))) else {}
    spec = FunctionSpec.model_validate(fields)
    name = named(latest.name, str(number))
    return latest.model_copy(
        update={
            "name": name,
            "spec": spec,
            "source": latest.digest,
            "digest": hashlib.sha256(f"{name} {latest.digest}".encode()).hexdigest(),
            "description": description,
            "created_at": clock.now_ms(),
        }
    )
