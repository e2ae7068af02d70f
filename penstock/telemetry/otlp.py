"""Sends what a process counts to an OTLP receiver, in the SDK's data model, through its exporter."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.metrics.export import Gauge as GaugeData
from opentelemetry.sdk.metrics.export import Histogram as HistogramData
from opentelemetry.sdk.metrics.export import Sum as SumData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from penstock import __version__
from penstock.telemetry.metrics import Family, Histogram, Labels, Metrics

log = logging.getLogger(__name__)

_TIMEOUT = 10.0
_FAREWELL = 2.0
"""Seconds for the last export."""
_ATTRIBUTES = {
    "function": "faas.name",
    "http_request_method": "http.request.method",
    "http_route": "http.route",
    "http_response_status_code": "http.response.status_code",
}
"""What labels are called in the conventions."""
_CUMULATIVE = AggregationTemporality.CUMULATIVE


class Otlp:
    def __init__(self, metrics: Metrics, resource: Resource, endpoint: str, *, interval: float) -> None:
        """`endpoint` is the receiver's base URL; `interval` in seconds."""
        self._metrics = metrics
        self._resource = resource
        self._interval = interval
        self._taken = True
        self._began = time.time_ns()
        self._exporter = OTLPMetricExporter(endpoint=f"{endpoint}/v1/metrics", timeout=_TIMEOUT)

    async def run(self) -> None:
        """Loop."""
        while True:
            await asyncio.sleep(self._interval)
            await self.send()

    async def send(self) -> None:
        """Once. A receiver that is not there misses nothing but these points: all sums are cumulative."""
        data = self._data(await self._metrics.read(), time.time_ns())
        result = await asyncio.to_thread(self._exporter.export, data)
        taken = result is MetricExportResult.SUCCESS
        if self._taken and not taken:
            log.warning("metrics were not taken by the OTLP receiver; the next export that is has all of them")
        self._taken = taken

    async def close(self) -> None:
        """Sends what is new, and ends; a receiver that is not there is not waited for."""
        last = asyncio.create_task(self.send())
        await asyncio.wait([last], timeout=_FAREWELL)
        await asyncio.to_thread(self._exporter.shutdown)  # ends its retries
        await last

    def _data(self, families: Iterable[Family], now: int) -> MetricsData:
        scope = InstrumentationScope("penstock", __version__)
        metrics = [_metric(family, self._began, now) for family in families]
        scoped = ScopeMetrics(scope=scope, metrics=metrics, schema_url="")
        return MetricsData([ResourceMetrics(resource=self._resource, scope_metrics=[scoped], schema_url="")])


def _metric(family: Family, began: int, now: int) -> Metric:
    metric = family.metric
    data: GaugeData | HistogramData | SumData
    if metric.kind == "histogram":
        points = [
            _distribution(_attributes(metric.labels, labels), value, began, now)
            for labels, value in family.series.items()
            if isinstance(value, Histogram)
        ]
        data = HistogramData(data_points=points, aggregation_temporality=_CUMULATIVE)
    else:
        numbers = [
            NumberDataPoint(_attributes(metric.labels, labels), began, now, value)
            for labels, value in family.series.items()
            if not isinstance(value, Histogram)
        ]
        summed = metric.kind == "counter"
        data = SumData(numbers, _CUMULATIVE, is_monotonic=True) if summed else GaugeData(data_points=numbers)
    return Metric(name=metric.name, description=metric.question, unit=metric.unit, data=data)


def _attributes(names: Labels, values: Labels) -> Mapping[str, Any]:
    return {_ATTRIBUTES.get(name, name): value for name, value in zip(names, values, strict=True)}


def _distribution(attributes: Mapping[str, Any], value: Histogram, began: int, now: int) -> HistogramDataPoint:
    return HistogramDataPoint(
        attributes=attributes,
        start_time_unix_nano=began,
        time_unix_nano=now,
        count=sum(value.counts),
        sum=value.sum,
        bucket_counts=list(value.counts),
        explicit_bounds=list(value.bounds),
        min=None,  # type: ignore[arg-type]  # optional on the wire: nobody keeps them
        max=None,  # type: ignore[arg-type]
    )
