"""Bytes that Hypothesis makes up, at a real listener: each ends in an answer of ours or a close, and never in two
opinions of where a request ends."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.listening import Limits, Listener, bind

QUIET = 0.3
"""Every limit in time."""


@dataclass
class Target:
    port: int
    seen: list[tuple[str, bytes]] = field(default_factory=list)
    """Path and body of every request that reached the handler."""
    failures: list[BaseException] = field(default_factory=list)


@asynccontextmanager
async def target() -> AsyncIterator[Target]:
    app = web.Application()

    async def handle(request: web.Request) -> web.Response:
        try:
            target.seen.append((request.path, await request.read()))
        except web.RequestPayloadError:
            return web.Response(status=400)
        except Exception as error:
            target.failures.append(error)
            raise
        return web.Response(text="ok")

    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    limits = Limits(header_timeout=QUIET, body_timeout=QUIET, idle_timeout=QUIET)
    listener = Listener(runner, limits, lambda status, code, _: web.json_response({"code": code}, status=status))
    (sock,) = bind("127.0.0.1", 0)
    listener.listen(sock)
    target = Target(sock.getsockname()[1])
    watching = asyncio.create_task(listener.watch())
    try:
        yield target
    finally:
        watching.cancel()
        await listener.close()
        await runner.cleanup()


async def answered(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with suppress(ConnectionError):
        writer.write(data)
        async with asyncio.timeout(20):
            return await reader.read()
    writer.close()
    return b""


def send(batch: list[bytes]) -> tuple[Target, list[bytes]]:
    async def run() -> tuple[Target, list[bytes]]:
        async with target() as one:
            return one, await asyncio.gather(*(answered(one.port, data) for data in batch))

    return asyncio.run(run())


def check(batch: list[bytes]) -> Target:
    """All of it is answered in our words or closed, in time."""
    reached, answers = send(batch)
    assert reached.failures == []
    for said in answers:
        statuses = {int(one) for one in re.findall(rb"HTTP/1\.[01] (\d{3}) ", said)}
        assert statuses <= {100, 200, 400, 408, 414, 431}, said
        assert b"aiohttp" not in said or b"200 OK" in said
    return reached


PIECES = (
    "GET |POST |/x| HTTP/1.1| HTTP/1.0|\r\n|\r\n|\r\n\r\n|\n|\r|Host: a\r\n|Content-Length: |5|0|hello|: |X| |"
    "\t|;|,|Transfer-Encoding: chunked\r\n|Expect: 100-continue\r\n|0\r\n\r\n|5\r\n|\x00|\xff|"
    "Connection: close\r\n|Connection: Upgrade\r\nUpgrade: websocket\r\n|Content-Encoding: gzip\r\n|"
    "GET /smuggled HTTP/1.1\r\n"
)
words = st.sampled_from([one.encode("latin-1") for one in PIECES.split("|")])
whatever = st.one_of(st.binary(max_size=300), st.lists(words, max_size=30).map(b"".join))
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=8, deadline=None, suppress_health_check=SLOW)
@given(
    st.lists(
        st.one_of(st.binary(max_size=300), st.lists(words, max_size=30).map(b"".join)), min_size=8, max_size=24
    )
)
def test_whatever_comes_is_answered_or_closed(batch: list[bytes]) -> None:
    check(batch)


length = st.sampled_from(["5", "05", "+5", " 5", "5 ", "5,5", "0x5", "-5", "", "4", "6", "5;5"]).map(str.encode)
name = st.sampled_from(["Content-Length", "content-length", "Content-Length ", "Content_Length"]).map(str.encode)
coding = st.sampled_from(["chunked", "Chunked", "chunked ", "identity", "chunked, chunked", "x"]).map(str.encode)
line = st.one_of(
    st.tuples(name, length).map(lambda pair: pair[0] + b": " + pair[1] + b"\r\n"),
    coding.map(lambda one: b"Transfer-Encoding: " + one + b"\r\n"),
    st.sampled_from([b"X-A: b\r\n c: d\r\n", b"X-A: b\n", b"Transfer-Encoding : chunked\r\n"]),
)
body = st.sampled_from([b"hello", b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"05\r\nhello\r\n0\r\n\r\n", b""])


@settings(max_examples=8, deadline=None, suppress_health_check=SLOW)
@given(st.lists(st.tuples(st.lists(line, min_size=2, max_size=3), body), min_size=8, max_size=24))
def test_two_opinions_of_a_length_are_one_refusal(batch: list[tuple[list[bytes], bytes]]) -> None:
    hidden = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    sent = [
        b"POST /x HTTP/1.1\r\nHost: a\r\n" + b"".join(lines) + b"\r\n" + body + hidden for lines, body in batch
    ]
    reached = check(sent)
    framed = sum(_framed(lines) for lines, _ in batch)
    assert len([path for path, _ in reached.seen if path == "/smuggled"]) <= framed


def _framed(lines: list[bytes]) -> bool:
    """There is at most one opinion of where the body ends, so that what follows is a request of its own;
    `Content_Length` is no opinion."""
    said = [one for one in lines if one.lower().startswith((b"content-length", b"transfer-encoding"))]
    return len(said) <= 1
