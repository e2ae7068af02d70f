"""What is deployed as this gateway knows it: a copy, renewed when the store says that it is old.

Functions, versions and other vendors' names are looked up when they are asked for; domains are all known, since
every request may be to one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from penstock.domains import Domain, host
from penstock.errors import FunctionNotFound, StoreUnavailable
from penstock.fc.names import original
from penstock.function import NAME, QUALIFIED, Function
from penstock.store import Store
from penstock.versions import Versions

_PERIOD = 1.0
_APART = 0.05
"""Seconds between two looks, whatever hints come."""


class Directory:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._copy: dict[str, Function] = {}
        self._versions: dict[str, Versions] = {}
        self._originals: dict[str, str] = {}
        """Other vendors' names -> ours."""
        self._domains: Mapping[str, Domain] | None = None
        """None: not known yet."""
        self._changes = -1
        self._age = 0
        """Grows whenever the copy is dropped: what was asked for before is not kept."""
        self._wake = asyncio.Event()
        self.paused: Collection[str] = ()
        """Names of functions that an operator paused."""

    async def get(self, name: str) -> Function:
        """A function or a version of one, by the name that it has here. Raises FunctionNotFound."""
        found = self._copy.get(name)
        if found is None and QUALIFIED.fullmatch(name):
            age = self._age
            found = await self._store.catalog.get(name)
            if found is not None and age == self._age:
                self._copy[name] = found
        if found is None:
            raise FunctionNotFound(name)
        return found

    async def versions(self, function: str) -> Versions:
        """Of one that has none, or is not there, the empty one."""
        found = self._versions.get(function)
        if found is None:
            age = self._age
            found = await self._store.versions.get(function)
            if age == self._age:
                self._versions[function] = found
        return found

    async def base(self, name: str, service: str | None = None) -> str:
        """What a function goes by here that a client names in our own way or in another vendor's, where it is
        within a service, or `service$name`. A qualifier is left out; whether there is such a function is not
        looked at."""
        if service is None:
            if NAME.fullmatch(name):
                return name
            name = name.partition("@")[0]
            within, dollar, inside = name.partition("$")
            service, name = (within, inside) if dollar else (None, name)
            if service is None and NAME.fullmatch(name):
                return name
        return await self._original(original(service, name)) or name

    async def _original(self, name: str) -> str | None:
        """The function that another vendor's name means; None: none."""
        found = self._originals.get(name)
        if found is None:
            age = self._age
            found = await self._store.aliases.get(name)
            if found is not None and age == self._age:
                self._originals[name] = found
        return found

    async def domain(self, host_header: str) -> Domain | None:
        """The custom domain that a `Host` names; None: it is none."""
        if self._domains is None:
            try:
                self._domains = await self._store.domains.all()
            except StoreUnavailable:
                return None  # what needs no store is served, and nothing of a function without one
        return self._domains.get(host(host_header)) if self._domains else None

    def forget(self, name: str) -> None:
        """Its spec, its versions or its aliases have changed."""
        self._age += 1
        self._originals.clear()
        self._versions.pop(name, None)
        for one in [one for one in self._copy if one.partition("@")[0] == name]:
            del self._copy[one]

    def forget_domains(self) -> None:
        """One of them has changed."""
        self._domains = None

    def look(self) -> None:
        """Something may have changed."""
        self._wake.set()

    async def watch(self) -> None:
        """Loop: drops the copy when anything was deployed, at once when told, each second in case that got
        lost."""
        while True:
            changes = await self._store.catalog.changes()
            if changes != self._changes:
                self._age += 1
                self._copy.clear()
                self._versions.clear()
                self._originals.clear()
                self._domains, paused = await asyncio.gather(
                    self._store.domains.all(), self._store.controls.paused()
                )
                self.paused = paused.functions
                self._changes = changes
            try:
                await asyncio.wait_for(self._wake.wait(), _PERIOD)
            except TimeoutError:
                continue
            self._wake.clear()
            await asyncio.sleep(_APART)
