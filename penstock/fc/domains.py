"""Custom domains of an s.yaml: `customDomains` beside a function (1.0.0), or a component of their own
(fc3-domain)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field, ValidationError

from penstock.domains import Domain, check_name, merged
from penstock.fc.names import original
from penstock.fc.notes import Notes, Place
from penstock.fc.reading import read
from penstock.fc.schema import Part
from penstock.specfile import explain

_AUTO = "auto"
"""A name that the vendor makes up."""

Owner = tuple[str | None, str]
"""Service and name of a function, as the vendor has them."""


class _Rule(Part):
    match: str
    replacement: str


class _Rewrite(Part):
    equal_rules: tuple[_Rule, ...] = ()
    wildcard_rules: tuple[_Rule, ...] = ()
    regex_rules: tuple[_Rule, ...] = ()


class _Route(Part):
    path: str = "/*"
    service_name: str | None = None
    function_name: str | None = None
    qualifier: str | None = None
    methods: tuple[str, ...] = ()
    rewrite_config: _Rewrite = Field(default_factory=_Rewrite)


class _Routes(Part):
    routes: tuple[_Route, ...] = ()


class _Domain(Part):
    domain_name: str
    protocol: str = "HTTP"
    route_configs: tuple[_Route, ...] = ()
    route_config: _Routes = Field(default_factory=_Routes)


@dataclass(frozen=True, kw_only=True)
class VendorsDomain:
    given: _Domain
    owner: Owner | None
    """The function that it stands beside; None: it stands alone."""
    place: Place
    """Where it is in the file."""


def read_domain(raw: Any, place: Place, notes: Notes, owner: Owner | None = None) -> VendorsDomain:
    """Raises ConfigurationError."""
    return VendorsDomain(given=read(_Domain, raw, place, notes), owner=owner, place=place)


def translate(found: Iterable[VendorsDomain], ours: Mapping[Owner, str], notes: Notes) -> dict[str, Domain]:
    """By name. `ours`: what the file's functions are called here. Raises ConfigurationError."""
    domains: dict[str, Domain] = {}
    for one in found:
        if one.given.domain_name.lower() == _AUTO:
            own = ours[one.owner] if one.owner is not None else "FUNCTION"
            notes.warn(one.place, f"auto is left out, since no domain is made up here: call /fn/{own}/")
            continue
        if one.given.protocol.upper() == "HTTPS":
            notes.warn(one.place, "protocol HTTPS is up to the gateway, and to what stands before it")
        try:
            name = check_name(one.given.domain_name)
            routes = [_route(given, one, ours, notes) for given in _routes(one)]
            if not routes:
                notes.warn(one.place, f"{name} leads nowhere: it has no routes")
                continue
            domains[name] = merged(domains, name, Domain.model_validate({"routes": routes}).routes)
        except ValidationError as error:
            inner, message = explain(error, Domain)
            raise notes.error((*one.place, *inner), message) from None
        except ValueError as error:
            raise notes.error((*one.place, "domainName"), str(error)) from None
    return domains


def _routes(one: VendorsDomain) -> tuple[_Route, ...]:
    given = one.given.route_configs or one.given.route_config.routes
    return given or ((_Route(),) if one.owner is not None else ())


def _route(given: _Route, one: VendorsDomain, ours: Mapping[Owner, str], notes: Notes) -> dict[str, Any]:
    service = given.service_name or (one.owner[0] if one.owner else None)
    if given.function_name is None and one.owner is None:
        raise notes.error(one.place, f"the route {given.path} names no function: give functionName")
    owner = (service, given.function_name) if given.function_name is not None else one.owner
    assert owner is not None, "a route without a name is its owner's"
    rules = given.rewrite_config
    if rules.regex_rules:
        notes.warn(one.place, "rewriteConfig.regexRules are ignored: give equalRules or wildcardRules")
    return {
        "path": given.path,
        "function": ours.get(owner) or ours.get((None, owner[1])) or original(*owner),
        "qualifier": given.qualifier,
        "methods": [method.upper() for method in given.methods],
        "rewrite": [
            {"match": rule.match, "replacement": rule.replacement}
            for rule in (*rules.equal_rules, *rules.wildcard_rules)
        ],
    }
