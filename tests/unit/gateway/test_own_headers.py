"""Headers that the gateway adds, and those of functions that it keeps to itself."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import ClientResponse

from tests.unit.gateway.conftest import House, answer


async def called(house: House, path: str, **said: object) -> ClientResponse:
    call = asyncio.create_task(house.client.post(path, data=b"event"))
    run = await house.take()
    await house.finish(run, answer(**said))  # type: ignore[arg-type]
    return await call


@pytest.mark.parametrize("path", ["/v1/functions", "/v1/functions/none", "/readyz", "/nowhere"])
async def test_our_own_json_is_not_guessed_at_nor_kept(house: House, path: str) -> None:
    reply = await house.client.get(path)
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["Server"] == "penstock"


@pytest.mark.parametrize("trigger", [True, False])
async def test_what_a_function_says_of_caches_stands(house: House, trigger: bool) -> None:
    path = f"/fn/{house.function}/x" if trigger else house.calls
    reply = await called(house, path, headers=(("Cache-Control", "max-age=60"),))
    assert reply.headers.getall("Cache-Control") == ["max-age=60"]
    assert "X-Content-Type-Options" not in reply.headers


async def test_a_lambda_answer_sends_no_header_that_is_none(house: House) -> None:
    said = {
        "statusCode": 200,
        "headers": {
            "X-Good": "1",
            "X Bad": "1",
            "X-Bad\r\nSet-Cookie": "a=b",
            "X-Line": "a\r\nSet-Cookie: a=b",
            "": "1",
            "X-Long": "x" * 9_000,
            "Connection": "x-named",
            "X-Named": "1",
            "Transfer-Encoding": "chunked",
            "Content-Length": "1",
            "Server": "mine",
            **{f"X-Many-{number}": "1" for number in range(500)},
        },
        "cookies": ["a=1; HttpOnly"],
        "body": "hello",
    }
    body = json.dumps(said).encode()
    reply = await called(house, f"/fn/{house.function}/x", body=body, lambda_style=True)
    assert (reply.status, await reply.text()) == (200, "hello")
    assert reply.headers["X-Good"] == "1"
    assert reply.headers["Server"] == "penstock"
    assert len([name for name in reply.headers if name.startswith("X-Many-")]) < 80
    assert not {"X Bad", "X-Line", "X-Long", "X-Named"} & set(reply.headers)
    assert "Set-Cookie" not in reply.headers or reply.headers["Set-Cookie"] == "a=1; HttpOnly"


async def test_cookies_of_a_function_pass(house: House) -> None:
    said = {"statusCode": 200, "headers": {"X-A": "1"}, "cookies": ["a=1; HttpOnly", "b=2"], "body": ""}
    reply = await called(house, f"/fn/{house.function}/x", body=json.dumps(said).encode(), lambda_style=True)
    assert reply.headers.getall("Set-Cookie") == ["a=1; HttpOnly", "b=2"]


async def test_a_compressed_event_is_refused_and_a_compressed_request_passes(house: House) -> None:
    refused = await house.post(Content_Encoding="gzip")
    assert refused.status == 400
    assert "send it uncompressed" in (await refused.json(content_type=None))["detail"]
