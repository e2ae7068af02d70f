"""What tracing costs: held calls a second with it off, at its default and at 100 % (goal: default ≤ 10 %).

    python -m tests.bench.traces [--rounds 7] [--seconds 4] [--clients 32]

Three deployments stand side by side, each with a warm function that answers at once. They are loaded in turn, one
round each, so that whatever else the machine does falls on all of them alike; the processor time of gateway and
workers for one call does not depend on it at all. Spans go to a receiver in this process that reads and forgets
them: a collector on the same machine would take part of its cores, too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import threading
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import aiohttp
import psutil

from tests.e2e.harness import Stack
from tests.e2e.specs import folder

GOAL = 0.10
VARIANTS = {"off": None, "default": "0.01", "all": "1"}
"""Share that is traced; None: telemetry has nowhere to go."""


class Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    received = 0

    def do_POST(self) -> None:
        Sink.received += len(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def used(stack: Stack) -> float:
    """Seconds of processor time of gateway and workers so far."""
    assert stack.gateway is not None and stack.workers is not None
    programs = (psutil.Process(program.pid) for program in (stack.gateway, stack.workers))
    return sum(sum(program.cpu_times()[:2]) for program in programs)


async def load(stack: Stack, clients: int, seconds: float) -> tuple[float, float]:
    """Calls a second, and milliseconds of processor time for each."""
    url, done, until = stack.path("echo"), 0, time.monotonic() + seconds

    async def client() -> None:
        nonlocal done
        while time.monotonic() < until:
            async with session.post(url, data=b"x") as reply:
                assert reply.status == 200, await reply.text()
                await reply.read()
            done += 1

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        began, before = time.monotonic(), used(stack)
        await asyncio.gather(*(client() for _ in range(clients)))
        return done / (time.monotonic() - began), (used(stack) - before) / done * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--clients", type=int, default=32)
    given = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    rates: dict[str, list[float]] = {name: [] for name in VARIANTS}
    times: dict[str, list[float]] = {name: [] for name in VARIANTS}
    with ExitStack() as exits:
        stacks = {}
        for name, ratio in VARIANTS.items():
            settings = {} if ratio is None else {"TELEMETRY__OTLP_ENDPOINT": url, "TELEMETRY__SAMPLE_RATIO": ratio}
            stacks[name] = exits.enter_context(Stack("process", **settings)).start()
            spec = folder("echo", concurrency=32, scaling={"max": 1, "idle_timeout": "600s"})
            stacks[name].deploy({"echo": spec})
            asyncio.run(load(stacks[name], given.clients, 1.0))
        for number in range(given.rounds):
            order = list(VARIANTS)[number % 3 :] + list(VARIANTS)[: number % 3]
            for name in order:
                rate, milliseconds = asyncio.run(load(stacks[name], given.clients, given.seconds))
                rates[name].append(rate)
                times[name].append(milliseconds)
    rate = {name: statistics.median(values) for name, values in rates.items()}
    cpu = {name: statistics.median(values) for name, values in times.items()}
    for name in VARIANTS:
        print(
            f"{name:<8} {rate[name]:6.0f} calls/s ({rate[name] / rate['off'] - 1:+.1%}), "
            f"{cpu[name]:.3f} ms of processor time a call ({cpu[name] / cpu['off'] - 1:+.1%})"
        )
    print(f"{Sink.received / 1e6:.1f} MB of spans and metrics came")
    print(json.dumps({"rates": rates, "times": times, "goal": GOAL}))
    if cpu["default"] / cpu["off"] - 1 > GOAL:
        raise SystemExit(f"tracing costs more than {GOAL:.0%} at its default")


if __name__ == "__main__":
    main()
