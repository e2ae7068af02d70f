"""A server that listens late, and is of no use before its initialize hook was called."""

import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

initialized = []


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/initialize":
            initialized.append(True)
            self.answer(200, {})
        elif initialized:
            self.answer(200, {"n": json.loads(body)["n"], "attempt": int(self.headers["Penstock-Attempt"])})
        else:
            self.answer(500, {"error": "nobody initialized me"})

    def answer(self, status: int, said: dict[str, object]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(said).encode())


time.sleep(4)
ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
