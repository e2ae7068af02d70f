"""The description is valid, complete and true: every route, every status, every body."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from gateway.openapi import bodies
from gateway.openapi.document import document
from gateway.openapi.operations import OPERATIONS, TRIGGER_METHODS
from gateway.openapi.parameters import PATH
from gateway.routes import ROUTES
from penstock import errors, views
from penstock.batch import Batch
from penstock.delivery import Attempt, Delivery
from penstock.instance import InstanceState, InstanceView
from penstock.invocation import Failure, FailureCode, Invocation, Request, Response, State
from penstock.store import PoolView
from tests.unit.gateway.conftest import House, failed


def routed() -> set[tuple[str, str]]:
    """Method and path of every native route, as the description writes them."""
    found = set()
    for one in ROUTES:
        route = one.definition
        path = re.sub(r"\{(\w+):[^}]*\}", r"{\1}", route.path)
        methods = TRIGGER_METHODS if route.method == "*" else (route.method,)
        found |= {(method, path) for method in methods}
    return found


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document()["paths"].items():
        for method, one in item.items():
            yield f"{method.upper()} {path}", one


def test_it_is_openapi_31() -> None:
    validate(document())
    assert document()["openapi"] == "3.1.0"


def test_every_route_is_described_and_nothing_else_is() -> None:
    missing = sorted(routed() - OPERATIONS.keys())
    assert missing == [], "say what these routes do in gateway/openapi/operations.py"
    assert sorted(OPERATIONS.keys() - routed()) == [], "no route of gateway/routes.py is so"


def test_operations_have_names_of_their_own() -> None:
    ids = [one.id for one in OPERATIONS.values()]
    assert sorted(set(ids)) == sorted(ids)


def test_every_parameter_of_a_path_is_described() -> None:
    named = {name for _, path in OPERATIONS for name in re.findall(r"\{(\w+)\}", path)}
    assert named == PATH.keys()


def test_every_answer_says_what_it_means() -> None:
    silent = [(where, status) for where, one in operations() for status, said in one["responses"].items()]
    silent = [(where, status) for where, status in silent if not _response(where, status)["description"]]
    assert silent == []


def _response(where: str, status: str) -> dict[str, Any]:
    method, path = where.split()
    said: dict[str, Any] = document()["paths"][path][method.lower()]["responses"][status]
    return said


def test_every_request_may_be_refused_as_the_error_tree_says() -> None:
    for where, one in operations():
        assert "403" in one["responses"], where
        if "/v1/" in where:
            assert {"400", "503"} <= one["responses"].keys(), where
        if "{function}" in where and where != "PUT /v1/functions/{function}":
            assert "function_not_found" in one["responses"]["404"]["description"], where


def test_every_error_of_the_tree_that_a_client_can_get_is_somewhere() -> None:
    text = json.dumps(document()["paths"])
    # Nobody is answered with these; the last is told of lines of a batch.
    ours = {errors.ConfigurationError, errors.InvalidSignature, errors.Stale, errors.BatchSealed}
    found = {one for one in _leaves(errors.PenstockError) if one not in ours}
    missing = sorted({one.code for one in found if f"`{one.code}`" not in text})
    assert missing == [], "name these errors in gateway/openapi/operations.py"


def _leaves(kind: type[errors.PenstockError]) -> Iterator[type[errors.PenstockError]]:
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from [child] if not child.__subclasses__() else _leaves(child)


def test_what_a_spec_says_is_in_it() -> None:
    spec = document()["components"]["schemas"]["FunctionSpec-Input"]
    assert {"image", "handler", "scaling", "retry"} <= spec["properties"].keys()
    assert spec["additionalProperties"] is False
    text, number = spec["properties"]["timeout"]["anyOf"]
    assert re.fullmatch(text["pattern"], "90s")
    assert (number["minimum"], number["maximum"]) == (1, 7 * 86_400)


# What the views make is what the models describe.

NOW = 1_700_000_000_001
RECORD = Invocation(
    function="echo",
    id="id-1",
    state=State.FAILED,
    kind="job",
    token=2,
    deferrals=0,
    priority="normal",
    request=Request(headers=(("Content-Type", "text/plain"),), size=5),
    created_at=NOW,
    started_at=NOW,
    finished_at=NOW,
    max_age_ms=1,
    timeout_ms=1,
    attempts=3,
    instance="echo-1",
    callback="https://example.com",
    response=Response(status=500, headers=(("A", "b"),), size=3),
    failure=Failure(code=FailureCode.FUNCTION_ERROR, message="no", log_tail="line", exit_code=1),
    timeline={"queued": 1.5},
    cold_start=True,
    progress={"progress": 0.5},
)
INSTANCE = InstanceView(
    id="echo-1",
    state=InstanceState.IDLE,
    revision=1,
    in_flight=0,
    started_at=NOW,
    timeline={"pending": 1.0},
    reason="d",
)
POOL = PoolView(
    instances=[INSTANCE],
    desired=1,
    reason="demand",
    drain_rate=2.0,
    cold_starts={"count": 1, "calls": 1, "probability": 0.5, "stages": {"pending": {"p50": 1.0, "p95": 2.0}}},
)
DELIVERY = Delivery(
    function="echo",
    name="d-1",
    of="id-1",
    what="completed",
    url="https://example.com",
    payload="full",
    created_at=NOW,
    turn=1,
    state="dead",
    due_at=None,
    ended_at=NOW,
    made=1,
    spent=1,
    manual=False,
    claimed=False,
    attempts=(Attempt(at=NOW, ms=3, status=500, error="500", sha256="00"),),
)
BATCH = Batch(
    function="echo",
    id="b-1",
    created_at=NOW,
    finished_at=None,
    lines=2,
    accepted=1,
    seal=None,
    counts={"queued": 1},
    callback=None,
)


@pytest.mark.parametrize(
    ("model", "view"),
    [
        (bodies.Invocation, views.invocation(RECORD)),
        (bodies.Instances, views.instances(POOL)),
        (bodies.Delivery, views.delivery(DELIVERY)),
        (bodies.BatchView, views.batch(BATCH)),
        (bodies.BatchCallback, views.batch_callback(BATCH)),
        (bodies.Callback, views.callback(RECORD, "completed", {"a": 1})),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_view_is_as_it_is_described(model: type[bodies.Answer], view: dict[str, Any]) -> None:
    _validate(model.__name__, view)
    assert set(view) == {field.alias or name for name, field in model.model_fields.items()} - OPTIONAL.get(
        model, set()
    )


OPTIONAL: dict[type[bodies.Answer], set[str]] = {bodies.Delivery: {"batch"}}
"""Members that this view does not have."""


def _validate(name: str, body: Any) -> None:
    components = document()["components"]
    known = name if name in components["schemas"] else f"{name}-Output"
    schema = {"$ref": f"#/components/schemas/{known}", "components": components}
    Draft202012Validator(schema).validate(body)


def _check(where: str, status: int, body: Any) -> None:
    """What a gateway answered is among what is described for this operation."""
    method, path = where.split()
    said = document()["paths"][path][method.lower()]["responses"][str(status)]
    [content] = said["content"].values()
    Draft202012Validator({**content["schema"], "components": document()["components"]}).validate(body)


async def test_what_a_gateway_answers_is_as_it_is_described(house: House) -> None:
    f = f"/v1/functions/{house.function}"
    done = await house.submit()
    await house.finish(await house.take())
    dead = await house.submit()
    await house.finish(await house.take(), failed())
    waits = await house.submit()
    asked = [
        ("GET", "/v1/functions", "/v1/functions", None, 200),
        ("GET", "/v1/functions/{function}", f, None, 200),
        ("GET", "/v1/functions/{function}", "/v1/functions/nobody", None, 404),
        ("PUT", "/v1/functions/{function}", f, {"image": "x", "timeout": "90s"}, 200),
        ("PUT", "/v1/functions/{function}", "/v1/functions/other", {"image": "x"}, 201),
        ("PUT", "/v1/functions/{function}", f, {"image": "x", "timeout": "soon"}, 400),
        ("PUT", "/v1/functions/{function}", f, {"command": ["x"]}, 403),
        ("DELETE", "/v1/functions/{function}", "/v1/functions/other", None, 200),
        ("POST", "/v1/functions/{function}/versions", f"{f}/versions", {"description": "d"}, 201),
        ("POST", "/v1/functions/{function}/versions", f"{f}/versions", None, 200),
        ("GET", "/v1/functions/{function}/versions", f"{f}/versions", None, 200),
        ("GET", "/v1/functions/{function}/versions/{version}", f"{f}/versions/1", None, 200),
        ("PUT", "/v1/functions/{function}/aliases/{alias}", f"{f}/aliases/a", {"version": "1"}, 201),
        ("PUT", "/v1/functions/{function}/aliases/{alias}", f"{f}/aliases/a", {"version": "2"}, 404),
        ("GET", "/v1/functions/{function}/aliases/{alias}", f"{f}/aliases/a", None, 200),
        ("GET", "/v1/functions/{function}/aliases", f"{f}/aliases", None, 200),
        ("DELETE", "/v1/functions/{function}/versions/{version}", f"{f}/versions/1", None, 409),
        ("DELETE", "/v1/functions/{function}/aliases/{alias}", f"{f}/aliases/a", None, 200),
        ("PUT", "/v1/domains/{name}", "/v1/domains/a.example", {"routes": [{"function": "f"}]}, 201),
        ("PUT", "/v1/domains/{name}", "/v1/domains/localhost", {"routes": [{"function": "f"}]}, 400),
        ("GET", "/v1/domains/{name}", "/v1/domains/a.example", None, 200),
        ("GET", "/v1/domains", "/v1/domains", None, 200),
        ("DELETE", "/v1/domains/{name}", "/v1/domains/a.example", None, 200),
        ("DELETE", "/v1/domains/{name}", "/v1/domains/a.example", None, 404),
        ("GET", "/v1/functions/{function}/invocations", f"{f}/invocations", None, 200),
        ("GET", "/v1/functions/{function}/invocations", f"{f}/invocations?limit=0", None, 400),
        ("GET", "/v1/functions/{function}/invocations/{id}", f"{f}/invocations/{done}", None, 200),
        ("GET", "/v1/functions/{function}/invocations/{id}", f"{f}/invocations/x", None, 404),
        ("GET", "/v1/functions/{function}/invocations/{id}/result", f"{f}/invocations/{waits}/result", None, 202),
        ("DELETE", "/v1/functions/{function}/invocations/{id}", f"{f}/invocations/{waits}", None, 200),
        ("DELETE", "/v1/functions/{function}/invocations/{id}", f"{f}/invocations/{waits}", None, 409),
        ("POST", "/v1/functions/{function}/invocations/{id}/retry", f"{f}/invocations/{done}/retry", None, 202),
        ("GET", "/v1/functions/{function}/dead-letters", f"{f}/dead-letters", None, 200),
        (
            "POST",
            "/v1/functions/{function}/dead-letters/redrive",
            f"{f}/dead-letters/redrive",
            {"ids": [dead]},
            200,
        ),
        ("POST", "/v1/functions/{function}/dead-letters/redrive", f"{f}/dead-letters/redrive", {"id": 1}, 400),
        ("DELETE", "/v1/functions/{function}/queue", f"{f}/queue", None, 200),
        ("GET", "/v1/functions/{function}/deliveries", f"{f}/deliveries", None, 200),
        ("GET", "/v1/functions/{function}/deliveries/{id}", f"{f}/deliveries/x", None, 404),
        (
            "POST",
            "/v1/functions/{function}/deliveries/redeliver",
            f"{f}/deliveries/redeliver",
            {"since": "2026-01-01"},
            202,
        ),
        ("GET", "/v1/functions/{function}/instances", f"{f}/instances", None, 200),
        ("GET", "/v1/functions/{function}/instances/{instance}/logs", f"{f}/instances/x/logs", None, 503),
        ("POST", "/v1/functions/{function}/pause", f"{f}/pause", None, 200),
        ("POST", "/v1/functions/{function}/resume", f"{f}/resume", None, 200),
        ("POST", "/v1/functions/{function}/warmup", f"{f}/warmup", {"instances": 2}, 202),
        (
            "PUT",
            "/v1/functions/{function}/provision-config",
            f"{f}/provision-config",
            {"target": 2, "qualifier": "q"},
            200,
        ),
        ("GET", "/v1/functions/{function}/provision-config", f"{f}/provision-config", None, 200),
        ("GET", "/v1/provision-configs", "/v1/provision-configs", None, 200),
        ("DELETE", "/v1/functions/{function}/provision-config", f"{f}/provision-config", None, 200),
        ("GET", "/v1/cost", "/v1/cost?card_price=2", None, 200),
        ("GET", "/v1/functions/{function}/metrics", f"{f}/metrics?name=P99&step=60", None, 200),
        ("GET", "/v1/functions/{function}/metrics", f"{f}/metrics?to=99999999999999999", None, 400),
        ("GET", "/v1/keys", "/v1/keys", None, 200),
        ("DELETE", "/v1/keys/{key}", "/v1/keys/x", None, 404),
        ("POST", "/v1/keys", "/v1/keys", {"scopes": ["fly"]}, 400),
        ("GET", "/v1/gpus", "/v1/gpus", None, 200),
        ("POST", "/v1/gpus/{gpu}/pause", "/v1/gpus/x/pause", None, 400),
        ("GET", "/healthz", "/healthz", None, 200),
        ("GET", "/readyz", "/readyz", None, 503),
        ("GET", "/openapi.json", "/openapi.json", None, 200),
    ]
    for method, template, path, body, status in asked:
        reply = (
            await house.client.request(method, path, json=body)
            if body
            else await house.client.request(method, path)
        )
        assert reply.status == status, (method, path, await reply.text())
        _check(f"{method} {template}", status, await reply.json(content_type=None))


async def test_a_batch_is_as_it_is_described(house: House) -> None:
    base = f"/v1/functions/{house.function}"
    reply = await house.client.post(f"{base}/invocations:batch", data=b'1\n{"a": 2}\nno json\n')
    assert reply.status == 202
    told = await reply.json()
    _check("POST /v1/functions/{function}/invocations:batch", 202, told)
    for suffix in ("", "/invocations"):
        reply = await house.client.get(f"{base}/batches/{told['batch']}{suffix}")
        _check(f"GET /v1/functions/{{function}}/batches/{{id}}{suffix}", 200, await reply.json())
    reply = await house.client.delete(f"{base}/batches/{told['batch']}")
    _check("DELETE /v1/functions/{function}/batches/{id}", 200, await reply.json())


async def test_a_body_that_is_too_long_is_the_same_problem_everywhere(house: House) -> None:
    long = b" " * (house.gateway.settings.max_body + 1)
    base = f"/v1/functions/{house.function}"
    for method, path in (
        ("PUT", base),
        ("PUT", f"{base}/provision-config"),
        ("POST", f"{base}/warmup"),
        ("POST", f"{base}/dead-letters/redrive"),
        ("POST", f"{base}/deliveries/redeliver"),
        ("POST", f"{base}/invocations"),
        ("POST", f"{base}/invocations:batch"),
    ):
        reply = await house.client.request(method, path, data=long)
        assert (reply.status, (await reply.json())["code"]) == (413, "payload_too_large"), path


async def test_it_is_served_and_the_page_asks_nobody_else(house: House) -> None:
    reply = await house.client.get("/openapi.json")
    assert await reply.json() == json.loads(json.dumps(document()))
    page = await house.client.get("/docs")
    assert page.content_type == "text/html"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    links = re.findall(r'(?:src|href)="([^"]*)"', await page.text())
    assert len(links) == 5
    for link in links:
        assert link.startswith("/"), "of this gateway"
        part = await house.client.get(link)
        assert part.status == 200, link
        assert link == "/openapi.json" or part.headers["X-Content-Type-Options"] == "nosniff"
    missing = await house.client.get("/docs/..%2f__init__.py")
    assert missing.status == 404
    _check("GET /docs/{asset}", 404, await missing.json())


async def test_an_api_key_is_as_it_is_described(house: House) -> None:
    made = await house.client.post("/v1/keys", json={"name": "all", "scopes": ["*:*"], "limits": {"rate": "9/s"}})
    told = await made.json()
    _check("POST /v1/keys", 201, told)
    headers = {"X-Api-Key": told["key"]}
    _check("GET /v1/keys", 200, await (await house.client.get("/v1/keys", headers=headers)).json())
    revoked = await house.client.delete(f"/v1/keys/{told['id']}", headers=headers)
    _check("DELETE /v1/keys/{key}", 200, await revoked.json())
    _check("GET /v1/keys", 401, await (await house.client.get("/v1/keys", headers=headers)).json())
