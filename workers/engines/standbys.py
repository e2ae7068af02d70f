"""Containers that are started, and paused before their model is loaded: what is left of a cold start is the rest.

They hold memory, no processor and no card; so there are few of them, and those of a function that is not called
for long go, until it is called again.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from penstock import clock
from penstock.function import Function
from workers.contract import STATUS_PATH
from workers.engines import Endpoint, EngineError

log = logging.getLogger(__name__)

_PERIOD = 1.0
_AFTER_FAILURE = 60.0
_START = 120.0
_PROBE = 0.05


@dataclass(frozen=True)
class _Standby:
    instance: str
    digest: str
    """Of the revision that it is one of."""


class Standbys:
    def __init__(
        self,
        make: Callable[[Function, str], Awaitable[None]],
        discard: Callable[[str], Awaitable[None]],
        *,
        cap: int,
        keep: float,
    ) -> None:
        """`make(function, instance)` starts and pauses one, `discard(instance)` removes it. At most `cap` in all;
        those of a function that nothing was started of for `keep` seconds go."""
        self._make = make
        self._discard = discard
        self._cap = cap
        self._keep = keep
        self._wanted: dict[str, Function] = {}
        self._used: dict[str, float] = {}
        """Function -> when it was deployed, or an instance of it started last."""
        self._ready: dict[str, list[_Standby]] = {}
        self._not_before = 0.0
        self._changed = asyncio.Event()

    def want(self, function: Function) -> None:
        """A revision is prepared: its standbys replace those of the one before."""
        if function.spec.scaling.standby:
            self._wanted[function.name] = function
            self.used(function.name)
        else:
            self.forget(function.name)

    def used(self, name: str) -> None:
        """An instance of it is started: it is called."""
        self._used[name] = clock.monotonic()
        self._changed.set()

    def forget(self, name: str) -> None:
        """It is no longer deployed."""
        self._wanted.pop(name, None)
        self._used.pop(name, None)
        self._changed.set()

    def claim(self, function: Function) -> str | None:
        """Takes one of this revision out, by its instance; None if there is none."""
        ready = self._ready.get(function.name, [])
        found = next((one for one in ready if one.digest == function.digest), None)
        if found is None:
            return None
        ready.remove(found)
        return found.instance

    def lost(self, instance: str) -> None:
        """It has ended by itself."""
        for ready in self._ready.values():
            ready[:] = [one for one in ready if one.instance != instance]
        self._changed.set()

    def counts(self) -> Mapping[str, int]:
        """How many there are of each function."""
        return {name: len(ready) for name, ready in self._ready.items() if ready}

    async def run(self) -> None:
        """Loop: makes what is missing, one at a time, and removes what is not wanted any more."""
        while True:
            self._changed.clear()
            await self._remove_outdated()
            if not await self._make_one():
                try:
                    async with asyncio.timeout(_PERIOD):
                        await self._changed.wait()
                except TimeoutError:
                    continue

    async def close(self) -> None:
        """Removes them all."""
        self._wanted.clear()
        await self._remove_outdated()

    def _lacking(self) -> Function | None:
        now = clock.monotonic()
        if now < self._not_before or sum(self.counts().values()) >= self._cap:
            return None
        for name, function in self._wanted.items():
            there = len(self._ready.get(name, ()))
            if there < function.spec.scaling.standby and now - self._used[name] < self._keep:
                return function
        return None

    async def _make_one(self) -> bool:
        function = self._lacking()
        if function is None:
            return False
        instance = f"{function.name.replace('@', '-v')}-{secrets.token_hex(4)}"
        try:
            await self._make(function, instance)
        except EngineError as error:
            log.warning("no standby of %s: %s", function.name, error)
            self._not_before = clock.monotonic() + _AFTER_FAILURE
            return False
        self._ready.setdefault(function.name, []).append(_Standby(instance, function.digest))
        return True

    async def _remove_outdated(self) -> None:
        now = clock.monotonic()
        for name, ready in list(self._ready.items()):
            function = self._wanted.get(name)
            stays = function is not None and now - self._used[name] < self._keep
            gone = [one for one in ready if not stays or function is None or one.digest != function.digest]
            for one in gone:
                ready.remove(one)
                await self._discard(one.instance)
            if not ready:
                del self._ready[name]


async def until_it_serves(endpoint: Endpoint, *, ours: bool) -> None:
    """Returns when something listens there; `ours`: when our own runtime answers. Raises EngineError."""
    try:
        async with asyncio.timeout(_START):
            while not await _serves(endpoint, ours=ours):  # noqa: ASYNC110 - nobody tells of a port
                await asyncio.sleep(_PROBE)
    except TimeoutError:
        raise EngineError(f"it does not listen on port {endpoint.port} after {_START:g} s") from None


async def _serves(endpoint: Endpoint, *, ours: bool) -> bool:
    try:
        reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
    except OSError:
        return False
    try:
        if not ours:
            return True
        writer.write(f"GET {STATUS_PATH} HTTP/1.1\r\nHost: {endpoint.host}\r\nConnection: close\r\n\r\n".encode())
        return (await reader.readline()).startswith(b"HTTP/1.1 200")
    except OSError:
        return False
    finally:
        writer.close()
