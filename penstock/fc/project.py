"""An s.yaml: the functions that a file of Serverless Devs describes, in Penstock's terms.

It is lenient on purpose, since the vendor's own schemas and examples contradict each other: what is not known is
warned about and left out. What is known must be right, and an error names file, line and field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from penstock.fc import names
from penstock.fc.document import blocks, read_document
from penstock.fc.mapping import translate
from penstock.fc.notes import Notes, Place
from penstock.fc.reading import read
from penstock.fc.schema import Part, VendorFunction
from penstock.fc.triggers import Domain, Http, Trigger, read_domain, read_triggers
from penstock.function import FunctionSpec

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
    document, notes = read_document(path, environment)
    found, domains = [], []
    for key, kind, props, place in blocks(document, notes):
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
