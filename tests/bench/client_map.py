"""What the client costs: `map` of many items against a real `penstock up`, and what its process uses meanwhile.

python -m tests.bench.client_map [items] [concurrency]
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time

from penstock import AsyncClient
from tests.e2e import specs
from tests.e2e.harness import Stack
from tests.e2e.test_e2e_up import start, stop


async def measure(url: str, items: int, concurrency: int) -> None:
    async with AsyncClient(url) as client:
        await client.invoke("echo", b"warm")
        before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
        events = (b"%d" % number for number in range(items))
        answers = await client.map("echo", events, concurrency=concurrency, progress=False)
        took, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF)
    assert [int(answer.content) for answer in answers] == list(range(items))
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(
        f"{items} items, {concurrency} at a time: {took:.1f} s, {items / took:.0f}/s; "
        f"client: {cpu / items * 1e6:.0f} µs CPU per item, {after.ru_maxrss / 1024:.0f} MiB at most"
    )


def main() -> None:
    items = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    concurrency = int(sys.argv[2]) if len(sys.argv) > 2 else 64
    with Stack("process") as stack:
        up = start(stack, {"echo": specs.folder("echo", concurrency=64)})
        asyncio.run(measure(stack.url, items, concurrency))
        stop(stack, up)


if __name__ == "__main__":
    main()
