"""The OpenAPI 3.1 document, put together once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway.openapi import bodies
from gateway.openapi.operations import OPEN, OPERATIONS
from gateway.openapi.parameters import PATH
from gateway.openapi.parts import HEADERS, Body, Operation, Parameter
from penstock.errors import (
    Forbidden,
    InvalidRequest,
    Overloaded,
    PenstockError,
    RequestTimedOut,
    StoreUnavailable,
    Unauthorized,
)

Json = dict[str, Any]
_Mode = Literal["validation", "serialization"]

_ABOUT = """Functions on your own machines: call them and wait, submit jobs, or have callbacks told.

Errors are `application/problem+json` (RFC 9457) with a `code` to decide by. Times are RFC 3339 in UTC. Not
described here are the dialects of other vendors' clients, which this gateway speaks on paths of their own
(docs/dialects.md).
"""
SECURITY: Json = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key: `Authorization: Bearer KEY`."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "The same key."},
}
"""How a caller says who it is; a gateway without keys asks for none."""


@cache
def document() -> Json:
    """The whole of it. The same object each time: nobody may change it."""
    wanted: list[tuple[type[BaseModel], _Mode]] = [(model, "validation") for model in bodies.REQUESTS]
    wanted += [(model, "serialization") for model in bodies.ANSWERS]
    refs, defs = models_json_schema(wanted, ref_template="#/components/schemas/{model}")
    paths: Json = {}
    for (method, path), operation in OPERATIONS.items():
        paths.setdefault(path, {})[method.lower()] = _operation(path, operation, refs)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Penstock",
            "version": version("penstock"),
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": tag} for tag in dict.fromkeys(one.tag for one in OPERATIONS.values())],
        "security": [{}, *({name: []} for name in SECURITY)],
        "paths": paths,
        "webhooks": {
            "invocation": _webhook("Something happened to an invocation", refs[bodies.Callback, "serialization"]),
            "batch": _webhook("All jobs of a batch have ended", refs[bodies.BatchCallback, "serialization"]),
        },
        "components": {"schemas": defs["$defs"], "securitySchemes": SECURITY},
    }


_Refs = Mapping[Any, Json]
"""By model and mode."""


def _operation(path: str, one: Operation, refs: _Refs) -> Json:
    parameters = [_path_parameter(name) for name in re.findall(r"\{(\w+)\}", path)]
    found: Json = {
        "operationId": one.id,
        "tags": [one.tag],
        "summary": one.summary,
        "parameters": parameters + [_parameter(parameter) for parameter in one.parameters],
        "responses": {
            **{str(status): _answer(status, body, refs) for status, body in one.answers.items()},
            **_problems(path, one, refs),
        },
    }
    if one.text:
        found["description"] = one.text
    if one.body is not None:
        found["requestBody"] = {
            "description": one.body.text,
            "required": not one.body.optional,
            "content": {one.body.media: {"schema": _schema(one.body, refs, "validation")}},
        }
    return found


def _path_parameter(name: str) -> Json:
    schema, text = PATH[name]
    return _parameter(Parameter(name=name, place="path", schema=schema, text=text)) | {"required": True}


def _parameter(one: Parameter) -> Json:
    return {"name": one.name, "in": one.place, "schema": dict(one.schema), "description": one.text}


def _answer(status: int | str, body: Body, refs: _Refs) -> Json:
    text = body.text or (HTTPStatus(status).phrase if isinstance(status, int) else "")
    found: Json = {"description": text}
    if body.media:
        found["content"] = {body.media: {"schema": _schema(body, refs, "serialization")}}
    if body.headers:
        found["headers"] = {name: _header(name) for name in body.headers}
    return found


def _schema(body: Body, refs: _Refs, mode: _Mode) -> Json:
    return dict(body.schema) if body.model is None else refs[body.model, mode]


def _header(name: str) -> Json:
    schema, text = HEADERS[name]
    return {"schema": dict(schema), "description": text}


def _problems(path: str, one: Operation, refs: _Refs) -> Json:
    """By status, with the codes that come with it."""
    told: dict[int, list[str]] = {status: [text] for status, text in one.failures.items()}
    for error in dict.fromkeys(_errors(path, one)):
        told.setdefault(error.status, []).append(f"`{error.code}`: {_meaning(error)}")
    found: Json = {}
    for status in sorted(told.keys() - one.answers.keys()):
        problem = Body(model=bodies.Problem, media="application/problem+json", text=" · ".join(told[status]))
        found[str(status)] = _answer(status, problem, refs)
        if status in (429, 503):
            found[str(status)]["headers"] = {"Retry-After": _header("Retry-After")}
    return found


def _errors(path: str, one: Operation) -> Iterable[type[PenstockError]]:
    yield from dict.fromkeys(one.errors)
    yield Forbidden
    if path not in OPEN:
        yield Unauthorized
    if one.body is not None:
        yield RequestTimedOut
    if path.startswith(("/v1/", "/fn/")):
        yield InvalidRequest
        yield StoreUnavailable


_MEANINGS = {
    "alias_not_found": "it has no alias of that name.",
    "already_exists": "there is one of that name, and it was not to be replaced.",
    "domain_not_found": "no such domain is routed here.",
    "version_in_use": "an alias points to it, or it has work; the detail says which.",
    "version_not_found": "it has no version of that number.",
    "batch_expired": "it existed, and is past its retention.",
    "batch_not_found": "no batch of this function has that id.",
    "already_finished": "it had ended.",
    "delivery_not_found": "the ledger has no such delivery.",
    "forbidden": "the caller may not do this.",
    "function_not_found": "there is none of that name.",
    "idempotency_conflict": "the key was used for another request.",
    "instance_not_found": "it has no such instance.",
    "invalid_request": "the detail says what is wrong with it.",
    "invocation_expired": "it existed, and is past its retention.",
    "invocation_not_found": "no invocation of this function has that id.",
    "no_leader": "no workers process leads.",
    "paused": "an operator paused it.",
    "payload_too_large": "the body is longer than this gateway takes.",
    "queue_full": "come again after Retry-After.",
    "request_timeout": "the rest of the body did not come in time.",
    "topic_not_found": "no function listens to it.",
    "unsupported_media_type": "an event in a form that is not understood.",
    "key_not_found": "no API key has that id.",
    "name_taken": "another tenant has a function of that name.",
    "rate_limited": "more than the function, or the caller's key, allows; come again after Retry-After.",
    "unauthorized": "there are API keys, and the request has none that is good.",
    "store_unavailable": "Redis does not answer, or takes no writes.",
}


def _meaning(error: type[PenstockError]) -> str:
    return _MEANINGS.get(error.code, "come again later." if issubclass(error, Overloaded) else "see the detail.")


def _webhook(summary: str, schema: Json) -> Json:
    signed: Sequence[str] = ("webhook-id", "webhook-timestamp", "webhook-signature")
    return {
        "post": {
            "summary": summary,
            "description": "Sent to the URL that a request or a spec names, signed as Standard Webhooks says.",
            "parameters": [
                {"name": name, "in": "header", "required": True, "schema": {"type": "string"}} for name in signed
            ],
            "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
            "responses": {
                "2XX": {"description": "Heard."},
                "410": {"description": "Tell this endpoint nothing more."},
            },
        }
    }
