"""Which of our functions a client means: by our own name or another vendor's, with a version or an alias.

`chat@3` and `chat@prod` are versions and aliases in our own paths; other vendors say the qualifier beside the
name. An alias stands for one of its versions: `choose` draws one for a call, `find` takes the main one for a look.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from aiohttp import web

from gateway import admission
from gateway.auth import CALLER, permit
from gateway.context import GATEWAY, Gateway, function_name
from penstock import versions
from penstock.errors import AliasNotFound, FunctionNotFound, InvalidRequest, VersionNotFound
from penstock.function import NAME, Function
from penstock.invocation import Request
from penstock.vendors.fc import QUALIFIER_HEADER
from penstock.versions import Alias, named


@dataclass(frozen=True, kw_only=True)
class Chosen:
    function: Function
    """Or a version of one."""
    alias: str | None
    """By which it was called; None: by its own name."""

    def marked(self, call: Request) -> Request:
        """A call to it whose container is told by which alias it was called, as Function Compute does."""
        if self.alias is None:
            return call
        return replace(call, headers=(*call.headers, (QUALIFIER_HEADER, self.alias)))


async def asked(request: web.Request) -> Function:
    """The function, or the version, of a request's path. Raises FunctionNotFound, VersionNotFound,
    AliasNotFound."""
    return await find(request, function_name(request))


async def find(
    request: web.Request, name: str, qualifier: str | None = None, *, service: str | None = None
) -> Function:
    """Of an alias its main version. In a vendor's name a service may stand before a `$`, too. Raises
    FunctionNotFound, VersionNotFound, AliasNotFound."""
    function, wanted = await _parse(request, name, qualifier, service)
    alias = await _alias(request.app[GATEWAY], function, wanted)
    return await _get(request.app[GATEWAY], function, alias.version if alias is not None else wanted)


async def choose(
    request: web.Request,
    name: str,
    qualifier: str | None = None,
    *,
    service: str | None = None,
    key: str | None = None,
) -> Chosen:
    """For one call. Of an alias the version that its weights draw; under the same `key`, an idempotency key, the
    same one, also after the alias was pointed elsewhere. Raises FunctionNotFound, VersionNotFound,
    AliasNotFound."""
    gateway = request.app[GATEWAY]
    function, wanted = await _parse(request, name, qualifier, service)
    if wanted is None:  # as most calls are
        return Chosen(function=await gateway.directory.get(function), alias=None)
    alias = await _alias(gateway, function, wanted)
    if alias is None:
        return Chosen(function=await _get(gateway, function, wanted), alias=None)
    version = alias.choose(random.random() if key is None else versions.point(key))
    if key is not None:
        version = await _begun(gateway, function, key, request[CALLER].owner) or version
    return Chosen(function=await _get(gateway, function, version), alias=wanted)


@dataclass(frozen=True, kw_only=True)
class Holder:
    """What a provision config belongs to."""

    name: str
    """Of a function, a version or an alias: `chat`, `chat@3`, `chat@prod`."""
    functions: tuple[Function, ...]
    """Whose instances it keeps: of an alias those of all its versions, the main one first."""


async def holder(
    request: web.Request, name: str, qualifier: str | None = None, *, service: str | None = None
) -> Holder:
    """Raises FunctionNotFound, VersionNotFound, AliasNotFound."""
    return await holding(request.app[GATEWAY], *await _parse(request, name, qualifier, service))


async def holding(gateway: Gateway, function: str, qualifier: str | None) -> Holder:
    """By our own name of a function. Raises FunctionNotFound, VersionNotFound, AliasNotFound."""
    alias = await _alias(gateway, function, qualifier)
    if alias is None:
        one = await _get(gateway, function, qualifier)
        return Holder(name=one.name, functions=(one,))
    several = [await _get(gateway, function, version) for version in alias.shares]
    return Holder(name=named(function, qualifier), functions=tuple(several))


async def family(gateway: Gateway, function: str) -> list[str]:
    """A function and all versions that were ever published of it, the latest first."""
    last = (await gateway.directory.versions(function)).last
    return [*(named(function, str(number)) for number in range(last, 0, -1)), function]


async def owner(request: web.Request, name: str, owns: Callable[[str], bool]) -> str:
    """The function, or the version, that something of `name` belongs to; it may have been deleted since. `owns`:
    tells by a name. Of what was called by an alias it may be any version: the alias may have moved on. Raises
    FunctionNotFound."""
    function, wanted = await _parse(request, name, None, None)
    if not NAME.fullmatch(function):
        raise FunctionNotFound(name)
    if wanted is None or versions.is_number(wanted):
        return named(function, wanted)
    return next(filter(owns, await family(request.app[GATEWAY], function)), function)


async def _parse(
    request: web.Request, name: str, qualifier: str | None, service: str | None
) -> tuple[str, str | None]:
    """Our own name of a function with which the caller may do what the route does, and its qualifier; None: the
    latest. Raises Unauthorized, Forbidden and FunctionNotFound."""
    inside, beside = None, None
    if qualifier is not None or "@" in name:
        name, inside, beside = _qualified(name, qualifier)
    function = await request.app[GATEWAY].directory.base(name, service)
    await permit(request, function)
    return function, inside or beside


def _qualified(name: str, qualifier: str | None) -> tuple[str, str | None, str | None]:
    """Name, the qualifier in it and the one beside it. Raises InvalidRequest if they differ."""
    name, inside = versions.split(name)
    beside = versions.qualifier(qualifier)
    if inside is not None and beside is not None and inside != beside:
        raise InvalidRequest(f"{name}@{inside} names another version than the qualifier {beside!r}")
    return name, inside, beside


async def _alias(gateway: Gateway, function: str, wanted: str | None) -> Alias | None:
    """None: what is wanted is no alias."""
    if wanted is None or versions.is_number(wanted):
        return None
    found = (await gateway.directory.versions(function)).aliases.get(wanted)
    if found is None:
        await gateway.directory.get(function)
        raise AliasNotFound(function, wanted)
    return found


async def _get(gateway: Gateway, function: str, version: str | None) -> Function:
    try:
        return await gateway.directory.get(named(function, version))
    except FunctionNotFound:
        if version is not None:
            await gateway.directory.get(function)
            raise VersionNotFound(function, version) from None
        raise


async def _begun(gateway: Gateway, function: str, key: str, owner: str) -> str | None:
    """The version on which a call under this key was submitted already."""
    several, digest = await family(gateway, function), admission.key_digest(key, owner)
    known = await asyncio.gather(*(gateway.store.invocations.under_key(one, digest) for one in several))
    first = next((name for name, one in zip(several, known, strict=True) if one is not None), None)
    return None if first is None else versions.split(first)[1] or versions.LATEST
