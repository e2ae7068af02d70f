"""Published versions of a function, and the aliases that stand for them. Pure.

A version is what was deployed when it was published, under a number; it never changes. An alias is a name for one
of them, and may give others a share of its calls. What deploys change goes by LATEST, or by no qualifier at all.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

LATEST = "LATEST"
"""Qualifier of what deploys change."""
_LATEST = frozenset({"", "LATEST", "latest", "$LATEST"})
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_ALIAS = re.compile(r"(?![0-9]+$)[A-Za-z0-9_][\w-]{0,127}", re.ASCII)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Alias(_Part):
    version: str
    """The number of the version that it stands for, or LATEST."""
    weights: dict[str, Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]] = Field(default_factory=dict)
    """Number of another version -> its share of the calls; what they leave is that of `version`."""
    description: Annotated[str, Field(max_length=1024)] = ""
    created_at: int = 0
    """Milliseconds since 1970."""
    updated_at: int = 0
    """Milliseconds since 1970."""

    @field_validator("version")
    @classmethod
    def _is_a_version(cls, value: str) -> str:
        if value not in _LATEST and not is_number(value):
            raise ValueError('must be the number of a published version, such as "3", or LATEST')
        return LATEST if value in _LATEST else value

    @model_validator(mode="after")
    def _shares_fit(self) -> Alias:
        for other in self.weights:
            if not is_number(other):
                raise ValueError(f"weights: {other!r} is not the number of a version")
        if self.version in self.weights:
            raise ValueError(f"weights: {self.version} is the version itself, which gets what the others leave")
        if sum(self.weights.values()) > 1:
            raise ValueError(f"weights: they come to {sum(self.weights.values()):g}, and must not be more than 1")
        return self

    @property
    def shares(self) -> Mapping[str, float]:
        """Version -> its share of the calls, the main one first."""
        return {self.version: max(1 - sum(self.weights.values()), 0.0), **self.weights}

    def choose(self, point: float) -> str:
        """The version at a point from 0 to 1, which is the same for the same alias: others first, by number."""
        for version in sorted(self.weights, key=int):
            point -= self.weights[version]
            if point < 0:
                return version
        return self.version


class Versions(_Part):
    """All that is kept of a function's versions beside themselves."""

    last: int = 0
    """Number of the last one that was published; numbers are not used again."""
    aliases: dict[str, Alias] = Field(default_factory=dict)
    changes: int = 0
    """Grows with each change, so that none is made on what was read before another."""


def is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None


def is_alias(text: str) -> bool:
    """It could be the name of one."""
    return _ALIAS.fullmatch(text) is not None and text not in _LATEST


def qualifier(text: str | None) -> str | None:
    """A version's number or an alias; None: the latest, whichever way that was said."""
    return None if text is None or text in _LATEST else text


def named(function: str, version: str | None) -> str:
    """What a version is called here: `chat@3`; the latest goes by the function's own name."""
    return function if version is None or version in _LATEST else f"{function}@{version}"


def split(name: str) -> tuple[str, str | None]:
    """The function and the qualifier of `chat@prod`; None: it has none."""
    function, _, asked = name.partition("@")
    return function, qualifier(asked)


def point(key: str) -> float:
    """From 0 to 1, and the same for the same key, so that a repeated request lands where the first one did."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64
