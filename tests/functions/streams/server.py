"""A server whose answers come piece by piece, as the order in the request's body says. Standard library alone.

{"pieces": 5, "size": 64, "pause": 0.1, "length": true, "dies": 3, "status": 200, "type": "text/plain",
 "progress": [0.1, 0.2], "lines": 3, "after": 0.1}; a longer body is read to its end, and its length answered.
"""

import json
import os
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        if length > 100_000:
            self._swallow(length)
            return
        order: dict[str, Any] = json.loads(self.rfile.read(length) or b"{}")
        if self.command == "HEAD":
            order = {"pieces": 2, "size": 64_000, "length": True}
        for number in range(order.get("lines", 0)):
            print(f"line {number}", flush=True)
        for number in order.get("progress", ()):
            self._report({"progress": number, "message": f"step {number}"})
            time.sleep(order.get("pause", 0))
        time.sleep(order.get("after", 0))
        self._say(order)

    do_GET = do_HEAD = do_PUT = do_POST

    def _say(self, order: dict[str, Any]) -> None:
        pieces, size = order.get("pieces", 1), order.get("size", 64)
        self.send_response(order.get("status", 200))
        self.send_header("Content-Type", order.get("type", "text/plain"))
        if order.get("length"):
            self.send_header("Content-Length", str(pieces * size))
        else:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(pieces if self.command != "HEAD" else 0):
            if number == order.get("dies"):
                os._exit(9)
            # Its number and when it was made, so that a reader sees what is missing, and how long it took.
            piece = f"{number} {time.time():.6f} ".encode().ljust(size - 1, b".")[: size - 1] + b"\n"
            self.wfile.write(piece if order.get("length") else b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.flush()
            if number + 1 < pieces:
                time.sleep(order.get("pause", 0))
        if not order.get("length"):
            self.wfile.write(b"0\r\n\r\n")

    def _report(self, progress: dict[str, Any]) -> None:
        url = self.headers["Penstock-Progress-Url"]
        request = urllib.request.Request(url, json.dumps(progress).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=5) as reply:
            print(f"progress: {reply.status}", flush=True)

    def _swallow(self, length: int) -> None:
        left = length
        while left:
            left -= len(self.rfile.read(min(left, 1 << 16)))
        self.send_response(200)
        said = str(length).encode()
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: object) -> None:
        """Its log holds what tests had it say, and nothing else."""


class Server(ThreadingHTTPServer):
    request_queue_size = 128


Server((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
