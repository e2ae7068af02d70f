"""The templates of s.yaml: `${vars.x}`, `${env(X)}`, `${path(./x)}`, `{{ var }}` and lines of `{{ if }}`. Pure.

They make a file that is no YAML: `region: {{ region }}` is a mapping as a key. So each is first replaced by a
mark, a text that means nothing to YAML, and what it stands for is put into the parsed document: a value of any
type where it stands alone, its text within other text. No value can change what the document around it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from penstock.fc.notes import Notes, Place

_TEMPLATE = re.compile(r"\$\{([^{}\n]*)\}|\{\{([^{}\n]*)\}\}")
_CONTROL = re.compile(r"\s*(?:#\s*)?\{\{-?\s*(if\b|else\s*if\b|elif\b|else|endif|end|/if)([^{}]*?)-?\}\}\s*")
_MARK = re.compile("\ue000([0-9]+)\ue001")
_CALL = re.compile(r"(env|path)\(\s*(['\"]?)([^'\",]*)\2\s*(?:,\s*(['\"]?)(.*?)\4\s*)?\)")
_NAME = re.compile(r"[A-Za-z_][\w-]*(?:\.[\w-]+)*")
_TEST = re.compile(r"(!?)\s*([A-Za-z_][\w.-]*)(?:\s*(==|!=)\s*(['\"]?)([^'\"]*)\4)?")
_DEEPEST = 20
"""Variables that refer to variables."""

Unknown = object()
"""What a template stands for that nothing here knows."""


class Template:
    """The text of one file: `text` is YAML in which `fill` puts the values."""

    def __init__(self, text: str, *, environment: Mapping[str, str], folder: Path) -> None:
        self._environment = environment
        self._folder = folder
        self._written: list[str] = []
        self.text = _TEMPLATE.sub(self._mark, _MARK.sub("", text))

    def fill(self, document: Any, notes: Notes) -> Any:
        """The document with every template replaced, or left as it was written, with a warning."""
        return self._fill(document, (), _Scope(document), notes, 0)

    def _mark(self, found: re.Match[str]) -> str:
        self._written.append(found[0])
        return f"\ue000{len(self._written) - 1}\ue001"

    def _fill(self, value: Any, place: Place, scope: _Scope, notes: Notes, depth: int) -> Any:
        if isinstance(value, dict):
            filled = {}
            for key, one in value.items():
                inner = (*place, str(key))
                name = str(self._text(key, inner, scope, notes, depth)) if isinstance(key, str) else key
                filled[name] = self._fill(one, inner, scope, notes, depth)
            return filled
        if isinstance(value, list):
            return [self._fill(one, (*place, str(n)), scope, notes, depth) for n, one in enumerate(value)]
        return self._text(value, place, scope, notes, depth) if isinstance(value, str) else value

    def _text(self, value: str, place: Place, scope: _Scope, notes: Notes, depth: int) -> Any:
        if depth > _DEEPEST:
            raise notes.error(place, "its templates refer to each other in a circle")

        def known(mark: re.Match[str]) -> Any:
            written = self._written[int(mark[1])]
            found, problem = self._value(written, place, scope)
            if found is Unknown:
                notes.warn(place, f"{written} is left as it is: {problem}")
                return written
            return self._fill(found, place, scope, notes, depth + 1)

        alone = _MARK.fullmatch(value)
        return known(alone) if alone else _MARK.sub(lambda mark: str(known(mark)), value)

    def _value(self, written: str, place: Place, scope: _Scope) -> tuple[Any, str]:
        """What a template stands for, or Unknown and why."""
        simple = written.startswith("{{")
        inside = written.strip("${}").strip().strip("-").strip()
        if not simple and (call := _CALL.fullmatch(inside)):
            kind, _, argument, _, default = call.groups()
            if kind == "path":
                return str((self._folder / argument.strip()).absolute()), ""
            found = self._environment.get(argument.strip(), default)
            return (found, "") if found is not None else (Unknown, f"{argument.strip()} is not in the environment")
        if not _NAME.fullmatch(inside):
            return Unknown, "vars, env(…), path(…) and fields of this file are known here"
        found = scope.look_up(inside, place, simple=simple)
        return found, f"nothing in this file is called {inside}" if simple else "it is no field of this file"


class _Scope:
    """What names mean: fields of the document itself."""

    def __init__(self, document: Any) -> None:
        self._document = document if isinstance(document, dict) else {}

    def look_up(self, name: str, place: Place, *, simple: bool) -> Any:
        """`{{ a }}` is a variable; `${vars.a}`, `${services.a.props.b}` and `${this.props.b}` are paths."""
        parts = name.split(".")
        if simple and parts[0] != "vars":
            parts = ["vars", *parts]
        if parts[0] == "this":
            parts = [*place[:2], *parts[1:]]
        found: Any = self._document
        for part in parts:
            if not isinstance(found, dict) or part not in found:
                return Unknown
            found = found[part]
        return found


def choose(text: str, variables: Callable[[str], Any]) -> tuple[str, list[tuple[int, str]]]:
    """The text with the lines of `{{ if }}` that do not hold emptied, so that every other line keeps its number;
    and line and reason of what could not be understood. `variables` gives a variable's value, or Unknown."""
    lines = text.split("\n")
    problems: list[tuple[int, str]] = []
    stack: list[list[bool]] = []  # of each open if: whether its branch is taken now, whether any was
    for number, line in enumerate(lines, 1):
        control = _CONTROL.fullmatch(line)
        if control is None:
            lines[number - 1] = line if all(taken for taken, _ in stack) else ""
            continue
        lines[number - 1] = ""
        word, condition = "".join(control[1].split()), control[2].strip()
        if word == "if":
            holds = _holds(condition, variables, number, problems)
            stack.append([holds, holds])
        elif not stack:
            problems.append((number, f"{line.strip()} without an {{{{ if }}}} before it"))
        elif word in ("endif", "end", "/if"):
            stack.pop()
        else:
            holds = not stack[-1][1] and (word == "else" or _holds(condition, variables, number, problems))
            stack[-1] = [holds, stack[-1][1] or holds]
    if stack:
        problems.append((len(lines), "an {{ if }} without its {{ endif }}"))
    return "\n".join(lines), problems


def has_conditions(text: str) -> bool:
    return any(_CONTROL.fullmatch(line) for line in text.split("\n"))


def _holds(condition: str, variables: Callable[[str], Any], number: int, problems: list[tuple[int, str]]) -> bool:
    stripped = condition.removeprefix("(").removesuffix(")").strip()
    test = _TEST.fullmatch(stripped)
    if test is None:
        problems.append((number, f"{{{{ if {condition} }}}} is not understood: write NAME, !NAME or NAME == 'x'"))
        return False
    negated, name, operator, _, other = test.groups()
    value = variables(name)
    if value is Unknown:
        problems.append((number, f"{{{{ if {condition} }}}} does not hold: there is no variable {name}"))
        return False
    holds = _text_of(value) == other.strip() if operator == "==" else bool(value)
    if operator == "!=":
        holds = _text_of(value) != other.strip()
    return holds != bool(negated)


def _text_of(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
