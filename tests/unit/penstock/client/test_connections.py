"""Connections that break, replies that are lost, gateways that ask to come back: a function runs once."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from penstock import client as api
from penstock.client import AsyncClient
from penstock.errors import ConfigurationError
from tests.faults.proxy import Proxy
from tests.unit.gateway.conftest import House, answer
from tests.unit.workers.waiting import until


async def jobs(house: House) -> int:
    return len(await house.store.invocations.list_jobs(house.function, beyond=None, limit=100))


async def test_a_job_whose_202_was_lost_is_submitted_once(
    house: House, proxy: Proxy, patient: AsyncClient
) -> None:
    loss = proxy.swallow(b"POST /v1/functions/", times=2)
    job = await patient.submit(house.function, "once")
    assert loss.seen.is_set()
    assert await jobs(house) == 1
    assert (await job.status())["state"] == "queued"


async def test_a_held_call_whose_connection_breaks_gets_the_answer_of_its_one_run(
    house: House, proxy: Proxy, patient: AsyncClient
) -> None:
    call = asyncio.create_task(patient.invoke(house.function, "once"))
    run = await house.take()
    for _ in range(3):
        links = proxy.links
        proxy.drop()

        async def came_back(links: int = links) -> bool:
            return proxy.links > links

        await until(came_back, "the client is back")
    await house.finish(run, answer(b"the only one"))
    said = await call
    assert (said.text, said.invocation_id) == ("the only one", run.invocation.id)
    assert await house.queued() == 0


async def test_a_poll_whose_reply_stalls_is_sent_again(house: House, proxy: Proxy) -> None:
    async with AsyncClient(f"http://127.0.0.1:{proxy.port}", timeout=0.3) as client:
        job = await client.submit(house.function)
        loss = proxy.swallow(b"GET /v1/functions/", stall=True)
        assert (await job.status())["id"] == job.id
        assert loss.seen.is_set()


async def test_a_retry_whose_reply_was_lost_makes_one_job(
    house: House, proxy: Proxy, patient: AsyncClient
) -> None:
    job = await patient.submit(house.function)
    await house.finish(await house.take())
    loss = proxy.swallow(b"/retry ")
    again = await job.retry()
    assert loss.seen.is_set()
    assert (await again.status())["retry_of"] == job.id
    assert await jobs(house) == 2


async def test_a_cancel_whose_reply_was_lost_has_cancelled(
    house: House, proxy: Proxy, patient: AsyncClient
) -> None:
    job = await patient.submit(house.function)
    loss = proxy.swallow(b"DELETE ")
    assert (await job.cancel())["state"] == "cancelled"
    assert loss.seen.is_set()


async def test_who_does_not_come_through_is_told_after_the_last_try(house: House, proxy: Proxy) -> None:
    proxy.cut()
    async with AsyncClient(f"http://127.0.0.1:{proxy.port}", retries=3) as client:
        with pytest.raises(api.Unreachable, match=r"the connection to the gateway at .* was lost"):
            await client.functions()
        proxy.heal()
        assert [one["name"] for one in await client.functions()] == [house.function]


async def test_where_no_gateway_answers_it_says_how_to_start_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    async with AsyncClient(url, retries=1) as client:
        with pytest.raises(api.Unreachable) as error:
            await client.get("/v1/functions")
    text = str(error.value)
    assert text.startswith(f"no gateway answers at {url} (")
    assert text.endswith("start one with `penstock up`, or give another url")


@pytest.mark.parametrize("url", ["not a url", "localhost:8080", "http://", "ftp://127.0.0.1", "http://[::1"])
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigurationError, match="is no address of a gateway: write http://HOST:PORT"):
        AsyncClient(url)


# What a proxy before the gateway, or a gateway of tomorrow, may say.


class Script:
    """A server that says one thing after the other, the last one for ever."""

    def __init__(self) -> None:
        self.says: list[web.Response] = []
        self.asked: list[tuple[str, str, bytes, dict[str, str]]] = []
        self.url = ""

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        self.asked.append((request.method, request.path_qs, await request.read(), dict(request.headers)))
        said = self.says.pop(0) if len(self.says) > 1 else self.says[0]
        return web.Response(status=said.status, body=said.body, headers=said.headers)


@pytest.fixture
async def script() -> AsyncIterator[Script]:
    script = Script()
    runner = web.ServerRunner(web.Server(script))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    script.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield script
    await runner.cleanup()


def refused(status: int, **headers: str) -> web.Response:
    problem = json.dumps({"code": "queue_full", "detail": "full", "retryable": True})
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.Response(status=status, text=problem, content_type="application/problem+json", headers=named)


@pytest.mark.parametrize(
    ("refusal", "tries"),
    [
        (refused(429, Retry_After="0"), 3),
        (refused(503, Retry_After="0"), 3),
        (web.Response(status=502, text="<html>"), 3),
        (web.Response(status=504), 3),
        (refused(429), 1),
        (refused(503, Retry_After="3600"), 1),
        (refused(500), 1),
        (refused(400), 1),
        (refused(409, Retry_After="0"), 1),
        (web.Response(status=301, headers={"Location": "/elsewhere"}), 1),
    ],
)
async def test_which_refusals_are_tried_again_all_under_one_key(
    script: Script, refusal: web.Response, tries: int
) -> None:
    script.says = [refusal]
    async with AsyncClient(script.url, retries=2) as client:
        with pytest.raises(api.ApiError) as error:
            await client.submit("f", "event")
    assert error.value.status == refusal.status
    assert len(script.asked) == tries
    assert len({headers["Idempotency-Key"] for *_, headers in script.asked}) == 1
    assert {body for _, _, body, _ in script.asked} == {b"event"}


async def test_what_has_ended_so_is_not_asked_for_again(script: Script) -> None:
    ended = {"Penstock-Cold-Start": "false", "Penstock-Invocation-Id": "i1"}
    script.says = [web.Response(status=503, text="mine", headers={**ended, "Retry-After": "0"})]
    async with AsyncClient(script.url) as client:
        with pytest.raises(api.FunctionError, match="the function answered 503") as error:
            await client.invoke("f")
    assert error.value.answer is not None
    assert error.value.answer.text == "mine"
    assert [method for method, *_ in script.asked] == ["POST", "GET"], "called once, and looked up"


async def test_a_key_of_the_api_is_a_bearer_token(script: Script) -> None:
    script.says = [web.json_response({"functions": []})]
    async with AsyncClient(script.url, api_key="psk_1") as client:
        assert await client.functions() == []
    assert script.asked[0][3]["Authorization"] == "Bearer psk_1"


@pytest.mark.parametrize("said", [b"<html>", b"", b"[]", b"null"])
async def test_what_is_no_gateway_is_told_so(script: Script, said: bytes) -> None:
    script.says = [web.Response(body=said)]
    async with AsyncClient(script.url) as client:
        with pytest.raises(api.ApiError, match="what answers there is no Penstock gateway"):
            await client.functions()


async def test_get_asks_and_change_sends_json(script: Script) -> None:
    script.says = [web.json_response({"a": 1})]
    async with AsyncClient(script.url + "/") as client:
        assert await client.get("/v1/x", limit=5, state="queued") == {"a": 1}
        assert await client.change("PUT", "/v1/x", {"b": 2}) == {"a": 1}
    assert [asked[:3] for asked in script.asked] == [
        ("GET", "/v1/x?limit=5&state=queued", b""),
        ("PUT", "/v1/x", b'{"b": 2}'),
    ]


async def test_a_client_serves_one_loop_after_another(script: Script) -> None:
    script.says = [web.json_response({"functions": []})]
    client = AsyncClient(script.url)
    assert await client.functions() == []

    async def elsewhere() -> None:
        assert await client.functions() == []
        await client.close()

    await asyncio.to_thread(asyncio.run, elsewhere())
