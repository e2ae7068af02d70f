"""An s.yaml as a document: its templates filled in, its blocks found, each over the template that it extends."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from penstock import yamlfile
from penstock.errors import ConfigurationError
from penstock.fc.notes import Notes, Place
from penstock.fc.template import Template, Unknown, choose, has_conditions

_COMPONENT = re.compile(r"(?:devsapp/)?(fc|fc3)(?:@.*)?")
_DOMAIN_COMPONENT = re.compile(r"(?:devsapp/)?fc3-domain(?:@.*)?")
_TOP = frozenset(["edition", "name", "access", "vars", "services", "resources", "template"])
_BLOCK = frozenset(["component", "props", "access", "extend"])


def read_document(path: Path, environment: Mapping[str, str]) -> tuple[dict[str, Any], Notes]:
    """The file with its templates filled in."""
    text = yamlfile.read(path)
    problems: list[tuple[int, str]] = []
    folder = path.parent.absolute()
    if has_conditions(text):
        text, problems = choose(text, _variables(path, text, environment))
    template = Template(text, environment=environment, folder=folder)
    parsed, lines = yamlfile.parse(path, template.text)
    notes = Notes(path, lines)
    for line, problem in problems:
        notes.warn_line(line, problem)
    document = template.fill(parsed, notes)
    if not isinstance(document, dict) or not ("services" in document or "resources" in document):
        raise notes.error((), "it must hold `services:` (edition 1.0.0) or `resources:` (edition 3.0.0)")
    for name in document.keys() - _TOP:
        notes.warn((str(name),), "not run" if name in ("actions", "flow", "plugins") else "unknown field, ignored")
    return document, notes


def _variables(path: Path, text: str, environment: Mapping[str, str]) -> Any:
    """A look-up of the file's own `vars`, for conditions that decide which lines the file has."""
    bare, _ = choose(text, lambda name: Unknown)
    template = Template(bare, environment=environment, folder=path.parent.absolute())
    try:
        parsed, lines = yamlfile.parse(path, template.text)
    except ConfigurationError:
        return lambda name: Unknown  # said when the file is read with its conditions
    filled = template.fill(parsed, Notes(path, lines))

    def look_up(name: str) -> Any:
        found: Any = filled.get("vars") if isinstance(filled, dict) else None
        for part in name.removeprefix("vars.").split("."):
            if not isinstance(found, dict) or part not in found:
                return Unknown
            found = found[part]
        return found

    return look_up


def blocks(document: dict[str, Any], notes: Notes) -> Iterator[tuple[str, str, dict[str, Any], Place]]:
    """Key, kind, props and their place of each service and resource that is one of ours."""
    for group in ("services", "resources"):
        blocks = document.get(group)
        if blocks is not None and not isinstance(blocks, dict):
            raise notes.error((group,), f"must be a mapping of names to components (got {blocks!r})")
        for key, block in (blocks or {}).items():
            place = (group, str(key))
            if not isinstance(block, dict):
                raise notes.error(place, "must be a mapping with component and props")
            component = str(block.get("component", "fc" if group == "services" else "fc3"))
            known = _COMPONENT.fullmatch(component)
            if known is None and not _DOMAIN_COMPONENT.fullmatch(component):
                notes.warn(place, f"left out: component {component} is not available, fc and fc3 are")
                continue
            for name in block.keys() - _BLOCK:
                what = "not run: build images before" if name == "actions" else "unknown field, ignored"
                notes.warn((*place, str(name)), what)
            props = block.get("props")
            if not isinstance(props, dict):
                raise notes.error((*place, "props"), "missing: what the function is")
            props = _extended(document, block, dict(props), place, notes)
            yield str(key), "function" if known else "domain", props, (*place, "props")


def _extended(
    document: dict[str, Any], block: dict[str, Any], props: dict[str, Any], place: Place, notes: Notes
) -> dict[str, Any]:
    """Props over those of the template that the block extends."""
    extend = block.get("extend")
    if extend is None:
        return props
    name = extend.get("name") if isinstance(extend, dict) else extend
    templates = document.get("template")
    base = templates.get(name) if isinstance(templates, dict) else None
    if not isinstance(base, dict):
        raise notes.error((*place, "extend"), f"there is no template {name!r} in this file")
    ignored = extend.get("ignore") or () if isinstance(extend, dict) else ()
    return _merged({key: value for key, value in base.items() if key not in ignored}, props)


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    found = dict(under)
    for key, value in over.items():
        below = found.get(key)
        found[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return found
