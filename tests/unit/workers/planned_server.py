"""A server that answers by plan, run as a function's `command`: PLAN is JSON, path -> list of answers.

Each answer is [status, body] or [status, body, headers]; the last one of a path is given again and again, and a
path without any is answered 404. "sleep" instead of an answer never comes. GET /asked tells what was asked.
"""

from __future__ import annotations

import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PLAN = json.loads(os.environ["PLAN"])
ASKED: list[tuple[str, str, dict[str, str]]] = []


class Planned(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/asked":
            self._answer(200, json.dumps(ASKED), {})
            return
        ASKED.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}))
        answers = PLAN.get(self.path) or [[404, "no such path"]]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer == "sleep":
            time.sleep(3600)
        status, body, headers = [*answer, {}][:3]
        self._answer(status, body, headers)

    do_POST = do_GET

    def _answer(self, status: int, body: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Planned).serve_forever()
