"""Answers that are long, or come bit by bit: recorded as they come; what an open-ended one says is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from penstock.blobs import DirectoryBlobs
from penstock.events import BEGINNING
from penstock.invocation import Request, Run
from tests.unit.workers.conftest import Deployed
from tests.unit.workers.samples import function, live_run, run
from tests.unit.workers.servers import Conversations, answering, read_request, reset, speaking
from workers.answer import Answer, Lost, Malformed
from workers.channel import Channel
from workers.live import LiveRun
from workers.recording import INLINE

LIMIT = 2 * 2**20
COMMAND = function(command=["server"])
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.fixture
async def channel(tmp_path: Path) -> AsyncIterator[Channel]:
    channel = Channel(DirectoryBlobs(tmp_path / "blobs"), max_answer=LIMIT)
    yield channel
    await channel.close()


@pytest.fixture
def left(tmp_path: Path) -> Any:
    """Names of all files in the blob folder."""
    return lambda: sorted(path.name for path in (tmp_path / "blobs").rglob("*") if path.is_file())


class Calls:
    """Calls of jobs that the store knows, so that it takes what they say."""

    def __init__(self, channel: Channel, deployed: Deployed, blobs: DirectoryBlobs) -> None:
        self.channel, self.deployed, self.blobs = channel, deployed, blobs
        self.live: LiveRun | None = None

    async def call(self, server: Conversations) -> Answer:
        one = Run(invocation=await self.deployed.run(), body=b"body")
        self.live = live_run(self.deployed.store, self.blobs, COMMAND, one)
        answer = await self.channel.call(server.endpoint, COMMAND, one, self.live)
        await self.live.narrator.flush()
        return answer

    async def said(self) -> list[Any]:
        assert self.live is not None
        one = self.live.invocation
        story = await self.deployed.store.events.since(one.function, one.id, BEGINNING)
        assert story is not None
        return [json.loads(event.data) for event in story.said]


@pytest.fixture
def calls(channel: Channel, deployed: Deployed, tmp_path: Path) -> Calls:
    return Calls(channel, deployed, DirectoryBlobs(tmp_path / "blobs"))


async def test_what_comes_bit_by_bit_is_told_on_the_way(calls: Calls) -> None:
    async with answering(CHUNKED, chunk(b"one "), chunk(b"two"), END) as server:
        answer = await calls.call(server)
    assert (answer.body, answer.response.blob, answer.response.size) == (b"one two", None, 7)
    said = await calls.said()
    assert "".join(one["text"] for one in said) == "one two"


async def test_a_short_one_is_no_stream_whatever_its_framing(calls: Calls) -> None:
    async with answering(CHUNKED + chunk(b"all of it") + END) as server:
        answer = await calls.call(server)
    assert answer.body == b"all of it"
    assert await calls.said() == []
    assert calls.live is not None
    assert calls.live.recording is None


async def test_one_with_a_length_is_not_told_since_its_end_is_near(calls: Calls, left: Any) -> None:
    body = b"x" * (INLINE + 1)
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body) as server:
        answer = await calls.call(server)
    assert (answer.body, answer.response.size) == (b"", len(body))
    assert answer.response.blob is not None
    assert await calls.blobs.read(answer.response.blob) == body
    assert await calls.said() == []


async def test_one_without_an_end_is_over_when_its_connection_is(calls: Calls) -> None:
    async with answering(b"HTTP/1.1 200 OK\r\n\r\n", b"until ", b"it closes") as server:
        answer = await calls.call(server)
    assert answer.body == b"until it closes"


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("POST", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100000\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ],
    ids=["204", "304", "HEAD", "HEAD of a stream"],
)
async def test_an_answer_without_a_body_is_whole(calls: Calls, left: Any, method: str, head: bytes) -> None:
    one = run(request=Request(method=method, path="/x"))
    live = live_run(calls.deployed.store, calls.blobs, COMMAND, one)
    async with answering(head, hold=True) as server:
        answer = await asyncio.wait_for(calls.channel.call(server.endpoint, COMMAND, one, live), 5)
    assert (answer.body, answer.response.blob) == (b"", None)
    assert left() == []


async def test_one_that_breaks_off_is_lost_and_leaves_nothing(calls: Calls, left: Any) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(CHUNKED + chunk(b"x" * 100_000))
        await writer.drain()
        await asyncio.sleep(0.05)
        reset(writer)

    async with speaking(talk) as server:
        with pytest.raises(Lost):
            await calls.call(server)
    assert left() == []
    assert calls.live is not None
    assert calls.live.recording is not None
    assert not calls.live.recording.readable


async def test_one_over_the_limit_is_cut_there(calls: Calls, left: Any) -> None:
    async with answering(CHUNKED, *[chunk(b"x" * 2**20)] * 3) as server:
        with pytest.raises(Malformed, match=f"longer than {LIMIT} bytes"):
            await calls.call(server)
    assert left() == []


async def test_one_that_is_aborted_leaves_nothing_and_closes_its_connection(calls: Calls, left: Any) -> None:
    async with answering(CHUNKED, chunk(b"x" * 100_000), hold=True) as server:
        calling = asyncio.create_task(calls.call(server))
        while not left():
            await asyncio.sleep(0.01)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        await asyncio.wait_for(server.hung_up.wait(), 5)
    assert left() == []
