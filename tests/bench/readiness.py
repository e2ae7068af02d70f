"""How long after an instance could be called this is noticed (goal: 25 ms at most).

    python -m tests.bench.readiness [--rounds 20]

Functions that become ready at a moment of their own and tell it in their answer: one opens its port then, one has
it open and passes its health check then, one is a Python handler whose `initialize` ends then. The moment that it
is noticed is the end of the last stage of the instance's start. Times are of one machine's clock; stages are whole
milliseconds, so that figures are off by up to 2 ms.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from pathlib import Path

from penstock.instance import START_STAGES
from tests.bench.cold_start import instances, milliseconds
from tests.e2e.harness import Json, Stack, wait_until

GOAL = 25.0
SERVER = """
import http.server, json, os, random, sys, time

began = time.time()
ready_at = began + random.uniform(0.3, 0.6)

class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200 if time.time() >= ready_at else 503, b"")
    def do_POST(self):
        self.answer(200, json.dumps(ready_at).encode())
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

if sys.argv[1] == "port":
    time.sleep(ready_at - began)
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Server)
if sys.argv[1] == "port":
    ready_at = time.time()
server.serve_forever()
"""
HANDLER = """
import random, time

def initialize(context):
    global ready_at
    time.sleep(random.uniform(0.3, 0.6))
    ready_at = time.time()

def handler(event, context):
    return ready_at
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    with Stack("process") as stack:
        stack.start()
        specs = functions(stack.folder)
        stack.deploy(specs)
        late: dict[str, list[float]] = {name: [] for name in specs}
        for _ in range(rounds):
            for name in specs:
                late[name].append(noticed_after(stack, name))
    print(f"{rounds} rounds, milliseconds{'':14}{'p50':>8}{'p95':>8}{'max':>8}   goal")
    figures = {}
    for name, values in late.items():
        ordered = sorted(values)
        p50, p95, worst = statistics.median(ordered), ordered[math.ceil(len(ordered) * 0.95) - 1], ordered[-1]
        print(f"{name:34}{p50:8.1f}{p95:8.1f}{worst:8.1f}   ≤ {GOAL:.0f}: {'met' if p95 <= GOAL else 'MISSED'}")
        figures[name] = {"p50": round(p50, 1), "p95": round(p95, 1), "max": round(worst, 1)}
    print(json.dumps({"rounds": rounds, "ms": figures}))


def functions(scratch: Path) -> dict[str, Json]:
    (scratch / "server.py").write_text(SERVER)
    (scratch / "code").mkdir()
    (scratch / "code" / "app.py").write_text(HANDLER)
    brief: Json = {"scaling": {"max": 1, "idle_timeout": "200ms"}}
    server = [sys.executable, str(scratch / "server.py")]
    return {
        "port": brief | {"command": [*server, "port"]},
        "health": brief | {"command": [*server, "health"], "lifecycle": {"health": {"path": "/health"}}},
        "initialize": brief | {"path": str(scratch / "code")},
    }


def noticed_after(stack: Stack, name: str) -> float:
    """Milliseconds, of one cold start."""
    stack.gone(name)
    wait_until(lambda: not instances(stack, name), 10, "nothing is shown either")
    reply = stack.call(name, b"x")
    assert reply.status_code == 200, reply.text
    stages = stack.record(name, reply.headers["Penstock-Invocation-Id"])["timeline"]
    began = milliseconds(wait_until(lambda: instances(stack, name), 5, "the instance is shown")[0]["started_at"])
    return began + sum(stages[stage] for stage in START_STAGES) - float(reply.json()) * 1000


if __name__ == "__main__":
    main()
