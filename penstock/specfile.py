"""Spec files: YAML (or JSON) into function specs, with errors that name line, path and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from penstock import yamlfile
from penstock.domains import Domain, check_name
from penstock.errors import ConfigurationError
from penstock.function import NAME, FunctionSpec
from penstock.triggers import TRIGGERS, ObjectsTrigger, Trigger
from penstock.yamlfile import Lines


@dataclass(frozen=True, kw_only=True)
class SpecFile:
    functions: dict[str, FunctionSpec]
    """Their paths made absolute."""
    domains: dict[str, Domain]


def load(path: Path) -> dict[str, FunctionSpec]:
    """The functions of a spec file. Raises ConfigurationError."""
    return read(path).functions


def read(path: Path) -> SpecFile:
    """Raises ConfigurationError."""
    document, lines = yamlfile.parse(path, yamlfile.read(path))
    if not isinstance(document, dict) or not isinstance(document.get("functions"), dict):
        vendors = isinstance(document, dict) and not document.keys().isdisjoint(("services", "resources"))
        hint = "; an s.yaml of Function Compute is deployed by `penstock deploy -t`" if vendors else ""
        raise ConfigurationError(f"{path}: it must hold `functions:`, a mapping of names to specs{hint}")
    for extra in set(document) - {"functions", "domains"}:
        raise ConfigurationError(
            f"{path}:{lines.get((str(extra),), 1)}: {extra}: unknown; only functions: and domains: are read"
        )
    specs = {}
    for name, fields in document["functions"].items():
        specs[str(name)] = _spec(path, str(name), fields, lines)
    return SpecFile(functions=specs, domains=_domains(path, document.get("domains"), lines))


def _domains(path: Path, given: Any, lines: Lines) -> dict[str, Domain]:
    if given is not None and not isinstance(given, dict):
        raise ConfigurationError(
            f"{path}:{lines.get(('domains',), 1)}: domains: must be a mapping of host names to their routes"
        )
    found = {}
    for name, fields in (given or {}).items():
        place: tuple[str, ...] = ("domains", str(name))
        try:
            found[check_name(str(name))] = Domain.model_validate(fields)
        except ValidationError as error:
            inner, message = explain(error, Domain)
            place = (*place, *inner)
            line = yamlfile.line_of(lines, place)
            raise ConfigurationError(f"{path}:{line}: {'.'.join(place)}: {message}") from None
        except ValueError as error:
            raise ConfigurationError(f"{path}:{lines.get(place, 1)}: {'.'.join(place)}: {error}") from None
    return found


def _spec(path: Path, name: str, fields: Any, lines: Lines) -> FunctionSpec:
    where = ("functions", name)
    if not NAME.fullmatch(name):
        raise ConfigurationError(
            f"{path}:{lines.get(where, 1)}: functions.{name}: a name is lower-case letters, digits, - and _, "
            f"at most 63, and starts with a letter or digit"
        )
    try:
        spec = FunctionSpec.model_validate(fields)
    except ValidationError as error:
        inner, message = explain(error)
        place = (*where, *inner)
        line = yamlfile.line_of(lines, place)
        raise ConfigurationError(f"{path}:{line}: {'.'.join(place)}: {message}") from None
    spec = placed(spec, path.parent)
    if spec.path is None:
        return spec
    folder = (path.parent / spec.path).absolute()
    if not folder.is_dir():
        line = lines.get((*where, "path"), 1)
        raise ConfigurationError(f"{path}:{line}: functions.{name}.path: {folder} is not a folder")
    return spec.model_copy(update={"path": str(folder.resolve())})


def placed(spec: FunctionSpec, folder: Path) -> FunctionSpec:
    """With the paths of folders that its triggers look at made absolute; they may come later."""
    triggers = tuple(_placed(one, folder) for one in spec.triggers)
    return spec.model_copy(update={"triggers": triggers}) if triggers else spec


def _placed(trigger: Trigger, folder: Path) -> Trigger:
    if isinstance(trigger, ObjectsTrigger) and trigger.s3 is None:
        return trigger.model_copy(update={"bucket": str((folder / trigger.bucket).resolve())})
    return trigger


def dump(specs: Mapping[str, FunctionSpec], domains: Mapping[str, Domain]) -> str:
    """Specs as a spec file that says what is not at its default; `read` reads the same ones from it."""
    functions = {
        name: spec.model_dump(mode="json", by_alias=True, exclude_defaults=True) for name, spec in specs.items()
    }
    document: dict[str, Any] = {"functions": functions}
    if domains:
        document["domains"] = {
            name: one.model_dump(mode="json", exclude_defaults=True) for name, one in domains.items()
        }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1000)


def explain(error: ValidationError, model: type[BaseModel] = FunctionSpec) -> tuple[tuple[str, ...], str]:
    """The first thing that is wrong with a spec, or with another model: its path inside, and what would be
    right."""
    first = error.errors()[0]
    place = tuple(str(part) for part in first["loc"])
    kind, place = _of_trigger(place)
    if first["type"] in ("union_tag_invalid", "union_tag_not_found") and place[0] == "triggers":
        got = first["input"].get("type") if isinstance(first["input"], dict) else first["input"]
        return (*place, "type"), f"no type of trigger; allowed are {', '.join(TRIGGERS)} (got {got!r})"
    if first["type"] == "extra_forbidden" and kind is not None:
        allowed = sorted(kind.model_fields)
        return place, f"unknown field; allowed are {', '.join(allowed)}"
    if first["type"] == "extra_forbidden":
        allowed = _fields_at(model, place[:-1])
        near = difflib.get_close_matches(place[-1], allowed, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        return place, f"unknown field; {hint}allowed are {', '.join(allowed)}"
    message = first["msg"].removeprefix("Value error, ")
    got = "" if first["type"] in ("missing", "value_error") else f" (got {first['input']!r})"
    return place, message[0].lower() + message[1:] + got


def _of_trigger(place: tuple[str, ...]) -> tuple[type[BaseModel] | None, tuple[str, ...]]:
    """The model of the trigger at a place, if it is inside one, and the place as a file has it: a trigger's type,
    by which pydantic tells them apart, is no part of the file's own path."""
    if len(place) > 2 and place[0] == "triggers" and place[2] in TRIGGERS:
        return TRIGGERS[place[2]], (*place[:2], *place[3:])
    return None, place


def _fields_at(model: type[BaseModel], place: Sequence[str]) -> list[str]:
    for part in place:
        if part.isdigit():
            continue  # one of a list
        field = model.model_fields.get(part)
        kinds = (field.annotation, *get_args(field.annotation)) if field else ()
        nested = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not nested:
            return []
        model = nested[0]
    return sorted(model.model_fields)
