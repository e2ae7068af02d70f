"""A trace of an invocation, as an OTLP receiver gets it: every span, its parent, its times. And nothing of it for
an invocation that is not traced, and no call that waits for a receiver."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
import requests

from tests.e2e.harness import CALLBACK_SECRET, Json, Stack, wait_until
from tests.e2e.otlp import Collector, Told
from tests.e2e.receiver import Receiver
from tests.e2e.specs import folder

_MS = 1_000_000
_BODY = {"text": "SECRET-BODY"}


class Traced:
    """A deployment that traces what its callers say, and nothing else."""

    def __init__(self, stack: Stack, collector: Collector) -> None:
        self.stack = stack
        self.collector = collector


@pytest.fixture(scope="module")
def traced() -> Iterator[Traced]:
    with Collector() as collector:
        stack = Stack("process", TELEMETRY__OTLP_ENDPOINT=collector.url, TELEMETRY__SAMPLE_RATIO="0")
        stack.environment["OTEL_BSP_SCHEDULE_DELAY"] = "100"
        with stack:
            stack.start().deploy({"traced": _function(), "other": _function()})
            yield Traced(stack, collector)


def _function() -> Json:
    return folder("traced", handler="app:app", retry={"backoff": "200ms"}, scaling={"idle_timeout": "60s"})


def _caller(*, sampled: bool = True) -> tuple[str, str, dict[str, str]]:
    """Trace, span and headers of somebody who calls."""
    trace, span = secrets.token_hex(16), secrets.token_hex(8)
    return trace, span, {"traceparent": f"00-{trace}-{span}-{'01' if sampled else '00'}", "tracestate": "shop=7"}


def test_a_cold_job_with_a_retry_and_a_callback_is_one_trace(traced: Traced, receiver: Receiver) -> None:
    stack, collector = traced.stack, traced.collector
    trace, caller, headers = _caller()
    headers |= {"Penstock-Callback-Url": f"{receiver.url}/SECRET-PATH", "Prefer": "respond-async"}
    answer = requests.post(stack.path("traced") + "?token=SECRET-QUERY", json=_BODY, headers=headers, timeout=10)
    job = answer.json()["id"]
    assert stack.finished("traced", job)["attempt"] == 2
    wait_until(lambda: receiver.of(job), 15, "the callback comes")
    ends = {"POST /v1/functions/{function}/invocations", "callback completed"}
    spans = collector.until(trace, lambda all_: ends <= _names(all_))

    (server,) = _named(spans, "POST /v1/functions/{function}/invocations")
    (send,) = _named(spans, "send traced")
    first_wait, second_wait = _named(spans, "wait traced")
    (cold,) = _named(spans, "cold start traced")
    first, second = _named(spans, "process traced")
    first_call, second_call = _named(spans, "POST /invoke")
    (callback,) = _named(spans, "callback completed")
    stages = [one for one in spans if one.parent == cold.id]
    assert [one.name for one in stages] == ["pending", "starting", "listening", "initializing"]
    assert len(spans) == 9 + len(stages) + 1, "and no other"

    assert (server.parent, server.kind, server.service) == (caller, "server", "penstock-gateway")
    assert (send.parent, send.kind, send.service) == (server.id, "producer", "penstock-gateway")
    assert {one.parent for one in (first_wait, second_wait, first, second, callback)} == {send.id}
    assert cold.parent == first_wait.id
    assert (first_call.parent, second_call.parent) == (first.id, second.id)
    assert (first.kind, first_call.kind, callback.kind) == ("consumer", "client", "client")
    assert {one.service for one in spans} == {"penstock-gateway", "penstock-workers"}

    _nests(server, send)
    _nests(first_wait, cold)
    for stage in stages:
        _nests(cold, stage)
    _nests(first, first_call)
    _nests(second, second_call)
    assert send.begin <= first_wait.begin + _MS, "times of waits are Redis's, in whole milliseconds"
    for before, after in pairwise((first_wait, first, second_wait, second, callback)):
        assert before.end <= after.begin + _MS, (before, after)
    assert cold.end - cold.begin >= 10 * _MS, "an interpreter started in it"

    assert answer.headers["Server-Timing"] == f'traceparent;desc="00-{trace}-{server.id}-01"'
    assert server.attributes["http.response.status_code"] == 202
    assert (server.attributes["http.route"], server.attributes["faas.name"]) == (server.name[5:], "traced")
    assert send.attributes["messaging.system"] == "penstock"
    assert {one.attributes["faas.invocation_id"] for one in (send, first, second, callback)} == {job}
    assert [one.attributes["faas.coldstart"] for one in (first, second)] == [True, False]
    assert [one.attributes["penstock.attempt"] for one in (first, second)] == [1, 2]
    assert [one.attributes["penstock.outcome"] for one in (first, second)] == ["retry", "succeeded"]
    assert (first.failed, first_call.failed, second.failed, server.failed) == (True, True, False, False)
    assert first.exceptions == [
        {"exception.type": "function_error", "exception.message": "the function answered 503"}
    ]
    assert first_call.attributes["http.response.status_code"] == 503

    # Whoever was called was told the very span that calls it.
    seen = stack.result("traced", job).json()
    assert seen == {"traceparent": f"00-{trace}-{second_call.id}-01", "tracestate": "shop=7", "attempt": 2}
    (delivery,) = receiver.of(job)
    assert delivery.headers["traceparent"] == f"00-{trace}-{callback.id}-01"

    # What it logged belongs to its runs, whole.
    lines = _log(stack, "traced", job, 2)
    assert [(one["trace_id"], one["span_id"]) for one in lines] == [(trace, first.id), (trace, second.id)]
    said = json.loads(lines[0]["line"])
    assert said["seen"]["traceparent"] == f"00-{trace}-{first_call.id}-01"
    assert said["text"] == 'a "quoted" word\t€'

    # The start of the instance is a trace of its own, which the cold start points to.
    ((start_trace, start_id),) = cold.links
    started = collector.until(start_trace, lambda all_: any(one.id == start_id for one in all_))
    (start,) = _named(started, "start traced")
    assert (start.id, start.parent, start.failed) == (start_id, "", False)
    assert [one.name for one in started if one.parent == start.id] == [one.name for one in stages]
    for stage in (one for one in started if one.parent):
        _nests(start, stage)
    assert start_trace != trace
    assert start.attributes["faas.instance"] == first.attributes["faas.instance"]

    for secret in (b"SECRET-", CALLBACK_SECRET.encode(), stack.environment["PENSTOCK_SECRET"].encode()):
        assert not [body for body in collector.raw if secret in body], secret


def test_a_call_of_openais_shape_tells_its_model(traced: Traced) -> None:
    stack, collector = traced.stack, traced.collector
    trace, caller, headers = _caller()
    asked = {"model": "tiny", "max_tokens": 7, "messages": [{"role": "user", "content": "SECRET-PROMPT"}]}
    url = f"{stack.url}/fn/traced/v1/chat/completions?key=SECRET-QUERY"
    answer = requests.post(url, json=asked, headers=headers, timeout=20)
    assert answer.status_code == 200
    spans = collector.until(trace, lambda all_: {"process traced", "POST /fn/{function}/{path}"} <= _names(all_))
    (server,) = _named(spans, "POST /fn/{function}/{path}")
    (run,) = _named(spans, "process traced")
    (request,) = _named(spans, "POST")
    assert server.parent == caller
    for inner in (run, request):
        _nests(server, inner)
    assert answer.json()["traceparent"] == f"00-{trace}-{request.id}-01"
    assert answer.json()["tracestate"] == "shop=7"
    assert f'traceparent;desc="00-{trace}-{server.id}-01"' in answer.headers["Server-Timing"]
    assert "queue;dur=" in answer.headers["Server-Timing"]
    assert request.attributes["url.path"] == "/v1/chat/completions"
    model = {name: value for name, value in run.attributes.items() if name.startswith("gen_ai.")}
    assert model == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "tiny",
        "gen_ai.request.max_tokens": 7,
        "gen_ai.response.model": "tiny-1",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 3,
    }
    assert not [body for body in collector.raw if b"SECRET-" in body]


def test_each_job_of_a_batch_has_a_trace_that_links_to_its_request(traced: Traced) -> None:
    stack, collector = traced.stack, traced.collector
    trace, _, headers = _caller()
    lines = b"".join(json.dumps({"n": n}).encode() + b"\n" for n in range(3))
    reply = stack.http.post(f"{stack.path('traced')}:batch", data=lines, headers=headers, timeout=10)
    jobs = [one["id"] for one in reply.json()["items"]]
    (server,) = collector.until(trace, lambda all_: len(all_) == 1)
    for job in jobs:
        stack.finished("traced", job)
    wait_until(lambda: len(_of_jobs(collector, jobs, "process traced")) == 6, 20, "two runs of each job")
    sent = _of_jobs(collector, jobs, "send traced")
    assert [one.parent for one in sent] == ["", "", ""]
    assert [one.links for one in sent] == [[(trace, server.id)]] * 3
    assert len({trace, *(one.trace for one in sent)}) == 4
    for job, send in zip(jobs, sorted(sent, key=lambda one: jobs.index(_id(one))), strict=True):
        runs = [one for one in collector.of(send.trace) if one.name == "process traced"]
        assert [(one.parent, _id(one)) for one in runs] == [(send.id, job)] * 2
        seen = stack.result("traced", job).json()["traceparent"]
        assert seen.split("-")[1] == send.trace


def test_what_is_run_again_has_a_trace_of_its_own_that_links_to_the_first(traced: Traced) -> None:
    stack, collector = traced.stack, traced.collector
    trace, _, headers = _caller()
    first = stack.submit("traced", _BODY, headers=headers)["id"]
    stack.finished("traced", first)
    later, _, headers = _caller()
    reply = stack.http.post(f"{stack.path('traced', first)}/retry", headers=headers, timeout=10)
    again = reply.json()["id"]
    stack.finished("traced", again)
    wait_until(lambda: len(_of_jobs(collector, [again], "process traced")) == 2, 20, "its runs")
    (sent,) = _of_jobs(collector, [again], "send traced")
    (request,) = collector.until(later, lambda all_: len(all_) == 1)
    (before,) = _of_jobs(collector, [first], "send traced")
    assert before.trace == trace
    assert sent.links == [(later, request.id), (trace, before.id)]
    assert sent.parent == ""
    assert sent.trace not in (trace, later)


def test_an_invocation_that_is_not_traced_leaves_no_span_and_no_byte(traced: Traced) -> None:
    stack, collector = traced.stack, traced.collector
    record = stack.submit("other", _BODY)
    trace, span, headers = _caller(sampled=False)
    passed = stack.submit("other", _BODY, headers=headers)["id"]
    called = stack.http.get(f"{stack.url}/fn/other/x", headers=headers, timeout=20)
    for job in (record["id"], passed):
        stack.finished("other", job)
    told, _, sampled = _caller()
    stack.call("other", _BODY, headers=sampled)
    last = {"POST /v1/functions/{function}/invocations", "process other"}
    collector.until(told, lambda all_: last <= _names(all_))  # what came before is there, too

    names = {one.attributes.get("faas.invocation_id") for one in collector.spans}
    assert not names & {record["id"], passed}
    assert collector.of(trace) == []
    meta = stack.redis.cli("HGET", f"ps:{{other}}:inv:{record['id']}", "meta")
    assert "trace" not in meta
    assert stack.result("other", record["id"]).json()["traceparent"] is None
    # The context of a client passes through as it came.
    for seen in (stack.result("other", passed).json(), called.json()):
        assert (seen["traceparent"], seen["tracestate"]) == (f"00-{trace}-{span}-00", "shop=7")
    assert "traceparent" not in called.headers["Server-Timing"]
    assert _log(stack, "other", record["id"], 1)[0].keys() == {"line"}


def test_a_receiver_that_hangs_keeps_no_call_and_is_told_of_once() -> None:
    with Collector() as collector:
        collector.open.clear()
        stack = Stack("process", TELEMETRY__OTLP_ENDPOINT=collector.url, TELEMETRY__SAMPLE_RATIO="1")
        stack.environment |= {"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
        with stack:
            stack.start().deploy({"traced": _function()})
            began = time.monotonic()
            calls = 0
            while time.monotonic() - began < 3.5 or calls < 20:  # some of its batches fail meanwhile
                assert stack.http.get(f"{stack.url}/fn/traced/x", timeout=5).status_code == 200
                calls += 1
            assert stack.gateway is not None
            stack.gateway.says("takes no spans")
            for program in stack.programs[:2]:
                assert len(re.findall("takes no spans: they", program.output())) <= 1
                assert "Failed to export" not in program.output()
                assert "Traceback" not in program.output()
            collector.open.set()
            began = time.monotonic()
            while "takes spans again" not in stack.gateway.output():
                assert time.monotonic() - began < 20
                stack.http.get(f"{stack.url}/fn/traced/x", timeout=5)


def _names(spans: list[Told]) -> set[str]:
    return {one.name for one in spans}


def _named(spans: list[Told], name: str) -> list[Told]:
    return [one for one in spans if one.name == name]


def _of_jobs(collector: Collector, jobs: list[str], name: str) -> list[Told]:
    return [one for one in list(collector.spans) if one.name == name and _id(one) in jobs]


def _id(span: Told) -> str:
    return str(span.attributes["faas.invocation_id"])


def _nests(outer: Told, inner: Told) -> None:
    assert outer.begin <= inner.begin <= inner.end <= outer.end, (outer, inner)


def _log(stack: Stack, function: str, job: str, count: int) -> list[Json]:
    """Events of kind log, once there are so many."""

    def lines() -> list[Json]:
        text = stack.http.get(f"{stack.path(function, job)}/events", timeout=10).text
        events = [
            dict(line.split(": ", 1) for line in one.splitlines() if ": " in line) for one in text.split("\n\n")
        ]
        return [json.loads(one["data"]) for one in events if one.get("event") == "log"]

    wait_until(lambda: len(lines()) >= count, 10, "the log's events")
    return lines()
