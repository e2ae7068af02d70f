"""A receiver of callbacks: a real HTTP server on loopback that writes down what it gets."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


@dataclass(frozen=True)
class Delivery:
    at: float
    """Unix seconds."""
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.body)["data"]
        return data


class Receiver:
    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.statuses: list[int] = []
        """What the next deliveries are answered with; 204 when there is none."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Receiver:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def of(self, invocation: str) -> list[Delivery]:
        """What came for one invocation."""
        return [delivery for delivery in self.deliveries if delivery.data["id"] == invocation]

    def answer(self, handler: BaseHTTPRequestHandler, delivery: Delivery) -> None:
        """What is said to a delivery that was written down."""
        handler.send_response(self.statuses.pop(0) if self.statuses else 204)
        handler.end_headers()

    def _handler(receiver) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                at = time.time()
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                delivery = Delivery(at, self.path, headers, body)
                receiver.deliveries.append(delivery)
                receiver.answer(self, delivery)

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler
