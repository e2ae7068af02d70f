"""ANY /fn/…: what the client sent reaches the container's own server as it was, through the same queue."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import aiohttp
import pytest

from penstock import keys
from penstock.invocation import Invocation, State
from tests.unit.gateway.conftest import House, OpenHouse, answer
from tests.unit.workers.waiting import until


async def send(house: House, head: str, body: bytes = b"", *, more: bytes = b"") -> tuple[int, bytes, bytes]:
    """A request exactly as it is written here; status, head and body of the answer."""
    server = house.client.server
    reader, writer = await asyncio.open_connection(server.host, server.port)
    lines = head.strip().replace("FN", house.function).replace("PORT", str(server.port)).split("\n")
    if not any(line.lower().startswith("host:") for line in lines):
        lines.insert(1, "Host: localhost")
    writer.write("\r\n".join(lines).encode() + b"\r\n" + more + b"\r\n" + body)
    try:
        answered = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        length = re.search(rb"(?i)content-length: (\d+)", answered)
        has_body = length is not None and not head.strip().startswith("HEAD")
        content = await reader.readexactly(int(length[1])) if has_body and length else b""
        return int(answered.split()[1]), answered, content
    finally:
        writer.close()


async def recorded(house: House, head: str, body: bytes = b"") -> Invocation:
    """What is in the queue after this request."""
    sending = asyncio.create_task(send(house, head, body))
    run = await house.take()
    await house.finish(run)
    assert (await sending)[0] == 200
    return run.invocation


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
async def test_any_method_passes(house: House, method: str) -> None:
    request = (await recorded(house, f"{method} /fn/FN/predict HTTP/1.1")).request
    assert (request.method, request.path, request.query, request.size) == (method, "/predict", "", 0)


async def test_head_passes_and_its_answer_has_no_body(house: House) -> None:
    sending = asyncio.create_task(send(house, "HEAD /fn/FN/x HTTP/1.1"))
    run = await house.take()
    assert run.invocation.request.method == "HEAD"
    await house.finish(run, answer(b"", headers=(("X-Model", "m1"),)))
    status, head, body = await sending
    assert (status, body) == (200, b"")
    assert b"X-Model: m1" in head


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/fn/FN", "/", ""),
        ("/fn/FN/", "/", ""),
        ("/fn/FN?a=1", "/", "a=1"),
        ("/fn/FN/v1/chat/completions", "/v1/chat/completions", ""),
        ("/fn/FN/a%2Fb", "/a%2Fb", ""),
        ("/fn/FN/%C3%A9%20+", "/%C3%A9%20+", ""),
        ("/fn/FN//double//slash/", "//double//slash/", ""),
        ("/fn/FN/x?q=%20a&b=+&c", "/x", "q=%20a&b=+&c"),
        ("/fn/FN/x?", "/x", ""),
        ("/fn/FN/x?a?b=/c", "/x", "a?b=/c"),
        ("/fn/FN/fn/FN/x", "/fn/FN/x", ""),
        ("http://localhost:PORT/fn/FN/x?a=1", "/x", "a=1"),
    ],
)
async def test_path_and_query_pass_as_they_were_written(house: House, target: str, path: str, query: str) -> None:
    request = (await recorded(house, f"GET {target} HTTP/1.1")).request
    assert (request.path, request.query) == (path.replace("FN", house.function), query)


async def test_headers_pass_but_for_those_of_the_hop_and_ours(house: House) -> None:
    head = """POST /fn/FN/x HTTP/1.1
