"""A server as Function Compute's users put into their images: a model behind `/initialize` and `/invoke`, on its
standard port, knowing nothing of who asks. It finds words instead of meanings."""

import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_warmed: list[str] = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/initialize":
            _warmed.append(self.headers["x-fc-request-id"])
            self._answer(b"initialized")
        elif self.path == "/invoke":
            time.sleep(float(os.environ.get("SECONDS", "0")))
            text = body.decode()
            label = int("rude" in text)
            found = {"text": text, "label": label, "key": ("polite", "rude")[label], "warmed": len(_warmed)}
            self._answer(json.dumps([found]).encode())
        else:
            self.send_error(404)

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("0.0.0.0", 9000), Handler).serve_forever()
