"""Which requests are traced, what is told of them, and what goes into the record."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from penstock import keys
from penstock.telemetry.traces import NOT_TRACED
from penstock.tracecontext import TraceContext
from tests.unit.gateway.conftest import House, answer, failed
from tests.unit.spans import CALLER, SPAN, TRACE, Recorded, id_of, links_of, parent_of, trace_of

UNSAMPLED = CALLER[:-2] + "00"
SEND = "send {}"


def record_spans(house: House, **options: Any) -> Recorded:
    recorded = Recorded(**options)
    house.gateway.telemetry.traces = recorded.traces
    return recorded


def meta(house: House, job: str) -> dict[str, Any]:
    stored = house.redis.cli("HGET", keys.record(house.function, job), "meta")
    parsed: dict[str, Any] = json.loads(stored.partition("\n")[0])
    return parsed


async def test_a_call_by_chance_begins_a_trace(house: House) -> None:
    recorded = record_spans(house, ratio=1.0)
    job = await house.submit()
    (send,) = recorded.named(SEND.format(house.function))
    (server,) = recorded.named("POST /v1/functions/{function}/invocations")
    assert (parent_of(server), parent_of(send)) == (None, id_of(server))
    assert (server.kind, send.kind) == (SpanKind.SERVER, SpanKind.PRODUCER)
    assert (await house.record(job)).trace == TraceContext(trace_of(send), id_of(send), send.context.trace_flags)
    assert server.attributes is not None
    assert server.attributes["http.response.status_code"] == 202


@pytest.mark.parametrize("given", [None, "garbage"])
async def test_a_call_that_is_not_traced_leaves_its_record_as_it_was(house: House, given: str | None) -> None:
    plain = await house.submit()
    recorded = record_spans(house, ratio=0.0)
    job = await house.submit(**({} if given is None else {"traceparent": given}))
    assert meta(house, job) == meta(house, plain)
    assert recorded.spans == []


async def test_whose_client_says_so_is_traced_whatever_the_chance(house: House) -> None:
    recorded = record_spans(house, ratio=0.0)
    response = await house.post(Prefer="respond-async", traceparent=CALLER, tracestate="a=1")
    (server,) = recorded.named("POST /v1/functions/{function}/invocations")
    assert (trace_of(server), parent_of(server)) == (TRACE, SPAN)
    assert response.headers["Server-Timing"] == f'traceparent;desc="00-{TRACE}-{id_of(server)}-01"'
    record = await house.record((await response.json())["id"])
    assert record.trace is not None
    assert (record.trace.trace_id, record.trace.state) == (TRACE, "a=1")


@pytest.mark.parametrize("tracing", [True, False])
async def test_whose_client_says_no_is_not_and_its_context_passes_through(house: House, tracing: bool) -> None:
    recorded = record_spans(house, ratio=1.0)
    if not tracing:
        house.gateway.telemetry.traces = NOT_TRACED
    response = await house.post(Prefer="respond-async", traceparent=UNSAMPLED, tracestate="a=1")
    job = (await response.json())["id"]
    assert meta(house, job)["trace"] == f"{UNSAMPLED} a=1"
    assert recorded.spans == []
    assert "Server-Timing" not in response.headers


async def test_a_caller_that_is_not_trusted_decides_nothing_and_is_linked_to(house: House) -> None:
    recorded = record_spans(house, ratio=1.0, trust_caller=False)
    await house.submit(traceparent=UNSAMPLED)
    (server,) = recorded.named("POST /v1/functions/{function}/invocations")
    assert parent_of(server) is None
    assert trace_of(server) != TRACE
    assert links_of(server) == [SPAN]
    untraced = record_spans(house, ratio=0.0, trust_caller=False)
    await house.submit(traceparent=CALLER)
    assert untraced.spans == []


async def test_two_contexts_are_none(house: House) -> None:
    recorded = record_spans(house, ratio=0.0)
    headers = [("traceparent", CALLER), ("traceparent", CALLER), ("Prefer", "respond-async")]
    response = await house.client.post(house.calls, data=b"x", headers=headers)
    assert "trace" not in meta(house, (await response.json())["id"])
    assert recorded.spans == []


async def test_an_http_call_keeps_its_context_in_one_place(house: House) -> None:
    record_spans(house, ratio=0.0)
    headers = {"traceparent": UNSAMPLED, "tracestate": "a=1", "Prefer": "respond-async", "X-Kept": "yes"}
    response = await house.client.get(f"/fn/{house.function}/x", headers=headers)
    record = await house.record((await response.json())["id"])
    names = {name.lower() for name, _ in record.request.headers}
    assert "x-kept" in names
    assert not names & {"traceparent", "tracestate"}
    assert record.trace is not None
    assert record.trace.dump() == f"{UNSAMPLED} a=1"


async def test_errors_of_the_gateway_are_told_with_their_code(house: House) -> None:
    recorded = record_spans(house)
    missing = await house.client.post("/v1/functions/nobody/invocations", data=b"x")
    assert missing.status == 404
    (span,) = recorded.spans
    assert span.status.status_code is StatusCode.UNSET, "a client's mistake is no error of the server"
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == 404

    await house.deploy(queue={"max_depth": 1})
    await house.submit()
    assert (await house.post(Prefer="respond-async")).status == 429
    send = recorded.named(SEND.format(house.function))[-1]
    assert send.status.status_code is StatusCode.ERROR
    assert send.attributes is not None
    assert send.attributes["error.type"] == "queue_full"


async def test_an_answer_that_failed_is_an_error(house: House) -> None:
    recorded = record_spans(house)
    waiting = house.client.post(house.calls, data=b"x")
    call = asyncio.ensure_future(waiting)
    await house.finish(await house.take(), failed())
    assert (await call).status == 502
    (server,) = recorded.named("POST /v1/functions/{function}/invocations")
    assert server.status.status_code is StatusCode.ERROR


async def test_who_only_looks_is_not_traced(house: House) -> None:
    job = await house.submit()
    recorded = record_spans(house)
    for path in (f"{house.calls}/{job}", house.calls, "/v1/functions", "/healthz"):
        assert (await house.client.get(path, headers={"traceparent": CALLER})).status == 200
    assert recorded.spans == []


async def test_what_is_redriven_has_traces_of_their_own(house: House) -> None:
    recorded = record_spans(house)
    jobs = [await house.submit() for _ in range(2)]
    for _ in jobs:
        await house.finish(await house.take(), failed())
    before = {id_of(span) for span in recorded.named(SEND.format(house.function))}
    response = await house.client.post(f"/v1/functions/{house.function}/dead-letters/redrive")
    assert (await response.json())["redriven"] == 2
    (request,) = recorded.named("POST /v1/functions/{function}/dead-letters/redrive")
    again = recorded.named(SEND.format(house.function))[2:]
    assert {parent_of(span) for span in again} == {None}
    assert {links_of(span)[0] for span in again} == {id_of(request)}
    assert {links_of(span)[1] for span in again} == before
    assert len({trace_of(span) for span in again}) == 2


@pytest.mark.parametrize(
    "path",
    [
        "/2015-03-31/functions/{}/invocations",
        "/2023-03-30/functions/{}/invocations",
        "/v2/{}/runsync",
        "/v1/models/someone/{}/predictions",
    ],
)
async def test_calls_of_other_vendors_clients_are_traced(house: House, path: str) -> None:
    await house.deploy(event="json")
    recorded = record_spans(house, ratio=0.0)
    headers = {"traceparent": CALLER, "Prefer": "wait"}
    call = asyncio.ensure_future(
        house.client.post(path.format(house.function), json={"input": {}}, headers=headers)
    )
    run = await house.take()
    await house.finish(run, answer(b"{}"))
    response = await call
    assert response.status < 300, await response.text()
    assert run.invocation.trace is not None
    assert run.invocation.trace.trace_id == TRACE
    assert [span.kind for span in recorded.spans] == [SpanKind.PRODUCER, SpanKind.SERVER]
