"""An s.yaml: the functions that a file of Serverless Devs describes, in Penstock's terms.

It is lenient on purpose, since the vendor's own schemas and examples contradict each other: what is not known is
warned about and left out. What is known must be right, and an error names file, line and field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from penstock.domains import Domain
from penstock.fc import destinations, domains, names
from penstock.fc.destinations import Named
from penstock.fc.document import blocks, read_document
from penstock.fc.mapping import translate
from penstock.fc.notes import Notes, Place
from penstock.fc.reading import read
from penstock.fc.schema import Part, VendorFunction
from penstock.fc.triggers import Http, read_triggers
from penstock.function import DESTINATION, FunctionSpec
from penstock.specfile import SpecFile, explain, placed

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
    destinations: Mapping[str, Named]
    """Functions that are told of its async jobs, by the field of callbacks."""
    place: Place
    """Where it is in the file."""

    @property
    def original(self) -> str:
        """The vendor's name of it, with its service."""
        return names.original(self.service, self.function)


@dataclass(frozen=True, kw_only=True)
class Project:
    path: Path
    functions: tuple[VendorsFunction, ...]
    domains: Mapping[str, Domain]
    notes: Notes
    """What is to be said about it."""

    @property
    def wanted(self) -> SpecFile:
        return SpecFile(functions=self.specs, domains=dict(self.domains))

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
    found, hosts = [], []
    for key, kind, props, place in blocks(document, notes):
        if kind == "domain":
            hosts.append(domains.read_domain(props, place, notes))
        else:
            function = _function(key, props, place, notes, path.parent)
            found.append(function)
            hosts += _domains(function, props, place, notes)
    if not found:
        raise notes.error((), "no service or resource of it is a function (component: fc or fc3)")
    functions = _named(found, notes)
    routed = domains.translate(hosts, {(one.service, one.function): one.name for one in functions}, notes)
    return Project(path=path, functions=functions, domains=routed, notes=notes)


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
    region = _region(props.get("region"))
    spec = translate(function, inside, notes, folder=folder, internet=internet, older=older, region=region)
    return VendorsFunction(
        block=key,
        service=service.name if service else None,
        function=function.name,
        name="",
        region=str(props["region"]) if props.get("region") is not None else None,
        spec=_with_triggers(spec, props.get("triggers"), (*place, "triggers"), notes, folder),
        destinations=destinations.functions(function.asynchronous),
        place=inside,
    )


def _region(given: Any) -> str | None:
    """None for one that is none, such as a template that nobody fills in."""
    return given if isinstance(given, str) and re.fullmatch(r"[\w-]{1,63}", given) else None


def _service(raw: Any, place: Place, notes: Notes) -> _Service | None:
    if raw is None:
        return None
    return read(_Service, {"name": raw} if isinstance(raw, str) else raw, place, notes)


def _domains(
    function: VendorsFunction, props: dict[str, Any], place: Place, notes: Notes
) -> list[domains.VendorsDomain]:
    found, owner = [], (function.service, function.function)
    for name in ("customDomains", "customDomain"):
        given = props.get(name)
        for n, one in enumerate(given if isinstance(given, list) else [given] if given else []):
            where = (*place, name, str(n)) if isinstance(given, list) else (*place, name)
            whole = {"domainName": one} if isinstance(one, str) else one
            found.append(domains.read_domain(whole, where, notes, owner))
    return found


def _named(found: list[VendorsFunction], notes: Notes) -> tuple[VendorsFunction, ...]:
    """With the names that they have here. Raises ConfigurationError if two come to the same one."""
    assigned = names.assign((one.service, one.function) for one in found)
    named = tuple(_told(replace(one, name=assigned[one.service, one.function]), assigned) for one in found)
    taken: dict[str, VendorsFunction] = {}
    for one in named:
        other = taken.setdefault(one.name, one)
        if other is not one:
            raise notes.error(
                one.place, f"{one.original} and {other.original} would both be called {one.name} here: rename one"
            )
    return named


def _with_triggers(spec: FunctionSpec, raw: Any, place: Place, notes: Notes, folder: Path) -> FunctionSpec:
    """Raises ConfigurationError."""
    triggers = read_triggers(raw, place, notes)
    given = [found for one in triggers if (found := one.native(notes)) is not None]
    if not given:
        return spec
    auth = next((one.config.auth for one in triggers if isinstance(one.config, Http)), None)
    fields = spec.model_dump() | {"triggers": given, "auth": auth}
    try:
        return placed(FunctionSpec.model_validate(fields), folder)
    except ValidationError as error:
        inner, message = explain(error)
        raise notes.error(place, f"as a spec, {'.'.join(inner)}: {message}") from None


def _told(one: VendorsFunction, assigned: Mapping[tuple[str | None, str], str]) -> VendorsFunction:
    """With its destinations under the names that they have here."""
    told = {field: DESTINATION + named.here(assigned) for field, named in one.destinations.items()}
    callbacks = one.spec.callbacks.model_copy(update=told)
    return replace(one, spec=one.spec.model_copy(update={"callbacks": callbacks})) if told else one
