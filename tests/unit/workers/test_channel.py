"""One call to an instance: its answer as it was given, and exactly what went wrong when there is none."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from penstock.blobs import DirectoryBlobs
from penstock.function import Function
from penstock.invocation import Event, Outcome, Request, Run
from penstock.store import Store
from penstock.store.records import encode_outcome
from tests.unit.workers.samples import function, live_run, run
from tests.unit.workers.servers import answering, closed_port, read_request, reset, serving, speaking
from workers.answer import Answer, Lost, Malformed, NotSent
from workers.channel import Channel, listens
from workers.engines import Endpoint
from workers.live import LiveRun
from workers.recording import INLINE

LIMIT = 2 * 2**20
COMMAND = function(command=["server"])
HANDLER = function(path="/srv/echo")
"""What runs in our own runtime."""
BOTH = pytest.mark.parametrize("called", [COMMAND, HANDLER], ids=["command", "handler"])
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def blobs(tmp_path: Path) -> DirectoryBlobs:
    return DirectoryBlobs(tmp_path / "blobs")


class Calls(Channel):
    """A channel whose every call is a live run of its own."""

    def __init__(self, blobs: DirectoryBlobs, store: Store, *, max_answer: int) -> None:
        super().__init__(blobs, max_answer=max_answer)
        self._store = store
        self._all_blobs = blobs

    async def call(self, endpoint: Endpoint, function: Function, run: Run, live: LiveRun | None = None) -> Answer:
        one = live or live_run(self._store, self._all_blobs, function, run)
        try:
            return await super().call(endpoint, function, run, one)
        finally:
            await one.narrator.flush()


@pytest.fixture
async def channel(blobs: DirectoryBlobs, store: Store) -> AsyncIterator[Channel]:
    channel = Calls(blobs, store, max_answer=LIMIT)
    yield channel
    await channel.close()


@pytest.fixture
def left(tmp_path: Path) -> Any:
    """Names of all files in the blob folder."""
    return lambda: sorted(path.name for path in (tmp_path / "blobs").rglob("*") if path.is_file())


# What the instance gets.


async def test_an_event_call_is_posted_with_its_body_and_the_contracts_headers(channel: Channel) -> None:
    one = run(b"event", request=Request(headers=(("Content-Type", "text/plain"),), size=5))
    async with answering(OK) as server:
        await channel.call(server.endpoint, COMMAND, one)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /invoke HTTP/1.1"
    assert body == b"event"
    assert "Content-Type: text/plain" in lines
    assert f"x-fc-request-id: {one.invocation.id}" in lines
    names = [line.split(":")[0].lower() for line in lines[1:]]
    assert not {"user-agent", "accept", "accept-encoding"} & set(names), "nothing that the client did not send"
    assert len(names) == len(set(names))


@pytest.mark.parametrize("method", ["GET", "DELETE", "PROPFIND"])
async def test_an_http_call_keeps_method_path_and_query_as_the_client_wrote_them(
    channel: Channel, method: str
) -> None:
    request = Request(method=method, path="/a%2Fb//c/../%C3%A9+1", query="q=%20x&y=a+b&empty")
    async with answering(OK) as server:
        await channel.call(server.endpoint, COMMAND, run(request=request))
    line = server.requests[0].split(b"\r\n")[0].decode()
    assert line == f"{method} /a%2Fb//c/../%C3%A9+1?q=%20x&y=a+b&empty HTTP/1.1"


async def test_a_large_body_comes_from_its_blob(channel: Channel, blobs: DirectoryBlobs) -> None:
    body = bytes(range(256)) * 4096
    async with blobs.writer("echo/1.request") as writer:
        await writer.write(body)
        await writer.commit()
    async with answering(OK) as server:
        await channel.call(server.endpoint, COMMAND, run(request=Request(size=len(body), blob="echo/1.request")))
    assert server.requests[0].endswith(body)


@pytest.mark.parametrize(("called", "connections"), [(HANDLER, 1), (COMMAND, 3)], ids=["handler", "command"])
async def test_only_our_own_runtimes_connections_are_used_again(
    channel: Channel, called: Function, connections: int
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(OK)

    async with speaking(talk) as server:
        for _ in range(3):
            await channel.call(server.endpoint, called, run())
        assert server.connections == connections


async def test_a_call_that_is_given_up_is_hung_up_on(channel: Channel) -> None:
    async with answering(hold=True) as server:
        call = asyncio.create_task(channel.call(server.endpoint, HANDLER, run()))
        while not server.requests:
            await asyncio.sleep(0.001)
        call.cancel()
        await asyncio.wait_for(server.hung_up.wait(), 5)


# What comes back.


@BOTH
@pytest.mark.parametrize("status", [200, 202, 404, 429, 500, 503])
async def test_status_headers_and_body_come_back(channel: Channel, called: Function, status: int) -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        return web.Response(status=status, body=b"\x00said\xff", headers={"X-Model": "m1"})

    async with serving(handler) as endpoint:
        answer = await channel.call(endpoint, called, run())
    assert (answer.response.status, answer.body, answer.response.size) == (status, b"\x00said\xff", 6)
    assert ("X-Model", "m1") in answer.response.headers
    assert answer.error is None
    assert answer.response.blob is None


async def test_headers_of_the_hop_and_of_penstock_stay_behind(channel: Channel) -> None:
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\nKeep-Alive: timeout=5\r\nServer: theirs\r\n"
        b"Date: Tue, 15 Nov 1994 08:12:31 GMT\r\nX-Fc-Status: 404\r\nPenstock-Invocation-Id: forged\r\n"
        b"Set-Cookie: a=1\r\nX-Keep: yes\r\nSet-Cookie: b=2\r\nContent-Type: text/plain\r\n\r\n"
    )
    async with answering(head + b"ok") as server:
        answer = await channel.call(server.endpoint, COMMAND, run())
    assert answer.response.headers == (
        ("Set-Cookie", "a=1"),
        ("X-Keep", "yes"),
        ("Set-Cookie", "b=2"),
        ("Content-Type", "text/plain"),
    )


async def test_a_header_that_is_not_utf_8_does_not_keep_the_outcome_from_being_written(channel: Channel) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Name: Jos\xe9\r\n\r\nok"
    async with answering(head) as server:
        answer = await channel.call(server.endpoint, COMMAND, run())
    assert answer.body == b"ok"
    assert encode_outcome(Outcome(event=Event.SUCCEED, response=answer.response))


async def test_a_redirect_is_the_answer(channel: Channel) -> None:
    async with answering(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n") as server:
        answer = await channel.call(server.endpoint, COMMAND, run())
    assert answer.response.status == 302
    assert ("Location", "/elsewhere") in answer.response.headers
    assert len(server.requests) == 1


async def test_a_compressed_body_stays_as_it_is(channel: Channel) -> None:
    packed = gzip.compress(b"said")
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
    async with answering(head + packed) as server:
        answer = await channel.call(server.endpoint, COMMAND, run())
    assert answer.body == packed
    assert ("Content-Encoding", "gzip") in answer.response.headers


@pytest.mark.parametrize(
    "parts",
    [
        (b"HTTP/1.0 200 OK\r\n\r\nsa", b"id"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nsa\r\n", b"2\r\nid\r\n0\r\n\r\n"),
        (b"HTTP/1.1 200", b" OK\r\nContent-Le", b"ngth: 4\r\n\r\nsa", b"id"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsaid"),
    ],
    ids=["until it closes", "chunked", "in pieces", "after an early hint"],
)
async def test_a_body_is_complete_however_it_is_framed(channel: Channel, parts: tuple[bytes, ...]) -> None:
    async with answering(*parts) as server:
        answer = await channel.call(server.endpoint, COMMAND, run())
    assert (answer.response.status, answer.body) == (200, b"said")


def sized(body: bytes, *, status: str = "200 OK", more: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


async def test_an_answer_up_to_64_kib_stays_in_memory(channel: Channel, left: Any) -> None:
    async with answering(sized(b"x" * INLINE)) as server:
        answer = await channel.call(server.endpoint, COMMAND, run())
    assert (len(answer.body), answer.response.blob) == (INLINE, None)
    assert left() == []


@pytest.mark.parametrize("size", [INLINE + 1, LIMIT])
async def test_a_larger_answer_is_spooled_to_a_blob_of_its_run(
    channel: Channel, blobs: DirectoryBlobs, left: Any, size: int
) -> None:
    one = run(token=3)
    body = bytes(range(251)) * (size // 251 + 1)
    async with answering(sized(body[:size])) as server:
        answer = await channel.call(server.endpoint, COMMAND, one)
    assert (answer.body, answer.response.size) == (b"", size)
    assert answer.response.blob == f"echo/{one.invocation.id}.answer.3"
    assert await blobs.read(answer.response.blob) == body[:size]
    assert left() == [f"{one.invocation.id}.answer.3"]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"errorType": "KeyError", "errorMessage": "no such row"}', "KeyError: no such row"),
        (b'{"errorType": "KeyError"}', "KeyError"),
        (b"plain", "KeyError"),
        (b"[1]", "KeyError"),
        (b'"text"', "KeyError"),
        (b"null", "KeyError"),
        (b"\xff", "KeyError"),
        (b"", "KeyError"),
    ],
)
@pytest.mark.parametrize("status", ["500 X", "200 OK"])
async def test_penstock_error_is_the_handlers_error_whatever_the_status(
    channel: Channel, status: str, body: bytes, error: str
) -> None:
    async with answering(sized(body, status=status, more="penstock-error: KeyError\r\n")) as server:
        answer = await channel.call(server.endpoint, HANDLER, run())
    assert answer.error == error
    assert not [name for name, _ in answer.response.headers if name.lower() == "penstock-error"]


async def test_a_handlers_error_is_one_however_long_its_text(channel: Channel) -> None:
    body = b'{"errorMessage": "' + b"x" * INLINE + b'"}'
    async with answering(sized(body, status="500 X", more="Penstock-Error: KeyError\r\n")) as server:
        answer = await channel.call(server.endpoint, HANDLER, run())
    assert answer.error is not None
    assert answer.error.startswith("KeyError")


# What goes wrong.


@BOTH
async def test_where_nothing_listens_nothing_was_sent(channel: Channel, called: Function) -> None:
    with pytest.raises(NotSent, match="cannot connect"):
        await channel.call(closed_port(), called, run())


@BOTH
@pytest.mark.parametrize(
    "parts",
    [
        (),
        (b"HTTP/1.1 200 OK\r\nContent-",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b"12345"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12",),
    ],
    ids=["no answer", "half a head", "half a body", "no last chunk", "half a chunk"],
)
async def test_a_connection_that_ends_too_early_is_lost(
    channel: Channel, called: Function, parts: tuple[bytes, ...]
) -> None:
    async with answering(*parts) as server:
        with pytest.raises(Lost):
            await channel.call(server.endpoint, called, run(b"event"))
    # Our own runtime is asked why: that is no call.
    calls = [request for request in server.requests if not request.startswith(b"GET /.penstock/status")]
    assert len(calls) == 1


@BOTH
async def test_a_process_that_dies_in_the_middle_of_a_call_is_lost(channel: Channel, called: Function) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        reset(writer)

    async with speaking(talk) as server:
        with pytest.raises(Lost):
            await channel.call(server.endpoint, called, run(b"event"))


@BOTH
async def test_a_process_that_dies_while_it_is_sent_a_large_body_is_lost(
    channel: Channel, blobs: DirectoryBlobs, called: Function
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(100_000)
        reset(writer)

    async with blobs.writer("echo/1.request") as blob:
        await blob.write(b"x" * (8 * 2**20))
        await blob.commit()
    large = Request(size=8 * 2**20, blob="echo/1.request")
    async with speaking(talk) as server:
        with pytest.raises(Lost):
            await channel.call(server.endpoint, called, run(request=large))


async def test_an_answer_that_breaks_off_while_it_is_spooled_leaves_nothing(channel: Channel, left: Any) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
    async with answering(head, b"x" * 500_000) as server:
        with pytest.raises(Lost):
            await channel.call(server.endpoint, COMMAND, run())
    assert left() == []


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
@BOTH
async def test_a_call_reaches_the_instance_once_whatever_its_method(
    channel: Channel, called: Function, method: str
) -> None:
    # Bytes of it were sent: whether it may run again is the verdict's to say, not an HTTP library's.
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not warm.is_set():
            warm.set()
            await read_request(reader)
            writer.write(OK)
        server.requests.append(await read_request(reader))

    warm = asyncio.Event()
    async with speaking(talk) as server:
        if called is HANDLER:  # its connection is one that is used again
            await channel.call(server.endpoint, called, run())
        else:
            warm.set()
        with pytest.raises(Lost):
            await channel.call(server.endpoint, called, run(request=Request(method=method, path="/")))
        assert len(server.requests) == 1


@BOTH
@pytest.mark.parametrize(
    "bytes_",
    [
        b"hello\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
    ],
    ids=["text", "status", "length", "header", "long header", "tls"],
)
async def test_an_answer_that_is_not_http_is_malformed(channel: Channel, called: Function, bytes_: bytes) -> None:
    async with answering(bytes_) as server:
        with pytest.raises(Malformed):
            await channel.call(server.endpoint, called, run())


async def test_a_chunk_that_is_not_http_is_no_answer(channel: Channel) -> None:
    async with answering(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n12345\r\n0\r\n\r\n"
    ) as server:
        with pytest.raises((Malformed, Lost)):
            await channel.call(server.endpoint, COMMAND, run())


async def test_an_answer_over_the_limit_is_malformed_and_leaves_nothing(channel: Channel, left: Any) -> None:
    async with answering(sized(b"x" * (LIMIT + 1))) as server:
        with pytest.raises(Malformed, match=f"longer than {LIMIT} bytes"):
            await channel.call(server.endpoint, COMMAND, run())
    assert left() == []


@pytest.mark.parametrize(("limit", "size"), [(1000, 1001), (1000, INLINE + 1), (300_000, 300_001)])
async def test_a_limit_near_what_fits_into_memory_is_one_too(
    blobs: DirectoryBlobs, store: Store, left: Any, limit: int, size: int
) -> None:
    channel = Calls(blobs, store, max_answer=limit)
    try:
        async with answering(sized(b"x" * size)) as server:
            with pytest.raises(Malformed):
                await channel.call(server.endpoint, COMMAND, run())
    finally:
        await channel.close()
    assert left() == []


# Hooks of the contract.


async def test_a_hook_gives_status_error_and_body(channel: Channel) -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        assert (request.method, request.path, request.headers["x-tag"]) == ("POST", "/initialize", "1")
        return web.Response(status=500, text='{"errorMessage": "no card"}', headers={"Penstock-Error": "OSError"})

    async with serving(handler) as endpoint:
        said = await channel.ask(endpoint, "POST", "/initialize", timeout=5, headers=[("x-tag", "1")])
    assert said == (500, "OSError: no card", b'{"errorMessage": "no card"}')


async def test_a_hooks_body_is_whole_although_it_comes_in_pieces(channel: Channel) -> None:
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n", b'{"running', b'":[]}') as server:
        _, _, body = await channel.ask(server.endpoint, "GET", "/.penstock/status", timeout=5)
    assert body == b'{"running":[]}'


async def test_a_hook_that_takes_too_long_is_lost(channel: Channel) -> None:
    async with answering(hold=True) as server:
        with pytest.raises(Lost, match=r"GET /health took longer than 0\.1 s"):
            await channel.ask(server.endpoint, "GET", "/health", timeout=0.1)


async def test_a_hook_where_nothing_listens_is_lost(channel: Channel) -> None:
    with pytest.raises(Lost, match="GET /health"):
        await channel.ask(closed_port(), "GET", "/health", timeout=1)


@pytest.mark.parametrize("said", [b"", b"garbage\r\n\r\n"])
async def test_a_hook_without_an_answer_is_lost(channel: Channel, said: bytes) -> None:
    async with answering(said) as server:
        with pytest.raises(Lost):
            await channel.ask(server.endpoint, "GET", "/health", timeout=1)


async def test_listens() -> None:
    assert not await listens(closed_port())
    async with answering() as server:
        assert await listens(server.endpoint)