Host: localhost
Content-Type: application/json
Content-Length: 2
Authorization: Bearer mine
X-Tag: a
X-Tag: b
Cookie: c=1
Accept-Encoding: gzip
Connection: keep-alive
Keep-Alive: timeout=5
TE: trailers
Proxy-Authorization: basic
x-fc-request-id: forged
Penstock-Deadline: 0"""
    request = (await recorded(house, head, b"{}")).request
    assert request.headers == (
        ("Content-Type", "application/json"),
        ("Authorization", "Bearer mine"),
        ("X-Tag", "a"),
        ("X-Tag", "b"),
        ("Cookie", "c=1"),
        ("Accept-Encoding", "gzip"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "localhost"),
    )


async def test_an_expectation_that_the_gateway_met_is_not_passed_on(house: House) -> None:
    # curl sends it with every body above 1 MiB. It was answered here; a container that does not know it would
    # leave the worker waiting for its own 100.
    head = "POST /fn/FN/x HTTP/1.1\nContent-Length: 2\nExpect: 100-continue"
    server = house.client.server
    reader, writer = await asyncio.open_connection(server.host, server.port)
    lines = head.replace("FN", house.function).split("\n")
    writer.write("\r\n".join([lines[0], "Host: localhost", *lines[1:]]).encode() + b"\r\n\r\n")
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 100 ")
    writer.write(b"{}")
    run = await house.take()
    await house.finish(run)
    writer.close()
    assert [name for name, _ in run.invocation.request.headers if name.lower() == "expect"] == []


async def test_a_header_that_is_not_utf_8_does_not_make_the_gateway_fail(house: House) -> None:
    sending = asyncio.create_task(send(house, "GET /fn/FN/x HTTP/1.1", more=b"X-Name: Jos\xe9\r\nX-Ok: 1\r\n"))
    run = await house.take()
    assert ("X-Ok", "1") in run.invocation.request.headers
    await house.finish(run)
    assert (await sending)[0] == 200


async def test_the_body_passes_and_the_answer_comes_back_whatever_its_status(house: House) -> None:
    call = asyncio.create_task(house.client.post(f"/fn/{house.function}/x", data=b"\x00body"))
    run = await house.take()
    assert run.body == b"\x00body"
    said = answer(b"mine", status=200)
    assert said.response is not None
    await house.finish(run, type(said)(event=said.event, response=type(said.response)(status=418), body=b"tea"))
    response = await call
    assert (response.status, await response.read()) == (418, b"tea")
    assert response.headers["Penstock-Invocation-Id"] == run.invocation.id


@pytest.mark.parametrize("header", ["Connection: Upgrade", "Connection: keep-alive, upgrade"])
async def test_an_upgrade_is_refused_before_anything_is_queued(house: House, header: str) -> None:
    status, _, body = await send(house, f"GET /fn/FN/ws HTTP/1.1\n{header}\nUpgrade: websocket")
    assert status == 501
    assert b'"code": "not_implemented"' in body
    assert await house.queued() == 0


async def problem(response: aiohttp.ClientResponse, status: int, code: str) -> dict[str, Any]:
    assert response.status == status, await response.text()
    said: dict[str, Any] = await response.json(content_type=None)
    assert said["code"] == code
    return said


async def test_a_hold_that_ends_before_it_was_started_cancels_it(open_house: OpenHouse) -> None:
    house: House = await open_house(hold=0.2)
    said = await problem(await house.client.get(f"/fn/{house.function}/x"), 504, "expired")
    assert "no instance was free within 0.2 s" in said["detail"]
    assert "it was not run" in said["detail"]
    assert said["retryable"] is True
    assert (await house.record(said["invocation"])).state is State.CANCELLED
    assert await house.queued() == 0


async def test_a_hold_that_ends_while_it_runs_says_that_it_goes_on(open_house: OpenHouse) -> None:
    house: House = await open_house(hold=0.6)
    call = asyncio.create_task(house.client.get(f"/fn/{house.function}/x"))
    run = await house.take()
    said = await problem(await call, 504, "run_timeout")
    assert "its run goes on" in said["detail"]
    assert said["invocation"] == run.invocation.id
    assert (await house.record(run.invocation.id)).state is State.RUNNING


async def test_a_delay_longer_than_the_hold_is_refused_unless_the_client_knows_202(house: House) -> None:
    path = f"/fn/{house.function}/"
    refused = await house.client.post(path, headers={"Penstock-Delay": "30s"})
    assert (refused.status, (await refused.json())["code"]) == (400, "invalid_request")
    assert "respond-async" in (await refused.json())["detail"]
    assert await house.queued() == 0
    taken = await house.client.post(path, headers={"Penstock-Delay": "30s", "Prefer": "respond-async"})
    assert taken.status == 202


@pytest.mark.parametrize("prefer", ["respond-async", "wait=0", "respond-async, wait=1"])
async def test_who_sent_prefer_knows_202(house: House, prefer: str) -> None:
    response = await house.client.get(f"/fn/{house.function}/x", headers={"Prefer": prefer})
    assert response.status == 202
    record = await house.record((await response.json())["id"])
    assert record.kind == "job"
    assert record.request.path == "/x"
    assert response.headers["Location"].endswith(record.id)


@pytest.mark.parametrize(
    ("path", "allowed"), [("/fn/{}/x", "DELETE,GET,HEAD,OPTIONS,PATCH,POST,PUT"), ("/healthz", "GET,HEAD")]
)
async def test_trace_is_refused_with_what_is_served(house: House, path: str, allowed: str) -> None:
    reply = await house.client.request("TRACE", path.format(house.function))
    assert (reply.status, reply.headers["Allow"]) == (405, allowed)


async def test_a_function_that_is_not_there_is_not_found(house: House) -> None:
    for path in ("/fn/unknown", "/fn/unknown/x", "/fn/Bad/x", "/fn/a%2Fb/x"):
        await problem(await house.client.get(path), 404, "function_not_found")
    assert (await house.client.get("/fn/")).status == 404


async def test_a_client_that_hangs_up_cancels_what_has_not_started(house: House) -> None:
    server = house.client.server
    _, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(f"GET /fn/{house.function}/x HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    await house.waiting()
    [call] = house.redis.cli("ZRANGE", keys.queued(house.function), "0", "-1").split()
    writer.transport.abort()

    async def cancelled() -> bool:
        return (await house.record(call)).state is State.CANCELLED

    await until(cancelled, "the call is cancelled")
