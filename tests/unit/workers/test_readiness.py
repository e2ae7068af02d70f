"""From a started process to one that may be called: its port, its health, its initialize hook."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from penstock.blobs import DirectoryBlobs
from penstock.function import Function
from tests.unit.workers.samples import function
from tests.unit.workers.servers import answering, closed_port
from workers.channel import Channel
from workers.engines import Endpoint, Order
from workers.engines.process import ProcessEngine
from workers.readiness import NotReady, wait_until_ready

SERVER = [sys.executable, "-S", str(Path(__file__).with_name("planned_server.py"))]
INITIALIZE = {"initialize": {"path": "/initialize", "timeout": "30s"}}
HEALTH = {"health": {"path": "/health"}}


def planned(plan: dict[str, list[Any]], **lifecycle: Any) -> Function:
    return function(command=SERVER, env={"PLAN": json.dumps(plan)}, lifecycle=lifecycle)


class Start:
    """Starts instances as the pool does and waits until they are ready."""

    def __init__(self, engine: ProcessEngine, channel: Channel) -> None:
        self.engine = engine
        self.channel = channel
        self.listening = 0

    async def process(self, what: Function) -> Endpoint:
        return await self.engine.start(Order(instance="echo-1", function=what, epoch=1))

    async def ready(self, what: Function, *, at: Endpoint | None = None) -> Endpoint:
        endpoint = await self.process(what)
        await self.wait(what, at or endpoint)
        return endpoint

    async def wait(self, what: Function, endpoint: Endpoint) -> None:
        await wait_until_ready(self.channel, self.engine, "echo-1", endpoint, what, self._listens)

    async def asked(self, endpoint: Endpoint) -> Sequence[tuple[str, str, dict[str, str]]]:
        """What the server was asked, but for our looks at its port."""
        _, _, body = await self.channel.ask(endpoint, "GET", "/asked", timeout=5)
        return [tuple(one) for one in json.loads(body)]

    def _listens(self) -> None:
        self.listening += 1


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    engine = ProcessEngine(data_dir=tmp_path, deployment="tests of readiness")
    channel = Channel(DirectoryBlobs(tmp_path / "blobs"), max_answer=2**20)
    yield Start(engine, channel)
    await channel.close()
    await engine.stop("echo-1", grace=0.0)


async def test_without_hooks_it_is_ready_when_it_listens(start: Start) -> None:
    endpoint = await start.ready(planned({}))
    assert start.listening == 1
    assert await start.asked(endpoint) == [], "a server that has no hook is not asked for one"


async def test_initialize_is_asked_once_and_as_the_contract_says(start: Start) -> None:
    endpoint = await start.ready(planned({"/initialize": [[200, ""]]}, **INITIALIZE))
    [(method, path, headers)] = await start.asked(endpoint)
    assert (method, path) == ("POST", "/initialize")
    assert headers["x-fc-request-id"] == "echo-1"
    assert headers["x-fc-control-path"] == "/initialize"
    assert headers.get("content-length", "0") == "0"


async def test_initialize_is_asked_again_while_it_answers_400_or_404(start: Start) -> None:
    plan = {"/initialize": [[404, "no route yet"], [400, ""], [404, ""], [204, ""]]}
    endpoint = await start.ready(planned(plan, **INITIALIZE))
    assert len(await start.asked(endpoint)) == 4


async def test_initialize_is_not_asked_for_longer_than_its_timeout(start: Start) -> None:
    hook = {"path": "/initialize", "timeout": "1s"}
    # The others are for a time that ran out in the middle of the last request.
    says = (
        r"initialize \(/initialize\) (still answers 404 after|did not succeed within) 1 s"
        r"|initialize: POST /initialize took longer than"
    )
    with pytest.raises(NotReady, match=says):
        await start.ready(planned({}, initialize=hook))


async def test_initialize_that_never_answers_is_given_up(start: Start) -> None:
    hook = {"path": "/initialize", "timeout": "1s"}
    with pytest.raises(NotReady, match=r"initialize \(/initialize\) did not succeed within 1 s"):
        await start.ready(planned({"/initialize": ["sleep"]}, initialize=hook))


@pytest.mark.parametrize("status", [301, 401, 403, 500, 503])
async def test_initialize_with_another_status_is_final_and_tells_its_text(start: Start, status: int) -> None:
    plan = {"/initialize": [[status, "CUDA out of memory\n"], [200, ""]]}
    with pytest.raises(NotReady) as failure:
        await start.ready(planned(plan, **INITIALIZE))
    assert str(failure.value) == f"initialize (/initialize) answered {status}: CUDA out of memory"


async def test_a_long_text_of_initialize_is_cut(start: Start) -> None:
    with pytest.raises(NotReady) as failure:
        await start.ready(planned({"/initialize": [[500, "x" * 5000]]}, **INITIALIZE))
    assert len(str(failure.value)) < 300


async def test_initialize_that_raises_in_our_runtime_tells_the_error(start: Start) -> None:
    said = [500, '{"errorMessage": "no such model"}', {"Penstock-Error": "OSError"}]
    with pytest.raises(NotReady, match="initialize raised OSError: no such model"):
        await start.ready(planned({"/initialize": [said]}, **INITIALIZE))


async def test_health_is_asked_until_it_succeeds_and_before_initialize(start: Start) -> None:
    plan = {"/health": [[503, ""], [500, ""], [399, ""]], "/initialize": [[200, ""]]}
    endpoint = await start.ready(planned(plan, **INITIALIZE, **HEALTH))
    assert [path for _, path, _ in await start.asked(endpoint)] == ["/health"] * 3 + ["/initialize"]


@pytest.mark.parametrize(("answer", "why"), [([503, ""], "it answers 503"), ([400, ""], "it answers 400")])
async def test_health_that_never_succeeds_is_given_up(start: Start, answer: list[Any], why: str) -> None:
    what = planned({"/health": [answer]}, **HEALTH, start_timeout="300ms")
    endpoint = await start.process(what)
    await start.wait(planned({}), endpoint)  # it listens: only its health can fail now
    with pytest.raises(NotReady, match=rf"health check /health did not succeed within 0\.3 s: {why}"):
        await start.wait(what, endpoint)


async def test_a_process_that_does_not_listen_in_time_is_given_up(start: Start) -> None:
    what = function(command=["sleep", "60"], lifecycle={"start_timeout": "200ms"})
    with pytest.raises(NotReady, match=r"nothing listens on port \d+ after 0\.2 s"):
        await start.ready(what)
    assert start.listening == 0


async def test_a_strangers_port_is_not_taken_for_the_instances(start: Start) -> None:
    # The command ignores $PORT, and another process has that port.
    async with answering() as stranger:
        what = function(command=["sleep", "60"])
        with pytest.raises(NotReady, match=rf"port {stranger.endpoint.port}: the command must use \$PORT"):
            await start.ready(what, at=stranger.endpoint)
    assert start.listening == 0


async def test_a_port_that_opens_late_is_waited_for(start: Start) -> None:
    what = planned({})
    late = function(command=["sh", "-c", f"sleep 0.3; exec {' '.join(SERVER)}"], env=dict(what.spec.env))
    await start.ready(late)
    assert start.listening == 1


async def test_a_handler_is_ready_only_when_its_runtime_answers(start: Start) -> None:
    # Its socket was made before its interpreter ran, so that a connection alone says nothing.
    handler = function(path="/srv/echo")
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n" + b'{"running":[]}') as runtime:
        with pytest.raises(NotReady, match="another process listens"):
            await start.wait(handler, runtime.endpoint)
        assert runtime.requests[0].startswith(b"GET /.penstock/status ")
    async with answering() as broken:
        with pytest.raises(NotReady, match=r"GET /\.penstock/status"):
            await start.wait(handler, broken.endpoint)


async def test_it_can_be_given_up_at_any_moment(start: Start) -> None:
    waiting = asyncio.create_task(start.wait(function(), closed_port()))
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
