"""What a process counts: bound series, gauges that are asked for, the text that Prometheus reads, OTLP."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from penstock.errors import StoreUnavailable
from penstock.settings import TelemetrySettings
from penstock.store import Store
from penstock.telemetry import catalogue as the
from penstock.telemetry.exposition import join, lines, pair
from penstock.telemetry.metrics import Gauge, Metrics
from penstock.telemetry.names import OTHER, Names
from penstock.telemetry.setup import Telemetry
from tests.conftest import missing


async def text(metrics: Metrics, more: str = "") -> str:
    return "".join(f"{line}\n" for family in await metrics.read() for line in lines(family, more))


async def test_a_series_is_found_once_and_kept() -> None:
    metrics = Metrics()
    counter = metrics.counter(the.ATTEMPTS, "chat")
    counter.add()
    counter.add(2)
    assert metrics.counter(the.ATTEMPTS, "chat") is counter
    assert 'penstock_attempts_total{function="chat"} 3\n' in await text(metrics)


async def test_a_histogram_is_cumulative_where_it_is_read() -> None:
    metrics = Metrics()
    histogram = metrics.histogram(the.RUN, "chat")
    for seconds in (0.0005, 0.001, 0.02, 1e6):
        histogram.record(seconds)
    said = await text(metrics)
    for bound, count in (("0.001", 2), ("0.01", 2), ("0.025", 3), ("300", 3), ("+Inf", 4)):
        assert f'faas_invoke_duration_seconds_bucket{{function="chat",le="{bound}"}} {count}\n' in said
    assert 'faas_invoke_duration_seconds_count{function="chat"} 4\n' in said
    assert 'faas_invoke_duration_seconds_sum{function="chat"} 1000000.0215\n' in said


async def test_what_is_forgotten_is_not_told() -> None:
    metrics = Metrics()
    for function in ("chat", "sum", "old"):
        metrics.counter(the.ATTEMPTS, function).add()
        metrics.histogram(the.RUN, function).record(1)
        metrics.counter(the.ENDED, function, "failed", "function_error").add()
    metrics.counter(the.DECISIONS, "old").add()
    metrics.forget("function", {"old", "sum"})
    said = await text(metrics)
    assert 'function="chat"' in said
    assert 'function="old"' not in said
    assert 'function="sum"' not in said
    assert 'penstock_scaling_decisions_total{kind="old"} 1' in said, "another label of the same value stays"


async def test_gauges_are_asked_for_until_nobody_answers() -> None:
    metrics = Metrics()

    async def queue() -> Iterable[Gauge]:
        return [Gauge(the.DEPTH, ("chat", "ready"), 7)]

    async def away() -> Iterable[Gauge]:
        raise StoreUnavailable("Redis: away")

    metrics.ask(away)
    forget = metrics.ask(queue)
    metrics.counter(the.ATTEMPTS, "chat").add()
    said = await text(metrics)
    assert 'penstock_queue_depth{function="chat",state="ready"} 7\n' in said
    assert "penstock_attempts_total" in said, "what cannot be asked hides nothing else"
    forget()
    assert "penstock_queue_depth" not in await text(metrics)


async def test_nothing_is_counted_when_nobody_wants_it() -> None:
    metrics = Metrics(enabled=False)
    metrics.counter(the.ATTEMPTS, "chat").add()
    metrics.histogram(the.RUN, "chat").record(1)
    assert await metrics.read() == []


async def test_labels_are_escaped() -> None:
    metrics = Metrics()
    metrics.counter(the.ATTEMPTS, 'a"b\\c\nd').add()
    assert r'{function="a\"b\\c\nd"} 1' in await text(metrics)


async def test_several_are_joined_into_one_without_a_family_twice() -> None:
    texts = []
    for service in ("gateway", "workers"):
        metrics = Metrics()
        metrics.histogram(the.LAG, service).record(0.001)
        metrics.counter(the.CANCELLED, service).add()
        metrics.counter(the.ATTEMPTS if service == "workers" else the.REFUSED, "x").add()
        texts.append(await text(metrics, pair("process", "1") if service == "gateway" else ""))
    joined = join(texts)
    kinds = [line for line in joined.splitlines() if line.startswith("# TYPE")]
    assert len(kinds) == len(set(kinds)) == 4
    assert sorted(joined.splitlines()) == sorted(set("".join(texts).splitlines()))
    assert 'penstock_cancellations_total{process="1",service="gateway"} 1' in joined
    where = [joined.index(part) for part in ("# HELP penstock_cancellations_total", "# HELP penstock_event")]
    last = joined.rindex('penstock_cancellations_total{service="workers"}')
    assert where[0] < last < where[1], "all series of a family stand together"
    if shutil.which("promtool") is None:
        missing("promtool (Debian's prometheus)")
    checked = subprocess.run(["promtool", "check", "metrics"], input=joined, capture_output=True, text=True)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_only_so_many_functions_have_a_name() -> None:
    names = Names(2, idle=10.0)
    assert [names.of(one, 0.0) for one in ("a", "b", "c", "a")] == ["a", "b", OTHER, "a"]
    names.of("a", 9.0)
    assert names.forget_idle(11.0) == {"b"}
    assert names.of("c", 11.0) == "c"
    assert names.forget(["a", "z"]) == {"a"}


async def test_otlp_gets_what_prometheus_sees(store: Store) -> None:
    received: asyncio.Queue[ExportMetricsServiceRequest] = asyncio.Queue()

    async def receive(request: web.Request) -> web.Response:
        sent = ExportMetricsServiceRequest()
        assert request.headers["Content-Type"] == "application/x-protobuf"
        sent.ParseFromString(await request.read())
        received.put_nowait(sent)
        return web.Response(content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/metrics", receive)
    async with TestServer(app) as server:
        settings = TelemetrySettings(otlp_endpoint=str(server.make_url("/")), otlp_interval="50ms")
        telemetry = Telemetry(settings, "workers", "w1")
        telemetry.metrics.counter(the.ENDED, "chat", "succeeded", "").add(3)
        telemetry.metrics.histogram(the.RUN, "chat").record(0.02)
        telemetry.begin(store)
        await store.ping()
        sent = await asyncio.wait_for(received.get(), 20)
        telemetry.metrics.counter(the.ENDED, "chat", "succeeded", "").add(1)
        await telemetry.close()
    [resource] = sent.resource_metrics
    said = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert (said["service.name"], said["service.instance.id"]) == ("penstock-workers", "w1")
    metrics = {one.name: one for one in resource.scope_metrics[0].metrics}
    [ended] = metrics["penstock.invocations"].sum.data_points
    assert ended.as_int == 3
    assert {one.key: one.value.string_value for one in ended.attributes} == {
        "faas.name": "chat",
        "state": "succeeded",
        "code": "",
    }
    [run] = metrics["faas.invoke_duration"].histogram.data_points
    assert (run.count, run.sum, sum(run.bucket_counts)) == (1, 0.02, 1)
    assert run.HasField("min") is False
    assert metrics["penstock.redis.up"].gauge.data_points[0].as_int == 1
    last = sent
    while not received.empty():
        last = received.get_nowait()
    found = last.resource_metrics[0].scope_metrics[0].metrics
    [again] = [one for one in found if one.name == "penstock.invocations"]
    assert again.sum.data_points[0].as_int == 4, "what was counted last is sent at the end"
    assert again.sum.is_monotonic


async def test_a_receiver_that_is_not_there_holds_up_nothing(store: Store) -> None:
    settings = TelemetrySettings(otlp_endpoint="http://127.0.0.1:9", otlp_interval="1h")
    telemetry = Telemetry(settings, "gateway", "g1")
    telemetry.begin(store)
    telemetry.metrics.counter(the.REFUSED, "queue_full").add()
    await asyncio.wait_for(telemetry.close(), 15)
    assert 'code="queue_full"' in await telemetry.exposition()
    assert store.queue.on_cancelled is not None


@pytest.mark.parametrize("endpoint", ["localhost:4318", "ftp://x/", "not a url"])
def test_an_endpoint_that_is_no_url_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match="not a URL"):
        TelemetrySettings(otlp_endpoint=endpoint)
