"""Host names of users' own whose paths lead to functions. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from penstock.versions import is_alias, is_number, qualifier

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*")
_ESCAPE = re.compile("%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile("[A-Za-z0-9._~-]")
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rewrite(_Part):
    match: Annotated[str, Field(pattern=r"^/[^*]*\*?$")]
    """A path, or the beginning of one before a `*`."""
    replacement: Annotated[str, Field(pattern=r"^/")]
    """`$1` in it stands for what `*` was."""


class Route(_Part):
    path: Annotated[str, Field(pattern=r"^/[^*]*\*?$")] = "/*"
    """A path, or the beginning of one before a `*`."""
    function: Annotated[str, Field(min_length=1)]
    """As a client names it; `chat@prod` is `chat` with the qualifier prod."""
    qualifier: str | None = None
    """A version's number or an alias; None: the latest."""
    methods: tuple[Method, ...] = ()
    """Those that are let through; empty: all."""
    rewrite: tuple[Rewrite, ...] = ()
    """The first that matches says under which path the function's server is asked; none: as it came."""

    @field_validator("qualifier")
    @classmethod
    def _is_a_qualifier(cls, value: str | None) -> str | None:
        asked = qualifier(value)
        if asked is not None and not (is_number(asked) or is_alias(asked)):
            raise ValueError("not the number of a version, an alias, or LATEST")
        return asked

    @model_validator(mode="after")
    def _one_qualifier(self) -> Route:
        if "@" in self.function and self.qualifier is not None:
            raise ValueError(f"function {self.function} has a qualifier already: give one of them")
        return self

    def rewritten(self, path: str) -> str:
        for rule in self.rewrite:
            rest = _after(rule.match, path)
            if rest is not None:
                return rule.replacement.replace("$1", rest)
        return path


class Domain(_Part):
    routes: Annotated[tuple[Route, ...], Field(min_length=1, max_length=100)]

    @model_validator(mode="before")
    @classmethod
    def _one_function(cls, value: object) -> object:
        """`api.example.com: chat@prod`, which has all of it."""
        return {"routes": [{"function": value}]} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _routes_differ(self) -> Domain:
        seen: set[tuple[str, str]] = set()
        for route in self.routes:
            for method in route.methods or ("",):
                if (route.path, method) in seen or ((route.path, "") in seen and method):
                    raise ValueError(f"two routes are for {method + ' ' if method else ''}{route.path}")
                seen.add((route.path, method))
        return self

    @property
    def functions(self) -> frozenset[str]:
        """Names of those that it leads to, without their qualifiers."""
        return frozenset(route.function.partition("@")[0] for route in self.routes)

    def route(self, method: str, path: str) -> Route | frozenset[str] | None:
        """Where a request goes: by the longest path that matches, a whole one before the beginning of one. The
        methods of those routes if this is none of them; None: no path matches."""
        path = normal(path)
        matching = [route for route in self.routes if _after(route.path, path) is not None]
        if not matching:
            return None
        longest = max(map(_rank, matching))
        best = [route for route in matching if _rank(route) == longest]
        fitting = next((route for route in best if not route.methods or method in route.methods), None)
        return fitting or frozenset(name for route in best for name in route.methods)


def normal(path: str) -> str:
    """A path as routes spell it: what needs no escape has none, and an escaped slash stays one."""

    def plain(escape: re.Match[str]) -> str:
        character = chr(int(escape[1], 16))
        return character if _UNRESERVED.fullmatch(character) else escape[0].upper()

    return _ESCAPE.sub(plain, path)


def host(text: str) -> str:
    """A `Host` without its port, in small letters and without the dot of its root."""
    name, colon, port = text.lower().rpartition(":")
    return (name if colon and port.isdigit() else text.lower()).removesuffix(".")


def check_name(text: str) -> str:
    """A domain's name as it is kept. Raises ValueError."""
    name = text.lower().removesuffix(".")
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{text!r} is no host name such as api.example.com (an international one in its xn-- form)"
        )
    if name == "localhost" or _is_address(name):
        raise ValueError(f"{text!r} is where Penstock itself is reached: take another name")
    return name


def merged(domains: Mapping[str, Domain], name: str, routes: tuple[Route, ...]) -> Domain:
    """A domain of a file with further routes. Raises ValueError."""
    before = domains[name].routes if name in domains else ()
    return Domain.model_validate({"routes": [route.model_dump() for route in (*before, *routes)]})


def _after(pattern: str, path: str) -> str | None:
    """What of a path `*` stands for; None: it does not match."""
    if pattern.endswith("*"):
        return path[len(pattern) - 1 :] if path.startswith(pattern[:-1]) else None
    return "" if path == pattern else None


def _rank(route: Route) -> tuple[int, bool]:
    return len(route.path.removesuffix("*")), not route.path.endswith("*")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
