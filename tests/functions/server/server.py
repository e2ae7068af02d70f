"""A server of its own that speaks the container contract, on the standard library alone: any language could.

Its initialize hook is not there for the first two times, as with a framework that adds its routes late.
"""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_initialized: list[str] = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/initialize":
            _initialized.append(self.headers.get("x-fc-request-id", ""))
            self._answer(404 if len(_initialized) < 3 else 200, b"initialize")
            return
        seen = {
            "method": self.command,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": body.decode("latin-1"),
            "initialized": len(_initialized),
        }
        status = int(self.headers.get("X-Want-Status", 200))
        self._answer(status, json.dumps(seen).encode(), "application/vnd.seen+json")

    do_GET = do_PUT = do_DELETE = do_POST

    def _answer(self, status: int, body: bytes, kind: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Answer", "as the function said it")
        self.send_header("Penstock-Invocation-Id", "forged")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        print(format % args, flush=True)


ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
