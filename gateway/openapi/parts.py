"""What an operation is made of: parameters, bodies, answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

from penstock.errors import PenstockError

Schema = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Parameter:
    name: str
    place: Literal["path", "query", "header"]
    schema: Schema
    text: str


@dataclass(frozen=True, kw_only=True)
class Body:
    """What a request or an answer carries."""

    model: type[BaseModel] | None = None
    """None: it is not described further."""
    media: str = "application/json"
    text: str = ""
    schema: Schema = field(default_factory=dict)
    """Where there is no model; empty: anything, byte for byte."""
    optional: bool = False
    """Of a request: it may be left out."""
    headers: Sequence[str] = ()
    """Of an answer: names out of HEADERS."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    id: str
    tag: str
    summary: str
    text: str = ""
    body: Body | None = None
    answers: Mapping[int | Literal["default"], Body]
    parameters: Sequence[Parameter] = ()
    """Beside those of the path."""
    errors: Sequence[type[PenstockError]] = ()
    """Beside those of every operation."""
    failures: Mapping[int, str] = field(default_factory=dict)
    """Problems that are no error of the tree: status -> codes and what they mean."""


def query(name: str, schema: Schema, text: str) -> Parameter:
    return Parameter(name=name, place="query", schema=schema, text=text)


def header(name: str, schema: Schema, text: str) -> Parameter:
    return Parameter(name=name, place="header", schema=schema, text=text)


HEADERS: Mapping[str, tuple[Schema, str]] = {
    "Location": ({"type": "string"}, "Path of the record."),
    "Penstock-Invocation-Id": ({"type": "string"}, "The invocation that this is the answer of."),
    "Penstock-Cold-Start": ({"type": "string", "enum": ["true", "false"]}, "Whether the call waited for a start."),
    "Server-Timing": ({"type": "string"}, "Milliseconds in the queue, starting, running."),
    "Preference-Applied": ({"type": "string"}, "`respond-async`, if it was preferred."),
    "Retry-After": ({"type": "integer", "minimum": 0}, "Whole seconds after which it may be different."),
}
