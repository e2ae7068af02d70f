"""A real gateway in the test's own process, on a real Redis, and a hand that does what workers would."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from blockbuster import blockbuster_ctx

from gateway.app import make_app
from gateway.context import GATEWAY, Gateway
from penstock import keys
from penstock.blobs import DirectoryBlobs
from penstock.function import FunctionSpec
from penstock.invocation import Event, Failure, FailureCode, Invocation, Outcome, Response, Run
from penstock.settings import Settings
from penstock.store import Store
from tests.conftest import RedisServer
from tests.unit.workers.waiting import until

MAY_BLOCK = {
    # Once, when a process constructs its parts.
    "penstock/store/scripts.py": {"load"},
    # Local paths, once, and at each scrape of several gateways.
    "gateway/siblings.py": {"open", "close", "expositions"},
    # Said in pyproject.toml: a stat on a local path costs less than a thread. `__aexit__` removes a partial file.
    "penstock/blobs.py": {"_path", "__aexit__"},
}


@pytest.fixture(autouse=True)
def no_blocking_call() -> Iterator[None]:
    """A blocking call of the product on the event loop fails the test."""
    with blockbuster_ctx(["penstock", "gateway"]) as blockbuster:
        for function in blockbuster.functions.values():
            for file, names in MAY_BLOCK.items():
                function.can_block_in(file, names)
        yield


class House:
    """A gateway, one deployed function, and the workers' side of the store."""

    def __init__(self, client: TestClient[Any, Any], store: Store, redis: RedisServer, function: str) -> None:
        self.client = client
        self.store = store
        self.redis = redis
        self.function = function
        self.epoch = 0
        self._nonces = itertools.count()

    @property
    def gateway(self) -> Gateway:
        parts: Gateway = self.client.app[GATEWAY]
        return parts

    @property
    def calls(self) -> str:
        return f"/v1/functions/{self.function}/invocations"

    async def deploy(self, name: str | None = None, **spec: Any) -> None:
        self.gateway.directory.forget(name or self.function)
        fields = {"command": ["server"], **spec}
        await self.store.catalog.deploy(name or self.function, FunctionSpec.model_validate(fields))

    async def post(self, body: bytes = b"event", **headers: str) -> ClientResponse:
        """An event call; `Prefer` and the like as keywords with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post(self.calls, data=body, headers=named)

    async def submit(self, body: bytes = b"event", **headers: str) -> str:
        """An async job; its id."""
        response = await self.post(body, Prefer="respond-async", **headers)
        assert response.status == 202, await response.text()
        job: str = (await response.json())["id"]
        return job

    async def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Status and JSON of a GET below this function's invocations: an id, or a question to the list."""
        response = await self.client.get(self.calls + ("" if path.startswith("?") else "/") + path)
        return response.status, await response.json()

    async def record(self, invocation_id: str) -> Invocation:
        record = await self.store.invocations.get(self.function, invocation_id)
        assert record is not None
        return record

    async def take(self) -> Run:
        """What a worker does with a free slot, as soon as something waits."""

        async def take() -> Run | None:
            nonce = f"n{next(self._nonces)}"
            return await self.store.queue.take(
                self.function, epoch=self.epoch, slot="slot", nonce=nonce, instance="instance-1"
            )

        run = await until(take, "something waits in the queue")
        assert run is not None
        return run

    async def finish(self, run: Run, outcome: Outcome | None = None) -> None:
        one = run.invocation
        await self.store.queue.finish(self.function, one.id, one.token, outcome or answer())

    async def waiting(self, count: int = 1) -> None:
        """Until so many invocations wait in the queue."""

        async def enough() -> bool:
            return await self.queued() == count

        await until(enough, f"{count} wait")

    async def redis_publish(self, text: str) -> None:
        """As a script tells the function's feed."""
        await self.store._connection.command("PUBLISH", keys.feed(self.function), text)

    async def queued(self) -> int:
        return int(self.redis.cli("ZCARD", keys.queued(self.function)))


def answer(body: bytes = b"answer", status: int = 200, **response: Any) -> Outcome:
    headers = response.pop("headers", (("Content-Type", "text/plain"), ("X-Model", "m1")))
    said = Response(status=status, headers=headers, size=len(body), **response)
    timeline = {"queued": 1.5, "starting": 20.0, "initializing": 30.0, "running": 4.25}
    if status < 400:
        return Outcome(event=Event.SUCCEED, response=said, body=body, timeline=timeline, cold_start=True)
    failure = Failure(code=FailureCode.FUNCTION_ERROR, message=f"the function answered {status}")
    return Outcome(event=Event.FAIL, response=said, body=body, failure=failure, timeline=timeline)


def failed(code: FailureCode = FailureCode.FUNCTION_ERROR, message: str = "KeyError: 'x'") -> Outcome:
    event = Event.TIME_OUT if code is FailureCode.RUN_TIMEOUT else Event.FAIL
    return Outcome(event=event, failure=Failure(code=code, message=message, log_tail="last lines"))


OpenHouse = Callable[..., Any]


@pytest.fixture
async def open_house(
    redis_server: RedisServer, store: Store, unique: str, tmp_path: Path
) -> AsyncIterator[OpenHouse]:
    """`await open_house(hold=0.2, …)`: a house whose gateway has these settings."""
    async with AsyncExitStack() as stack:

        async def open_house(*, redis: RedisServer = redis_server, **gateway: Any) -> House:
            own = store if redis is redis_server else Store(redis.url, timeout=1.0)
            if own is not store:
                stack.push_async_callback(own.close)
            settings = Settings(
                secret="s" * 32,
                data_dir=tmp_path,
                gateway={"hold": 30.0, **gateway},
                callbacks={"allow": "127.0.0.0/8"},
            )
            app = make_app(settings, own)
            # As gateway/app.py runs it.
            client = TestClient(TestServer(app))
            await client.start_server()
            parts = app[GATEWAY]
            parts.tasks.loop("waiters", parts.waiters.listen)
            parts.tasks.loop("late waiters", parts.waiters.look_again)
            parts.tasks.loop("observers", parts.observers.look)
            stack.push_async_callback(client.close)
            stack.push_async_callback(parts.tasks.stop)
            house = House(client, own, redis, unique)
            await house.deploy()
            house.epoch = await own.leadership.lead("leader") or 0
            await subscribed(redis, parts.waiters.gateway)
            return house

        yield open_house


async def subscribed(redis: RedisServer, gateway: str) -> None:
    """Until the gateway hears what is published to it."""

    async def hears() -> bool:
        return redis.cli("PUBSUB", "NUMSUB", keys.reply(gateway)).split()[-1] == "1"

    await until(hears, "the gateway has subscribed")


@pytest.fixture
async def house(open_house: OpenHouse) -> House:
    opened: House = await open_house()
    return opened


@pytest.fixture
def blobs(tmp_path: Path) -> DirectoryBlobs:
    """The gateway's own."""
    return DirectoryBlobs(tmp_path / "blobs")


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """A Redis for one test, which may kill it."""
    with tempfile.TemporaryDirectory(prefix="ps-") as folder:
        server = RedisServer(Path(folder))
        server.start()
        yield server
        server.kill()
