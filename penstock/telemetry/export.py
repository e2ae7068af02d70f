"""Where spans go: over a bounded queue, by a thread of its own, to an OTLP/HTTP receiver.

A receiver that is slow, silent or away costs spans, never a call: what does not fit in the queue is dropped. It is
told once when it fails and once when it takes spans again, instead of the exporter's own line for every batch.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from penstock import __version__, clock

log = logging.getLogger(__name__)

_LAST_BATCH = 2.0
"""Seconds that a process waits for at its end."""
_POLL = 0.02
_CHATTY = ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "opentelemetry.sdk._shared_internal")
"""Loggers that tell of every batch."""


class Pipeline:
    def __init__(self, endpoint: str, resource: Resource) -> None:
        """`endpoint`: base URL. Everything else is as the OTEL_EXPORTER_OTLP_… and OTEL_BSP_… variables say."""
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        # Its place alone is told: what stands before it may be a password.
        place = urlsplit(endpoint).netloc.rpartition("@")[2]
        self._exporter = TellingOnce(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces"), place)
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self.tracer = self._provider.get_tracer("penstock", __version__)

    async def close(self) -> None:
        if self._exporter.failing:
            self._exporter.give_up()
        # A daemon thread: one of the loop's own would be waited for, however long its last request takes.
        last = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        last.start()
        until = clock.monotonic() + _LAST_BATCH
        while last.is_alive() and clock.monotonic() < until:  # noqa: ASYNC110 - a thread
            await asyncio.sleep(_POLL)
        if last.is_alive():
            self._exporter.give_up()


class TellingOnce(SpanExporter):
    def __init__(self, inner: SpanExporter, place: str) -> None:
        self._inner = inner
        self._place = place
        self.failing = False
        self._closed = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._closed.is_set():
            return SpanExportResult.FAILURE
        result = self._inner.export(spans)
        failed = result is not SpanExportResult.SUCCESS
        if failed and not self.failing:
            log.warning("%s takes no spans: they are dropped until it does", self._place)
        if self.failing and not failed:
            log.warning("%s takes spans again", self._place)
        self.failing = failed
        return result

    def shutdown(self) -> None:
        self.give_up()

    def give_up(self) -> None:
        """Sends nothing more; what waits for another try no longer does."""
        if not self._closed.is_set():
            self._closed.set()
            self._inner.shutdown()
