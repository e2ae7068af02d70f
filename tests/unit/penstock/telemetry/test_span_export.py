"""Where spans go: told once when they cannot, and nothing of it in the way of a process that ends."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from penstock.settings import TelemetrySettings
from penstock.telemetry.export import TellingOnce
from penstock.telemetry.traces import NOT_TRACED, open_traces
from penstock.tracecontext import parse

SAMPLED = parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


class Moody(SpanExporter):
    """Takes spans or does not, as the test says."""

    def __init__(self) -> None:
        self.takes = True
        self.exported = 0
        self.shut = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.exported += 1
        return SpanExportResult.SUCCESS if self.takes else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.shut += 1


def test_a_failure_is_told_once_and_its_end_once(caplog: pytest.LogCaptureFixture) -> None:
    moody = Moody()
    exporter = TellingOnce(moody, "collector:4318")
    with caplog.at_level(logging.INFO):
        for takes in (True, False, False, False, True, True, False):
            moody.takes = takes
            exporter.export(())
    assert [record.getMessage().split(":4318 ")[1][:16] for record in caplog.records] == [
        "takes no spans: ",
        "takes spans agai",
        "takes no spans: ",
    ]


def test_one_that_was_given_up_sends_nothing_more() -> None:
    moody = Moody()
    exporter = TellingOnce(moody, "collector:4318")
    exporter.give_up()
    exporter.shutdown()
    assert exporter.export(()) is SpanExportResult.FAILURE
    assert (moody.exported, moody.shut) == (0, 1)


@pytest.mark.parametrize(
    "settings", [{}, {"enabled": False, "otlp_endpoint": "http://127.0.0.1:9", "sample_ratio": 1}]
)
async def test_without_a_receiver_nothing_is_traced(settings: dict[str, object]) -> None:
    traces = open_traces(TelemetrySettings.model_validate(settings), Resource.get_empty)
    assert traces is NOT_TRACED
    assert not any((traces.samples(), traces.samples(SAMPLED), traces.follows(SAMPLED), traces.recording))
    await traces.close()


def test_no_line_tells_the_password_of_a_receiver(caplog: pytest.LogCaptureFixture) -> None:
    settings = TelemetrySettings(otlp_endpoint="http://user:hush@127.0.0.1:9", sample_ratio=1)
    traces = open_traces(settings, Resource.get_empty)
    assert traces._pipeline is not None
    exporter = traces._pipeline._exporter
    exporter._inner = Moody()
    exporter._inner.takes = False
    with caplog.at_level(logging.DEBUG):
        traces.start("x", "internal").end()
        traces._pipeline._provider.shutdown()
    assert "127.0.0.1:9 takes no spans" in caplog.text
    assert "hush" not in caplog.text


@pytest.mark.parametrize(("ratio", "share"), [(0.0, 0.0), (1.0, 1.0), (0.25, 0.25)])
async def test_chance_decides_for_who_says_nothing(ratio: float, share: float) -> None:
    settings = TelemetrySettings(otlp_endpoint="http://127.0.0.1:9", sample_ratio=ratio)
    traces = open_traces(settings, Resource.get_empty)
    assert sum(traces.samples() for _ in range(10_000)) == pytest.approx(10_000 * share, abs=300)
    assert traces.samples(SAMPLED)
    await traces.close()
