"""Hostile clients at a real gateway, before a function that notes what reaches it."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e import hostile
from tests.e2e.harness import Json, Stack
from tests.e2e.hostile import Case

_QUIET = 0.6
"""Seconds of silence after which an answer is whole."""


@pytest.fixture(scope="module")
def fortress() -> Iterator[Stack]:
    """A deployment with short limits in time."""
    limits = {"HEADER_TIMEOUT": "2s", "BODY_TIMEOUT": "2s", "IDLE_TIMEOUT": "3s", "MAX_BODY": "8MiB"}
    with Stack("process", **{f"GATEWAY__{name}": value for name, value in limits.items()}) as stack:
        stack.start().deploy(
            {
                "counter": {
                    "path": str(Path(__file__).parent.parent / "functions" / "counter"),
                    "handler": "app:app",
                    "concurrency": 32,
                    "scaling": {"min": 1, "max": 1},
                    "env": {"SEEN": str(seen_by(stack))},
                }
            }
        )
        yield stack


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
