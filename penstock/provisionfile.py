"""Provision documents into configs, with errors that name path, value and what is allowed. Pure.

`read` is for Penstock's own `provision:` and refuses what it does not know. `read_vendor` is for documents of the
vendor's tools, which contradict their own schemas: what it does not know is left out, with a warning; what it
knows must still be right.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from penstock.errors import ConfigurationError
from penstock.provision import ProvisionConfig, ScheduledAction, TrackingPolicy


def read(document: Any, where: str = "provision") -> ProvisionConfig:
    """A checked config. Raises ConfigurationError with path, value and what is allowed."""
    try:
        return ProvisionConfig.model_validate(document)
    except ValidationError as error:
        raise ConfigurationError(_explain(error, where)) from None


def read_vendor(document: Any, where: str = "provision") -> tuple[ProvisionConfig, tuple[str, ...]]:
    """A checked config of a vendor document, and a warning for each field that was left out of it."""
    warnings: list[str] = []
    return read(_known(document, (), where, warnings), where), tuple(warnings)


def _known(value: Any, place: tuple[int | str, ...], where: str, warnings: list[str]) -> Any:
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_known(one, (*place, index), where, warnings) for index, one in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    allowed = _fields_at(place)
    unknown = [key for key in value if key not in allowed]
    warnings.extend(f"{_path(where, (*place, str(key)))}: unknown field, ignored" for key in unknown)
    return {key: _known(one, (*place, key), where, warnings) for key, one in value.items() if key not in unknown}


def _explain(error: ValidationError, where: str) -> str:
    """The first thing that is wrong, in one line."""
    first = error.errors()[0]
    path = _path(where, first["loc"])
    if first["type"] == "extra_forbidden":
        allowed = _fields_at(first["loc"][:-1])
        near = difflib.get_close_matches(str(first["loc"][-1]), allowed, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        return f"{path}: unknown field; {hint}allowed are {', '.join(allowed)}"
    message = first["msg"].removeprefix("Value error, ")
    got = "" if first["type"] in ("missing", "value_error") else f" (got {first['input']!r})"
    return f"{path}: {message[0].lower()}{message[1:]}{got}"


def _path(where: str, place: Sequence[int | str]) -> str:
    return where + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)


def _fields_at(place: Sequence[int | str]) -> list[str]:
    kinds: dict[int | str, type[BaseModel]] = {
        "scheduledActions": ScheduledAction,
        "targetTrackingPolicies": TrackingPolicy,
    }
    model = kinds.get(place[0], ProvisionConfig) if place else ProvisionConfig
    names = {field.alias or name for name, field in model.model_fields.items()}
    return sorted(names if place else names | {"target"})
