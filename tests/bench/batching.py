"""What batching gains: a handler that takes 20 ms, and 1 ms for each event, alone and in batches.

    python -m tests.bench.batching [--clients 64] [--seconds 10]

Clients call the runtime itself, one call after the other, so that only its own batching is measured. Goals: 8
times the calls (32 of 64 clients in a batch: 52 ms instead of 32 times 21 ms); of as many clients as fit into one
batch, none waits longer than max_wait and a batch, but for what this machine itself takes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

ROOT = Path(__file__).parents[2]
SIZE, WAIT = 32, 0.010
BATCH, EACH = 0.020, 0.001
ALONE = "import time\ndef handler(event): time.sleep(0.021); return event"
BATCHED = "import time\ndef handler(events): time.sleep(0.020 + 0.001 * len(events)); return events"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    batching = {"PENSTOCK_BATCH_SIZE": str(SIZE), "PENSTOCK_BATCH_WAIT": str(WAIT)}
    alone, latencies = measure(ALONE, {}, arguments.clients, arguments.seconds)
    print(f"{'':32}{'calls/s':>10}{'p50 ms':>10}{'p99 ms':>10}")
    report(f"no batching, {arguments.clients} clients", alone, latencies)
    rate, latencies = measure(BATCHED, batching, arguments.clients, arguments.seconds)
    report(f"batches of {SIZE}, {arguments.clients} clients", rate, latencies)
    print(f"{rate / alone:.1f} times the throughput (goal 8)")
    for clients in (SIZE, 8, 1):
        rate, latencies = measure(BATCHED, batching, clients, arguments.seconds)
        report(f"batches of {SIZE}, {clients} clients", rate, latencies)
        print(f"    max_wait + a batch of them all: {(WAIT + BATCH + clients * EACH) * 1000:.0f} ms")


def report(name: str, rate: float, latencies: list[float]) -> None:
    ordered = sorted(latencies)
    p50, p99 = (ordered[int(len(ordered) * share)] * 1000 for share in (0.5, 0.99))
    print(f"{name:32}{rate:10.1f}{p50:10.1f}{p99:10.1f}")


def measure(code: str, settings: dict[str, str], clients: int, seconds: float) -> tuple[float, list[float]]:
    """Calls per second and the latencies, of the second half of a run."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        (Path(folder) / "app.py").write_text(code)
        environment = os.environ | {
            "PENSTOCK_CODE": folder,
            "PENSTOCK_LISTEN_FD": str(listener.fileno()),
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, "-P", "-m", "runtime"]
        process = subprocess.Popen(command, env=environment | settings, pass_fds=[listener.fileno()])
        try:
            return asyncio.run(load(listener.getsockname()[1], clients, seconds))
        finally:
            process.kill()
            process.wait()


async def load(port: int, clients: int, seconds: float) -> tuple[float, list[float]]:
    latencies: list[float] = []
    url = f"http://127.0.0.1:{port}/invoke"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        async with session.post(url, data=b"x") as first:
            assert first.status == 200, await first.text()
        counted_from = time.monotonic() + seconds / 2
        end = counted_from + seconds / 2

        async def client() -> None:
            while (began := time.monotonic()) < end:
                async with session.post(url, data=b"x") as reply:
                    assert await reply.read() == b"x"
                if began >= counted_from:
                    latencies.append(time.monotonic() - began)

        await asyncio.gather(*(client() for _ in range(clients)))
    return len(latencies) / (seconds / 2), latencies


if __name__ == "__main__":
    main()
