"""API keys: how one looks, what it allows, and how long. Pure.

`psk_<id>_<random>_<checksum>`: the prefix is found by scanners for secrets, the id tells keys apart where people
see them, the random part (178 bits) is the secret, and the checksum (CRC-32) tells a key that was mistyped or cut
from one that is not known. Only its SHA-256 is stored.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from collections.abc import Iterable
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from penstock.limits import Limits

PREFIX = "psk_"
_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ID, _RANDOM, _CHECK = 8, 30, 6
_BODY = f"{PREFIX}[0-9A-Za-z]{{{_ID}}}_[0-9A-Za-z]{{{_RANDOM}}}"
_KEY = re.compile(f"({_BODY})_([0-9A-Za-z]{{{_CHECK}}})", re.ASCII)
_ANYWHERE = re.compile(rf"{_BODY}_[0-9A-Za-z]{{{_CHECK}}}", re.ASCII)
_PATTERN = re.compile(r"[a-z0-9_*-]{1,63}", re.ASCII)
TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)


LONGEST = 100 * 365 * 86_400.0
"""Seconds that a key is good for at most, if it ends at all."""


class Verb(StrEnum):
    """What a scope allows to be done with a function."""

    INVOKE = "invoke"
    READ = "read"
    CANCEL = "cancel"
    DEPLOY = "deploy"
    ADMIN = "admin"


def _scope(value: object) -> object:
    verb, colon, pattern = str(value).partition(":")
    verbs = ("*", *Verb)
    if not isinstance(value, str) or verb not in verbs or not colon or not _PATTERN.fullmatch(pattern):
        raise ValueError(
            f"{value!r} is not a scope: write VERB:FUNCTION, where VERB is one of {', '.join(verbs)} and FUNCTION "
            f"a name, with * for any characters, as in invoke:chat or read:*"
        )
    return value


Scope = Annotated[str, BeforeValidator(_scope)]
CALLER: tuple[str, ...] = ("invoke:*", "read:*", "cancel:*")
"""Scopes of a key that is made without any."""
ALL: tuple[str, ...] = ("*:*",)


class ApiKey(BaseModel):
    """A key as it is stored. Times are milliseconds since 1970."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    digest: str
    """SHA-256 of the whole key, in hexadecimal."""
    name: Annotated[str, Field(min_length=1, max_length=100)]
    tenant: Annotated[str, Field(pattern=f"^({TENANT.pattern})?$")] = ""
    """Whose functions it is for; empty: the operator's."""
    scopes: tuple[Scope, ...] = CALLER
    limits: Limits = Limits()
    created_at: int
    expires_at: int | None = None
    """None: never."""
    revoked_at: int | None = None
    """None: it was not."""

    @classmethod
    def load(cls, stored: str | bytes) -> ApiKey:
        """What was dumped, perhaps by a process of the next version: what is unknown here is left aside."""
        return cls.model_validate_json(stored, extra="ignore")

    def dump(self) -> str:
        return self.model_dump_json(exclude_defaults=True)

    def ended(self, now_ms: int) -> str | None:
        """Why it is good no longer; None: it is."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now_ms else None


def allows(scopes: Iterable[str], verb: Verb, function: str) -> bool:
    """Whether one of the scopes is for this verb on this function. `*` stands for every one, also later ones."""
    for scope in scopes:
        word, _, pattern = scope.partition(":")
        if word in ("*", verb) and (pattern == "*" or fnmatchcase(function, pattern)):
            return True
    return False


def covers(scopes: Iterable[str], scope: str) -> bool:
    """Whether whoever has the scopes may give this one to another key: it allows nothing that they do not."""
    verb, _, pattern = scope.partition(":")
    held = tuple(scopes)
    return all(allows(held, word, pattern) for word in (Verb if verb == "*" else (Verb(verb),)))


def mint() -> tuple[str, str]:
    """A new key, and its id."""
    key_id = _some(_ID)
    body = f"{PREFIX}{key_id}_{_some(_RANDOM)}"
    return f"{body}_{_checksum(body)}", key_id


def make(
    name: str,
    *,
    now_ms: int,
    tenant: str = "",
    scopes: tuple[str, ...] = CALLER,
    lifetime: float | None = None,
    limits: Limits | None = None,
) -> tuple[str, ApiKey]:
    """A new key, and what is kept of it. `lifetime`: seconds that it is good for; None: until it is revoked.
    Raises ValueError for one that is too long."""
    if lifetime is not None and lifetime > LONGEST:
        raise ValueError("a key is good for 100 years (36500d) at most, or until it is revoked")
    text, key_id = mint()
    key = ApiKey(
        id=key_id,
        digest=digest(text),
        name=name,
        tenant=tenant,
        scopes=scopes,
        limits=limits or Limits(),
        created_at=now_ms,
        expires_at=None if lifetime is None else now_ms + int(lifetime * 1000),
    )
    return text, key


def well_formed(text: str) -> bool:
    """True if it is a key as `mint` makes them, known or not: a mistyped one is not."""
    match = _KEY.fullmatch(text)
    return match is not None and match[2] == _checksum(match[1])


def in_text(text: str) -> bool:
    """Whether a key stands anywhere in it."""
    return PREFIX in text and any(well_formed(found) for found in _ANYWHERE.findall(text))


def digest(text: str) -> str:
    """What is stored of a key."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _some(count: int) -> str:
    return "".join(secrets.choice(_DIGITS) for _ in range(count))


def _checksum(body: str) -> str:
    rest, digits = zlib.crc32(body.encode()), []
    for _ in range(_CHECK):
        rest, digit = divmod(rest, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
