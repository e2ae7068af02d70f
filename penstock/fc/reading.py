"""A part of an s.yaml into its model: what is known must be right, what is not is warned about."""

from __future__ import annotations

import difflib
from typing import Any, TypeVar

from pydantic import ValidationError

from penstock.fc.notes import Notes, Place
from penstock.fc.schema import Part, names

T = TypeVar("T", bound=Part)

_IDLE = frozenset(
    {
        "region",
        "description",
        "role",
        "logConfig",
        "accelerationType",
        "accelerationInfo",
        "acrInstanceId",
        "registryConfig",
        "diskSize",
        "tracingConfig",
        "tags",
        "resourceGroupId",
        "statefulInvocation",
        "resolvedImageUri",
        "invocationRole",
        "certConfig",
        "certId",
        "tlsConfig",
    }
)
"""Fields that are about the vendor's cloud: to be without them changes no answer of a function."""
_ABSENT = {
    "vpcConfig": "there are no private networks: the function reaches the internet or nothing",
    "nasConfig": "no file system is mounted: give `volumes` in Penstock's own spec",
    "ossMountConfig": "no bucket is mounted: give `volumes` in Penstock's own spec",
    "polarFsConfig": "no file system is mounted: give `volumes` in Penstock's own spec",
    "layers": "layers are not available: put their files into the image",
    "customDNS": "name servers are those of the machine",
    "customDns": "name servers are those of the machine",
    "preFreeze": "instances are not frozen here, so nothing is asked before",
    "disableOndemand": "instances start on demand as ever; bound them with scaling.max",
    "sessionAffinity": "sessions are not kept on one instance",
    "sessionAffinityConfig": "sessions are not kept on one instance",
    "instanceIsolationMode": "instances are not isolated per session or request",
    "customRuntimeConfig": "runtime custom is not available",
}
"""Fields that some function may miss, and what is so instead."""


def read(model: type[T], raw: Any, place: Place, notes: Notes) -> T:
    """The checked part. Raises ConfigurationError with file, line and field."""
    try:
        part = model.model_validate(raw)
    except ValidationError as error:
        inner, message = _explain(error)
        raise notes.error((*place, *inner), message) from None
    for where, allowed in _unknown(part, raw, place):
        _warn(where, allowed, notes)
    return part


def _warn(place: Place, allowed: list[str], notes: Notes) -> None:
    name = place[-1]
    if name in _IDLE:
        notes.idle(place)
    elif name in _ABSENT:
        notes.warn(place, f"ignored: {_ABSENT[name]}")
    else:
        near = difflib.get_close_matches(name, [*allowed, *_IDLE, *_ABSENT], n=1)
        notes.warn(place, "unknown field, ignored" + (f"; did you mean {near[0]}?" if near else ""))


def _explain(error: ValidationError) -> tuple[Place, str]:
    """Place and message of the first thing that is wrong."""
    first = error.errors()[0]
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "string_pattern_mismatch":
        message = f"must match {first['ctx']['pattern']}"
    if first["type"] == "model_type":
        message = "must be a mapping"
    shown = repr(first["input"])
    got = "" if first["type"] == "missing" else f" (got {shown if len(shown) <= 80 else shown[:77] + '...'})"
    return tuple(str(part) for part in first["loc"]), message[0].lower() + message[1:] + got


def _unknown(part: Any, raw: Any, place: Place) -> list[tuple[Place, list[str]]]:
    """Place of every field that no model has, and the names that fields could have had there."""
    if isinstance(part, (list, tuple)) and isinstance(raw, list):
        return [one for n, inner in enumerate(part) for one in _unknown(inner, raw[n], (*place, str(n)))]
    if not isinstance(part, Part) or not isinstance(raw, dict):
        return []
    fields = names(type(part))
    allowed = [name for spellings in fields.values() for name in spellings]
    found = [((*place, name), allowed) for name in part.model_extra or ()]
    for field, spellings in fields.items():
        written = next((name for name in spellings if raw.get(name) is not None), None)
        if written is not None:
            found += _unknown(getattr(part, field), raw[written], (*place, written))
    return found
