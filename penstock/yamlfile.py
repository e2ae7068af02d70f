"""YAML (or JSON) as people write it into files, with the line of every key for error messages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from penstock.errors import ConfigurationError

Lines = Mapping[tuple[str, ...], int]
"""Line of every key of a document, by its path."""


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, but only `true` and `false` are booleans, as in YAML 1.2: `retry: {on: …}` has a key
    called on, and a variable may be called NO."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as the base class has it
        first: [
            (
                tag,
                re.compile("(?:true|True|TRUE|false|False|FALSE)$")
                if tag == "tag:yaml.org,2002:bool"
                else pattern,
            )
            for tag, pattern in resolvers
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def read(path: Path) -> str:
    """A file's text. Raises ConfigurationError."""
    try:
        return path.read_text()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not UTF-8 text: {error}") from None


def parse(path: Path, text: str) -> tuple[Any, Lines]:
    """The document of a file's text, and its lines. Raises ConfigurationError."""
    try:
        root = yaml.compose(text, Loader=_Loader)
        document = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
        lines = _lines(root) if root is not None else {}
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark is not None else ""
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise ConfigurationError(f"{path}{line}: not YAML: {said}") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date such as 2023-13-41
        raise ConfigurationError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ConfigurationError(f"{path}: it refers to itself, or is nested too deeply") from None
    return document, lines


def line_of(lines: Lines, place: Sequence[str]) -> int:
    """The line of a path, or of the nearest above it that was written; 1 if there is none."""
    whole = tuple(place)
    return next((lines[whole[:n]] for n in range(len(whole), 0, -1) if whole[:n] in lines), 1)


def _lines(node: yaml.Node, place: tuple[str, ...] = ()) -> dict[tuple[str, ...], int]:
    found: dict[tuple[str, ...], int] = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, str(key.value))
            found[inner] = key.start_mark.line + 1
            found |= _lines(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            inner = (*place, str(index))
            found[inner] = value.start_mark.line + 1
            found |= _lines(value, inner)
    return found
