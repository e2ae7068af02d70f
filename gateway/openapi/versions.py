"""What the routes of versions, aliases and domains do, as in gateway/openapi/operations.py."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.openapi import bodies
from gateway.openapi.parts import Body, Operation, header
from penstock.domains import Domain
from penstock.errors import (
    AliasNotFound,
    AlreadyExists,
    DomainNotFound,
    FunctionNotFound,
    PayloadTooLarge,
    VersionInUse,
    VersionNotFound,
)

_F = "/v1/functions/{function}"
_DOMAIN = "/v1/domains/{name}"

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("POST", f"{_F}/versions"): Operation(
        id="publishVersion",
        tag="Versions",
        summary="Publish what is deployed as the next version, which never changes",
        body=Body(model=bodies.Publication, optional=True),
        answers={
            200: Body(model=bodies.Version, text="What is deployed is the last version already."),
            201: Body(model=bodies.Version, text="The next version."),
        },
        errors=(FunctionNotFound, PayloadTooLarge),
    ),
    ("GET", f"{_F}/versions"): Operation(
        id="listVersions",
        tag="Versions",
        summary="Published versions, the latest first",
        answers={200: Body(model=bodies.Versions)},
        errors=(FunctionNotFound,),
    ),
    ("GET", f"{_F}/versions/{{version}}"): Operation(
        id="getVersion",
        tag="Versions",
        summary="One of them, and whether it can be invoked",
        answers={200: Body(model=bodies.Version)},
        errors=(FunctionNotFound, VersionNotFound),
    ),
    ("DELETE", f"{_F}/versions/{{version}}"): Operation(
        id="deleteVersion",
        tag="Versions",
        summary="Delete one that no alias points to and that has no work",
        answers={200: Body(model=bodies.Removed)},
        errors=(FunctionNotFound, VersionNotFound, VersionInUse),
    ),
    ("GET", f"{_F}/aliases"): Operation(
        id="listAliases",
        tag="Versions",
        summary="Names that stand for versions",
        answers={200: Body(model=bodies.Aliases)},
        errors=(FunctionNotFound,),
    ),
    ("PUT", f"{_F}/aliases/{{alias}}"): Operation(
        id="putAlias",
        tag="Versions",
        summary="Point an alias to a version, and give others a share of its calls",
        body=Body(model=bodies.AliasFields),
        answers={
            200: Body(model=bodies.AliasView, text="It points there now."),
            201: Body(model=bodies.AliasView, text="New."),
        },
        errors=(FunctionNotFound, VersionNotFound, PayloadTooLarge),
    ),
    ("GET", f"{_F}/aliases/{{alias}}"): Operation(
        id="getAlias",
        tag="Versions",
        summary="Which versions it stands for, and their shares",
        answers={200: Body(model=bodies.AliasView)},
        errors=(FunctionNotFound, AliasNotFound),
    ),
    ("DELETE", f"{_F}/aliases/{{alias}}"): Operation(
        id="deleteAlias",
        tag="Versions",
        summary="Delete it; its versions stay",
        answers={200: Body(model=bodies.Removed)},
        errors=(FunctionNotFound, AliasNotFound),
    ),
    ("GET", "/v1/domains"): Operation(
        id="listDomains",
        tag="Domains",
        summary="Host names whose paths lead to functions",
        answers={200: Body(model=bodies.Domains)},
    ),
    ("PUT", _DOMAIN): Operation(
        id="putDomain",
        tag="Domains",
        summary="Say where the paths of a host name lead",
        body=Body(model=Domain),
        parameters=(header("If-None-Match", {"type": "string"}, "`*`: only if there is none."),),
        answers={
            200: Body(model=bodies.DomainView, text="Its routes are these now."),
            201: Body(model=bodies.DomainView, text="New."),
        },
        errors=(AlreadyExists, PayloadTooLarge),
    ),
    ("GET", _DOMAIN): Operation(
        id="getDomain",
        tag="Domains",
        summary="Where its paths lead",
        answers={200: Body(model=bodies.DomainView)},
        errors=(DomainNotFound,),
    ),
    ("DELETE", _DOMAIN): Operation(
        id="deleteDomain",
        tag="Domains",
        summary="Route it no longer",
        answers={200: Body(model=bodies.Removed)},
        errors=(DomainNotFound,),
    ),
}
