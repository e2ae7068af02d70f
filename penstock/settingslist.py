"""All settings as a list, for people: name, default, what is allowed, what it is for.

Read from the models of penstock/settings.py and the docstrings there. A process that needs no more than its
settings does not import this.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from penstock.settings import Settings
from penstock.units import Duration, Size, format_duration, format_size


@dataclass(frozen=True, kw_only=True)
class Entry:
    key: str
    """`group.name`, or the name alone."""
    group: str
    """Empty for those that are in none."""
    default: str
    """As it would be written; `empty` for empty text, `unset` for None."""
    allowed: str
    text: str
    """What it is for; empty if its docstring is missing."""
    annotation: object
    """Its type, as it is declared."""


def entries() -> list[Entry]:
    """Every setting, in the order of the models."""
    return list(_entries())


def about(group: str) -> str:
    """What a group is for."""
    return inspect.getdoc(_model(group)) or ""


def written(value: object, annotation: object = None) -> str:
    """A value as a person would write it."""
    if value is None:
        return "unset"
    if _unit(annotation) is not None:
        return (
            format_duration(float(str(value))) if _unit(annotation) == _DURATION else format_size(int(str(value)))
        )
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.10f}".rstrip("0").rstrip(".")
    if isinstance(value, (tuple, list)):
        return " ".join(_word(one) for one in value) or "empty"
    return str(value) or "empty"


def markdown() -> str:
    """docs/settings.md."""
    rows = entries()
    lines = [_HEAD]
    for group in dict.fromkeys(row.group for row in rows):
        lines.append(f"## {group or 'In no group'}\n{about(group) + chr(10) if group else ''}")
        lines.append("| setting | default | allowed | what |\n|---|---|---|---|")
        for row in rows:
            if row.group == group:
                cells = (f"`{row.key}`", _cell(row.default), row.allowed, row.text)
                lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)


_HEAD = """# Settings

<!-- Written by `penstock settings --markdown` from penstock/settings.py: change it there. -->
Every setting can be given in three ways. Each wins over those below it:

1. a flag: `--set gateway.hold=30s` of `up`, `gateway`, `workers`, `doctor` and `settings`, as often as needed; the
   most common ones have a flag of their own (`--port 9000`);
2. the environment: `PENSTOCK_GATEWAY__HOLD=30s`, two underscores between group and name (`PENSTOCK_REDIS_URL` is
   short for `PENSTOCK_REDIS__URL`);
3. the YAML file that `PENSTOCK_CONFIG` names: `gateway: {hold: 30s}`.

`penstock settings` prints the values in force and where each comes from. Durations are written as `250ms`, `90s`,
`5m`, `24h` or `7d`, sizes as `512MiB` or `2GB`. Lists are separated by spaces; a list of objects is JSON in the
environment.
"""


def _entries(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[Entry]:
    texts = _docstrings(model)
    groups = list[tuple[type[BaseModel], str]]()
    for name, field in model.model_fields.items():
        default = field.default
        if isinstance(default, BaseModel):
            groups.append((type(default), name))
            continue
        annotation = typing.get_type_hints(model, include_extras=True)[name]
        yield Entry(
            key=f"{prefix}.{name}" if prefix else name,
            group=prefix,
            default=written(default, annotation),
            allowed=_allowed(annotation),
            text=texts.get(name, "").replace("None:", "unset:"),
            annotation=annotation,
        )
    for group, name in groups:
        yield from _entries(group, name)


def _model(group: str) -> type[BaseModel]:
    return type(Settings.model_fields[group].default) if group else Settings


def _docstrings(model: type[BaseModel]) -> Mapping[str, str]:
    """The text that stands below each field of a class; Python itself does not keep it."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(model)))
    body = typing.cast(ast.ClassDef, tree.body[0]).body
    found = {}
    for one, following in pairwise(body):
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and isinstance(following, ast.Expr):
            text = ast.literal_eval(following.value)
            found[one.target.id] = " ".join(str(text).split())
    return found


def _unit(annotation: object) -> object:
    """Duration, Size or None."""
    return next((part for part in _parts(annotation) if part in (_DURATION, _SIZE)), None)


def _parts(annotation: object) -> Iterator[object]:
    """An annotation and all that it is made of."""
    yield annotation
    for part in (*typing.get_args(annotation), *getattr(annotation, "__metadata__", ())):
        yield from _parts(part)
    for part in getattr(annotation, "metadata", ()):
        yield part


def _allowed(annotation: object) -> str:
    parts = list(_parts(annotation))
    literals = [part for part in parts if typing.get_origin(part) is typing.Literal]
    words = ", ".join(f"`{word}`" for part in literals for word in typing.get_args(part))
    models = [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]
    if any(typing.get_origin(part) is tuple for part in parts):
        of = words or ", ".join(f"{{{', '.join(model.model_fields)}}}" for model in models)
        return f"list of {of}" if of else "list"
    if words:
        return words
    bounds = {name: getattr(part, name) for part in parts for name in ("ge", "gt", "le", "lt") if _has(part, name)}
    unit = _unit(annotation)
    if unit is not None:
        return ("duration" if unit == _DURATION else "size") + _range(bounds)
    return next((name for one, name in _KINDS if one in parts), "text") + _range(bounds)


_DURATION, _SIZE = (typing.get_args(kind)[1] for kind in (Duration, Size))
_KINDS = ((bool, "`true`, `false`"), (int, "whole number"), (float, "number"), (Path, "path"))


def _has(part: object, name: str) -> bool:
    return not isinstance(part, type) and getattr(part, name, None) is not None


def _range(bounds: Mapping[str, Any]) -> str:
    low, high = bounds.get("ge"), bounds.get("le")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    words = {"ge": "from {} on", "gt": "above {}", "le": "up to {}", "lt": "below {}"}
    return "".join(f" {words[name].format(value)}" for name, value in bounds.items())


def _word(one: object) -> str:
    if isinstance(one, BaseModel):
        return one.model_dump_json(exclude_defaults=True)
    if isinstance(one, tuple):
        return "-".join(str(part) for part in dict.fromkeys(one))
    return str(one)


def _cell(text: str) -> str:
    return text if text in ("unset", "empty") else f"`{text}`"
