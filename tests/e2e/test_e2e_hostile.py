"""Hostile clients at a real gateway, before a function that notes what reaches it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.e2e import hostile
from tests.e2e.harness import FUNCTIONS, Json, Stack
from tests.e2e.hostile import Case

_QUIET = 0.6
"""Seconds of silence after which an answer is whole."""


@pytest.fixture(scope="module")
def fortress() -> Iterator[Stack]:
    """A deployment with short limits in time."""
    limits = {"HEADER_TIMEOUT": "2s", "BODY_TIMEOUT": "2s", "IDLE_TIMEOUT": "3s", "MAX_BODY": "8MiB"}
    with Stack("process", **{f"GATEWAY__{name}": value for name, value in limits.items()}) as stack:
        stack.start().deploy({"counter": counter(stack)})
        yield stack


def counter(stack: Stack) -> Json:
    return {
        "path": str(FUNCTIONS / "counter"),
        "handler": "app:app",
        "concurrency": 32,
        "scaling": {"min": 1, "max": 1},
        "env": {"SEEN": str(seen_by(stack))},
    }


def seen_by(stack: Stack) -> Path:
    return stack.folder / "seen"


def seen(stack: Stack, tag: str) -> list[Json]:
    """The requests that reached the function, of those with this name in their path."""
    lines = seen_by(stack).read_text().splitlines() if seen_by(stack).exists() else []
    return [one for one in map(json.loads, lines) if tag in one["path"]]


def exchange(stack: Stack, data: bytes) -> tuple[bytes, bool]:
    """What is answered, and whether the connection was closed then."""
    with socket.create_connection(("127.0.0.1", stack.port), timeout=10) as sock:
        answered = bytearray()
        with contextlib.suppress(ConnectionError):
            sock.sendall(data)
        try:
            while True:
                sock.settimeout(_QUIET if answered else 6.0)
                piece = sock.recv(65536)
                if not piece:
                    return bytes(answered), True
                answered += piece
        except ConnectionError:
            return bytes(answered), True
        except TimeoutError:
            return bytes(answered), False


def statuses(answered: bytes) -> list[int]:
    return [int(one) for one in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answered)]


@pytest.fixture(scope="module")
def answers(fortress: Stack) -> dict[str, tuple[bytes, bool]]:
    """To every case; they are sent beside each other."""

    def one(number: int) -> tuple[bytes, bool]:
        return exchange(fortress, hostile.CASES[number].data.replace(b"TAG", tag(number).encode()))

    with ThreadPoolExecutor(16) as threads:
        return dict(
            zip((case.name for case in hostile.CASES), threads.map(one, range(len(hostile.CASES))), strict=True)
        )


def tag(number: int) -> str:
    return f"case-{number}-"


def test_the_cases_have_names_of_their_own() -> None:
    assert len({case.name for case in hostile.CASES}) == len(hostile.CASES) >= 60


@pytest.mark.parametrize("number", range(len(hostile.CASES)), ids=[case.name for case in hostile.CASES])
def test_hostile_bytes(fortress: Stack, answers: dict[str, tuple[bytes, bool]], number: int) -> None:
    case: Case = hostile.CASES[number]
    answered, closed = answers[case.name]
    found = statuses(answered)
    assert set(found) <= set(case.statuses), answered[:2000]
    assert found or (closed and not case.seen), "it is neither answered nor closed"
    assert [one["path"] for one in seen(fortress, f"smuggled-{tag(number)}")] == [], "a request within a request"
    assert len(seen(fortress, tag(number))) == case.seen
    if set(found) & {400, 408, 413, 414, 431} and case.statuses == hostile.REFUSED:
        assert closed, "what follows a request that cannot be read cannot be read either"
    for word in (b"aiohttp", b"Python", b"Traceback", b".py", b"llhttp"):
        assert word not in answered


# Slow clients


@dataclass(frozen=True)
class Slow:
    opening: bytes
    drip: bytes
    limit: float
    """Seconds within which it is closed."""


async def lasts(stack: Stack, slow: Slow, *, every: float) -> float:
    """Seconds until the gateway closes a connection that keeps dripping."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    begun = time.monotonic()
    try:
        writer.write(slow.opening)
        while time.monotonic() - begun < 3 * slow.limit + 30:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every):
                    while await reader.read(65536):
                        pass
                    break
            writer.write(slow.drip)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()
    return time.monotonic() - begun


def kinds(headers: float, body: float, idle: float) -> dict[str, Slow]:
    event = b"POST /v1/functions/counter/invocations HTTP/1.1\r\n" + hostile.HOST
    return {
        "headers": Slow(event, b"X-Slow: 1\r\n", headers),
        "body": Slow(event + b"Content-Length: 100000\r\n\r\n", b"x", body),
        "body in chunks": Slow(event + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", body),
        "silent": Slow(b"", b"", headers),
        "idle": Slow(b"GET /healthz HTTP/1.1\r\n" + hostile.HOST + b"\r\n", b"", idle),
    }


async def slow_clients(stack: Stack, slow: dict[str, Slow], *, each: int, every: float, slack: float) -> None:
    """All at once; meanwhile others are served."""
    names = [name for name in slow for _ in range(each)]
    waiting = asyncio.gather(*(lasts(stack, slow[name], every=every) for name in names))
    served = 0
    async with aiohttp.ClientSession() as session:
        while not waiting.done():
            async with session.post(stack.path("counter"), data=b"hello") as reply:
                assert reply.status == 200
            served += 1
            await asyncio.sleep(0.1)
    worst = dict.fromkeys(slow, 0.0)
    for name, seconds in zip(names, await waiting, strict=True):
        worst[name] = max(worst[name], seconds)
    assert served > 5
    late = {name: seconds for name, seconds in worst.items() if seconds > slow[name].limit + slack}
    assert late == {}, worst


async def test_slow_clients_are_closed_in_time(fortress: Stack) -> None:
    # The limits of this deployment; the slack is for a busy machine, on which a client notices late.
    await slow_clients(fortress, kinds(2.0, 2.0, 3.0), each=20, every=0.3, slack=5.0)


@pytest.mark.long
@pytest.mark.timeout(240)
async def test_500_slow_clients_are_closed_within_10_30_and_75_seconds() -> None:
    with Stack("process") as stack:
        stack.start().deploy({"counter": counter(stack)})
        await slow_clients(stack, kinds(10.0, 30.0, 75.0), each=100, every=1.0, slack=1.0)
