"""A receiver of traces: a real HTTP server that decodes what OTLP/HTTP exporters send."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.e2e.harness import wait_until


class Told:
    """One span that arrived."""

    def __init__(self, service: str, span: Span) -> None:
        self.service = service
        self.span = span
        self.name: str = span.name
        self.trace = span.trace_id.hex()
        self.id = span.span_id.hex()
        self.parent = span.parent_span_id.hex()
        self.kind: str = Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower()
        self.begin: int = span.start_time_unix_nano
        self.end: int = span.end_time_unix_nano
        self.failed: bool = span.status.code == Status.STATUS_CODE_ERROR
        self.attributes = {one.key: _value(one.value) for one in span.attributes}
        self.links = [(one.trace_id.hex(), one.span_id.hex()) for one in span.links]
        self.exceptions = [{one.key: _value(one.value) for one in event.attributes} for event in span.events]

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name!r} {self.id} below {self.parent or 'nothing'}>"


class Collector:
    def __init__(self) -> None:
        self.spans: list[Told] = []
        self.raw: list[bytes] = []
        """Bodies as they came."""
        self.open = threading.Event()
        """While it is not set, requests are taken and not answered."""
        self.open.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Collector:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.open.set()
        self._server.shutdown()
        self._server.server_close()

    def of(self, trace: str) -> list[Told]:
        """Spans of one trace, in the order of their beginnings."""
        return sorted((one for one in list(self.spans) if one.trace == trace), key=lambda one: one.begin)

    def until(self, trace: str, complete: Callable[[list[Told]], bool]) -> list[Told]:
        """Spans of one trace, once they are what is waited for."""
        wait_until(lambda: complete(self.of(trace)), 20, f"the spans of {trace}")
        return self.of(trace)

    def _handler(collector) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.open.wait(60)
                if self.path == "/v1/traces":
                    collector.raw.append(body)
                    collector.spans += _spans(body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler


def _spans(body: bytes) -> list[Told]:
    return [
        Told(next(_value(one.value) for one in group.resource.attributes if one.key == "service.name"), span)
        for group in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def _value(value: AnyValue) -> object:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, str(kind))
