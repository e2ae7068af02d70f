"""An s.yaml: the functions that a file of Serverless Devs describes, in Penstock's terms.

It is lenient on purpose, since the vendor's own schemas and examples contradict each other: what is not known is
warned about and left out. What is known must be right, and an error names file, line and field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from penstock import yamlfile
from penstock.errors import ConfigurationError
from penstock.fc import names
from penstock.fc.mapping import translate
from penstock.fc.notes import Notes, Place
from penstock.fc.reading import read
from penstock.fc.schema import Part, VendorFunction
from penstock.fc.template import Template, Unknown, choose, has_conditions
from penstock.fc.triggers import Domain, Http, Trigger, read_domain, read_triggers
from penstock.function import FunctionSpec

_COMPONENT = re.compile(r"(?:devsapp/)?(fc|fc3)(?:@.*)?")
_DOMAIN_COMPONENT = re.compile(r"(?:devsapp/)?fc3-domain(?:@.*)?")
_TOP = frozenset(["edition", "name", "access", "vars", "services", "resources", "template"])
_BLOCK = frozenset(["component", "props", "access", "extend"])
_BESIDE = ("region", "triggers", "customDomain", "customDomains")
"""Fields of `props` that are no function's, where the function's own stand among them."""


@dataclass(frozen=True, kw_only=True)
class VendorsFunction:
    block: str
    """The key of `services` or `resources` that it stands under."""
    service: str | None
    """None: its shape knows no services."""
    function: str
    """As the vendor calls it."""
    name: str
    """As it is called here."""
    region: str | None
    spec: FunctionSpec
    triggers: tuple[Trigger, ...]
    place: Place
    """Where it is in the file."""

    @property
    def has_url(self) -> bool:
        """It has an HTTP trigger."""
        return any(isinstance(trigger.config, Http) for trigger in self.triggers)

    @property
    def original(self) -> str:
        """The vendor's name of it, with its service."""
        return names.original(self.service, self.function)


@dataclass(frozen=True, kw_only=True)
class Project:
    path: Path
    functions: tuple[VendorsFunction, ...]
    domains: tuple[Domain, ...]
    notes: Notes
    """What is to be said about it."""

    @property
    def specs(self) -> dict[str, FunctionSpec]:
        """By the names that functions have here."""
        return {one.name: one.spec for one in self.functions}

    @property
    def aliases(self) -> dict[str, str]:
        """The vendor's name -> ours, where they differ."""
        return {one.original: one.name for one in self.functions if one.original != one.name}


class _Props(Part):
    """Of the shape of 1.0.0."""

    region: Any = None
    service: Any = None
    function: dict[str, Any]
    triggers: Any = None
    custom_domains: Any = None


class _Service(Part):
    name: str
    internet_access: bool = True


def load(path: Path, environment: Mapping[str, str]) -> Project:
    """What a file describes. Raises ConfigurationError."""
    document, notes = _document(path, environment)
    found, domains = [], []
    for key, kind, props, place in _blocks(document, notes):
        if kind == "domain":
            domains.append(read_domain(props, place, notes))
        else:
            found.append(_function(key, props, place, notes, path.parent))
            domains += _domains(props, place, notes)
    if not found:
        raise notes.error((), "no service or resource of it is a function (component: fc or fc3)")
    functions = _named(found, notes)
    for one in functions:
        _say_what_is_missing(one, notes)
    return Project(path=path, functions=functions, domains=tuple(domains), notes=notes)


def _document(path: Path, environment: Mapping[str, str]) -> tuple[dict[str, Any], Notes]:
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


def _blocks(document: dict[str, Any], notes: Notes) -> Iterator[tuple[str, str, dict[str, Any], Place]]:
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


def _function(key: str, props: dict[str, Any], place: Place, notes: Notes, folder: Path) -> VendorsFunction:
    older = "function" in props
    service: _Service | None = None
    inside = place
    raw: Any = {name: value for name, value in props.items() if name not in _BESIDE}
    if older:
        parts = read(_Props, props, place, notes)
        inside, raw = (*place, "function"), parts.function
        service = _service(parts.service, (*place, "service"), notes)
    function = read(VendorFunction, raw, inside, notes)
    if function.name is None:
        raise notes.error((*inside, "name" if older else "functionName"), "missing: the function's name")
    internet = function.internet_access
    if internet is None:
        internet = service.internet_access if service else True
    return VendorsFunction(
        block=key,
        service=service.name if service else None,
        function=function.name,
        name="",
        region=str(props["region"]) if props.get("region") is not None else None,
        spec=translate(function, inside, notes, folder=folder, internet=internet, older=older),
        triggers=read_triggers(props.get("triggers"), (*place, "triggers"), notes),
        place=inside,
    )


def _service(raw: Any, place: Place, notes: Notes) -> _Service | None:
    if raw is None:
        return None
    return read(_Service, {"name": raw} if isinstance(raw, str) else raw, place, notes)


def _domains(props: dict[str, Any], place: Place, notes: Notes) -> list[Domain]:
    found = []
    for name in ("customDomains", "customDomain"):
        given = props.get(name)
        for n, one in enumerate(given if isinstance(given, list) else [given] if given else []):
            where = (*place, name, str(n)) if isinstance(given, list) else (*place, name)
            found.append(read_domain({"domainName": one} if isinstance(one, str) else one, where, notes))
    return found


def _named(found: list[VendorsFunction], notes: Notes) -> tuple[VendorsFunction, ...]:
    """With the names that they have here. Raises ConfigurationError if two come to the same one."""
    assigned = names.assign((one.service, one.function) for one in found)
    named = tuple(replace(one, name=assigned[one.service, one.function]) for one in found)
    taken: dict[str, VendorsFunction] = {}
    for one in named:
        other = taken.setdefault(one.name, one)
        if other is not one:
            raise notes.error(
                one.place, f"{one.original} and {other.original} would both be called {one.name} here: rename one"
            )
    return named


def _say_what_is_missing(function: VendorsFunction, notes: Notes) -> None:
    for trigger in function.triggers:
        missing = trigger.config.missing(function.name)
        if missing is not None:
            notes.warn(trigger.place, missing)
