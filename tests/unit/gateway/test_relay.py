"""A long answer reaches its held client as it comes, at the client's own pace, whole or recognisably broken."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import ClientResponse

from penstock.blobs import DirectoryBlobs
from penstock.invocation import Opening, Run, State
from tests.unit.gateway.conftest import House, OpenHouse, answer, failed
from tests.unit.gateway.streams import SOON, Answer, open_answer, speaking
from tests.unit.workers.waiting import until


@pytest.fixture
async def inner(tmp_path: Path) -> AsyncIterator[Answer]:
    async with speaking(tmp_path) as answer:
        yield answer


async def begun(
    house: House, inner: Answer, opening: Opening | None = None, **headers: str
) -> tuple[Run, ClientResponse]:
    """A held call whose answer has begun."""
    calling = asyncio.create_task(house.post(**headers))
    run = await house.take()
    await open_answer(house, run, opening or inner.opening())
    return run, await asyncio.wait_for(calling, SOON)


async def read(response: ClientResponse) -> bytes:
    return await asyncio.wait_for(response.content.readany(), SOON)


async def test_each_piece_comes_at_once_with_the_functions_own_head(house: House, inner: Answer) -> None:
    run, response = await begun(house, inner, inner.opening(status=201, Content_Type="text/event-stream", X_Y="z"))
    assert response.status == 201
    assert (response.headers["Content-Type"], response.headers["X-Y"]) == ("text/event-stream", "z")
    assert response.headers["Penstock-Invocation-Id"] == run.invocation.id
    assert response.headers["Penstock-Cold-Start"] == "true"
    assert response.headers["Server-Timing"] == "queue;dur=1.5, start;dur=20.0"
    assert "Content-Length" not in response.headers
    for piece in (b"data: 1\n\n", b"data: 2\n\n"):
        inner.say(piece)
        assert await read(response) == piece
    await house.finish(run)
    inner.end()
    assert await read(response) == b""
    assert response.content.at_eof()


async def test_a_length_that_is_known_is_told(house: House, inner: Answer) -> None:
    _, response = await begun(house, inner, inner.opening(length=6))
    inner.say(b"abc", b"def")
    inner.end()
    assert response.headers["Content-Length"] == "6"
    assert await asyncio.wait_for(response.read(), SOON) == b"abcdef"


async def test_a_trigger_is_answered_so_too(house: House, inner: Answer) -> None:
    calling = asyncio.create_task(house.client.get(f"/fn/{house.function}/v1/models"))
    run = await house.take()
    await open_answer(house, run, inner.opening())
    response = await asyncio.wait_for(calling, SOON)
    inner.say(b"x")
    assert await read(response) == b"x"
    inner.end()
    assert await read(response) == b""


async def test_head_gets_the_length_and_no_body(house: House, inner: Answer) -> None:
    calling = asyncio.create_task(house.client.head(f"/fn/{house.function}/file"))
    run = await house.take()
    assert run.invocation.request.method == "HEAD"
    await open_answer(house, run, inner.opening(length=100_000))
    inner.end()
    response = await asyncio.wait_for(calling, SOON)
    assert (response.status, response.headers["Content-Length"]) == (200, "100000")
    assert await response.read() == b""
    again = await house.client.get("/healthz")
    assert again.status == 200, "the connection is as it was"


@pytest.mark.parametrize("trouble", ["the connection", "the run"])
async def test_what_breaks_off_is_not_taken_for_a_whole_answer(house: House, inner: Answer, trouble: str) -> None:
    run, response = await begun(house, inner)
    inner.say(b"part")
    assert await read(response) == b"part"
    if trouble == "the connection":
        inner.break_off()
    else:  # its workers process hangs, and another took its lease
        await house.finish(run, failed())
    with pytest.raises(aiohttp.ClientError):
        await asyncio.wait_for(response.read(), SOON)


async def test_a_failed_call_that_did_answer_is_not_broken_off(house: House, inner: Answer) -> None:
    run, response = await begun(house, inner, inner.opening(status=422))
    inner.say(b"why")
    assert await read(response) == b"why"
    await house.finish(run, answer(b"", status=422))
    inner.say(b" not")
    assert await read(response) == b" not"
    inner.end()
    assert await read(response) == b""


@pytest.mark.parametrize("gone", ["its beginning", "its process"])
async def test_one_that_cannot_be_read_along_is_sent_at_its_end(
    house: House, inner: Answer, blobs: DirectoryBlobs, gone: str
) -> None:
    opening = inner.opening()
    if gone == "its beginning":
        inner.status = 404
    else:
        opening = Opening(**{**opening.__dict__, "address": "unix:/nowhere.sock"})
    calling = asyncio.create_task(house.post())
    run = await house.take()
    await open_answer(house, run, opening)
    async with blobs.writer("long") as blob:
        await blob.write(b"x" * 100_000)
        await blob.commit()
    long = answer(b"", blob="long")
    assert long.response is not None
    object.__setattr__(long.response, "size", 100_000)
    await house.finish(run, long)
    response = await asyncio.wait_for(calling, SOON)
    assert await response.read() == b"x" * 100_000
    assert response.headers["Server-Timing"].endswith("run;dur=4.2")


async def test_one_that_cannot_be_read_along_becomes_a_job_when_the_hold_is_over(
    open_house: OpenHouse, inner: Answer
) -> None:
    house = await open_house(hold=1.0)
    inner.status = 404
    run, response = await begun(house, inner)
    assert response.status == 202
    assert (await house.record(run.invocation.id)).kind == "job"


async def test_a_hold_ends_at_the_first_byte(open_house: OpenHouse, inner: Answer) -> None:
    house = await open_house(hold=0.5)
    _, response = await begun(house, inner)
    await asyncio.sleep(0.7)
    inner.say(b"late")
    assert await read(response) == b"late"
    inner.end()
    assert await read(response) == b""


async def test_a_client_that_does_not_read_holds_the_answer_up(house: House, inner: Answer) -> None:
    _, response = await begun(house, inner)
    piece, count = b"x" * 2**20, 100
    inner.say(*[piece] * count)

    async def stands() -> bool:
        before = inner.sent
        await asyncio.sleep(0.2)
        return inner.sent == before > 0

    await until(stands, "it stands still")
    assert inner.sent < 50 * 2**20
    inner.end()
    assert len(await asyncio.wait_for(response.read(), 30)) == count * 2**20


@pytest.mark.parametrize("wish", ["cancel", "continue-if-started"])
async def test_a_client_that_hangs_up_in_the_middle(house: House, inner: Answer, wish: str) -> None:
    run, response = await begun(house, inner, Penstock_On_Disconnect=wish)
    inner.say(b"part")
    await read(response)
    response.close()
    await asyncio.wait_for(inner.left.wait(), SOON)
    if wish == "cancel":

        async def cancelled() -> bool:
            return (await house.record(run.invocation.id)).state is State.CANCELLED

        await until(cancelled, "the run is cancelled")
    else:
        await house.finish(run)
        assert (await house.record(run.invocation.id)).state is State.SUCCEEDED


async def test_a_reset_in_the_middle_of_a_write_counts_as_hanging_up(house: House, inner: Answer) -> None:
    plug = socket.create_connection((house.client.host, house.client.port))
    plug.setblocking(False)
    loop = asyncio.get_running_loop()
    head = f"POST {house.calls} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"
    await loop.sock_sendall(plug, f"{head}Penstock-On-Disconnect: cancel\r\n\r\n".encode())
    run = await house.take()
    await open_answer(house, run, inner.opening())
    inner.say(*[b"x" * 2**20] * 50)
    assert await loop.sock_recv(plug, 1000)
    plug.close()  # unread data makes it a reset

    async def cancelled() -> bool:
        return (await house.record(run.invocation.id)).state is State.CANCELLED

    await until(cancelled, "the run is cancelled")


async def test_the_same_key_again_reads_along_too(house: House, inner: Answer) -> None:
    first = asyncio.create_task(house.post(Idempotency_Key="k"))
    run = await house.take()
    second = asyncio.create_task(house.post(Idempotency_Key="k"))

    async def both() -> bool:
        waiting = house.gateway.waiters._waiting.get(run.invocation.id)
        return waiting is not None and sum(waiting.futures.values()) == 2

    await until(both, "both wait")
    await open_answer(house, run, inner.opening())
    for calling in (first, second):
        response = await asyncio.wait_for(calling, SOON)
        assert response.headers["Penstock-Invocation-Id"] == run.invocation.id
        response.close()


async def test_a_gateway_that_stops_lets_an_answer_go_on_for_a_while(house: House, inner: Answer) -> None:
    _, response = await begun(house, inner)
    inner.say(b"a")
    assert await read(response) == b"a"
    house.gateway.waiters.close()
    inner.say(b"b")
    assert await read(response) == b"b"
    inner.end()
    assert await read(response) == b""


async def test_connections_to_leaders_of_old_are_closed(house: House, tmp_path: Path) -> None:
    client = house.gateway.inner
    for number in range(10):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with speaking(folder) as one:
            one.end()
            async with client.read(one.address, "/answer") as pieces:
                assert [piece async for piece in pieces] == []
    assert len(client._sessions) <= 5
