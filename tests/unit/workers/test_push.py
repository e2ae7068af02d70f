"""Whether a server has let go of a call that was given up: by its own word, or as far as anybody can tell."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from penstock.blobs import DirectoryBlobs
from penstock.function import Function
from penstock.invocation import Request
from tests.unit.workers.samples import function, invocation
from tests.unit.workers.servers import Handler, answering, closed_port, serving
from workers.channel import Channel
from workers.engines import Endpoint
from workers.engines.process import ProcessEngine
from workers.instances import Instance
from workers.push import Push

COG = function(protocol="cog")


@pytest.fixture
async def push(tmp_path: Path) -> AsyncIterator[Push]:
    channel = Channel(DirectoryBlobs(tmp_path), max_answer=1_000)
    yield Push(channel, ProcessEngine(data_dir=tmp_path, deployment="tests of push"))
    await channel.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.push._GRACE", 0.3)


def instance(of: Function, endpoint: Endpoint, *, suspect: bool = False) -> Instance:
    made = Instance(of)
    made.endpoint, made.suspect = endpoint, suspect
    return made


def counting(*statuses: int) -> tuple[Handler, list[tuple[str, str]]]:
    """Answers these statuses, the last one again and again."""
    asked: list[tuple[str, str]] = []

    async def handler(request: web.BaseRequest) -> web.Response:
        asked.append((request.method, request.path))
        return web.Response(status=statuses[min(len(asked), len(statuses)) - 1])

    return handler, asked


async def test_a_server_that_can_cancel_is_asked_until_it_knows_the_call_no_more(push: Push) -> None:
    one = invocation(token=2)
    handler, asked = counting(200, 200, 404)
    async with serving(handler) as endpoint:
        assert await push.lets_go(instance(COG, endpoint), one)
    assert asked == [("POST", f"/predictions/{one.id}-2/cancel")] * 3


@pytest.mark.usefixtures("impatient")
async def test_one_that_goes_on_with_it_has_not_let_go(push: Push) -> None:
    handler, asked = counting(200)
    async with serving(handler) as endpoint:
        assert not await push.lets_go(instance(COG, endpoint), invocation())
    assert len(asked) > 1


async def test_one_that_does_not_answer_is_as_stuck_as_one_that_says_so(push: Push) -> None:
    assert not await push.lets_go(instance(COG, closed_port()), invocation())


async def test_an_http_call_there_is_no_prediction_to_be_cancelled(push: Push) -> None:
    handler, asked = counting(404)
    async with serving(handler) as endpoint:
        http = invocation(request=Request(method="GET", path="/docs"))
        assert not await push.lets_go(instance(COG, endpoint), http)
    assert asked == []


async def test_any_other_server_has_let_go_only_of_a_connection_that_it_closed_itself(push: Push) -> None:
    async with answering() as server:
        assert not await push.lets_go(instance(function(), server.endpoint), invocation())
        assert await push.lets_go(instance(function(), server.endpoint, suspect=True), invocation())
    assert not await push.lets_go(instance(function(), closed_port(), suspect=True), invocation())
