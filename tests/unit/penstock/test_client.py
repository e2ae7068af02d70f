"""The client of the command line: JSON, or the gateway's own words for what went wrong."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from penstock.client import ApiError, AsyncClient, Unreachable


class Gateway:
    """Answers what a test tells it to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.says: web.Response = web.json_response({})
        self.asked: list[tuple[str, str, bytes, dict[str, str]]] = []
        self.url = ""

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        self.asked.append((request.method, request.path_qs, await request.read(), dict(request.headers)))
        return self.says


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    gateway = Gateway()
    runner = web.ServerRunner(web.Server(gateway))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    gateway.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield gateway
    await runner.cleanup()


async def test_get_asks_and_gives_json(gateway: Gateway) -> None:
    gateway.says = web.json_response({"functions": []})
    async with AsyncClient(gateway.url + "/") as client:
        assert await client.get("/v1/functions", limit=5, state="queued") == {"functions": []}
    assert gateway.asked[0][:2] == ("GET", "/v1/functions?limit=5&state=queued")


async def test_submit_asks_not_to_wait(gateway: Gateway) -> None:
    gateway.says = web.json_response({"id": "1"}, status=202)
    async with AsyncClient(gateway.url) as client:
        assert await client.submit("echo", b"\x00x", {"Content-Type": "text/plain"}) == {"id": "1"}
    method, path, body, headers = gateway.asked[0]
    assert (method, path, body) == ("POST", "/v1/functions/echo/invocations", b"\x00x")
    assert (headers["Prefer"], headers["Content-Type"]) == ("respond-async", "text/plain")


async def test_what_the_gateway_refuses_is_told_in_its_own_words(gateway: Gateway) -> None:
    problem = {"code": "queue_full", "detail": "5 invocations already wait", "retryable": True}
    gateway.says = web.Response(status=429, text=json.dumps(problem), content_type="application/problem+json")
    async with AsyncClient(gateway.url) as client:
        with pytest.raises(ApiError, match="5 invocations already wait") as error:
            await client.get("/v1/functions")
    refused = error.value
    assert (refused.status, refused.code, refused.retryable, refused.problem) == (429, "queue_full", True, problem)


@pytest.mark.parametrize("text", ["<html>", "", "null", "[]", '"text"'])
async def test_an_error_that_is_no_problem_is_told_by_its_status(gateway: Gateway, text: str) -> None:
    gateway.says = web.Response(status=502, text=text)
    async with AsyncClient(gateway.url) as client:
        with pytest.raises(ApiError, match="the gateway answered 502"):
            await client.get("/v1/functions")


async def test_send_gives_whatever_comes(gateway: Gateway) -> None:
    gateway.says = web.Response(status=302, body=b"\xff", headers={"Location": "/elsewhere"})
    async with AsyncClient(gateway.url) as client:
        status, headers, body = await client.send("DELETE", "/x")
    assert (status, headers["Location"], body) == (302, "/elsewhere", b"\xff")
    assert len(gateway.asked) == 1


async def test_where_no_gateway_answers_it_says_how_to_start_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    async with AsyncClient(url) as client:
        with pytest.raises(Unreachable) as error:
            await client.get("/v1/functions")
    text = str(error.value)
    assert text.startswith(f"no gateway answers at {url} (")
    assert text.endswith("start one with `penstock up`, or give --url")


@pytest.mark.parametrize("url", ["not a url", "localhost:8080", "http://", "ftp://127.0.0.1", "http://[::1"])
async def test_an_address_that_is_none_is_unreachable(url: str) -> None:
    async with AsyncClient(url) as client:
        with pytest.raises(Unreachable):
            await client.get("/v1/functions")


async def test_it_is_a_context_manager(gateway: Gateway) -> None:
    client: Any = AsyncClient(gateway.url)
    with pytest.raises(AssertionError, match="context manager"):
        await client.get("/")
