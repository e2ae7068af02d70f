"""Callbacks are delivered: signed, once, tried again where that may help, and given up where it cannot."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks import Webhook

from penstock import keys
from penstock.blobs import DirectoryBlobs
from penstock.invocation import Event, Failure, FailureCode, Outcome, Response
from penstock.tasks import Tasks
from penstock.webhooks import new_secret, parse_secrets
from tests.conftest import RedisServer
from tests.unit.workers.conftest import Deployed
from tests.unit.workers.samples import MINT
from tests.unit.workers.servers import closed_port, serving
from tests.unit.workers.waiting import until
from workers.callbacks import Callbacks

SECRET = new_secret()
ANSWER = Outcome(
    event=Event.SUCCEED,
    response=Response(status=200, headers=(("Content-Type", "application/json"),), size=10),
    body=b'{"is": "x"}',
)


@dataclass
class Receiver:
    """Whoever is called back; answers with the statuses in order, and with the last one from then on."""

    statuses: list[int]
    url: str = ""
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.got.append((headers, await request.read()))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status == 302 else None)


@asynccontextmanager
async def receiving(*statuses: int) -> AsyncIterator[Receiver]:
    receiver = Receiver(list(statuses))
    async with serving(receiver) as endpoint:
        receiver.url = f"http://127.0.0.1:{endpoint.port}/hook"
        yield receiver


@pytest.fixture
def blobs(tmp_path: Path) -> DirectoryBlobs:
    return DirectoryBlobs(tmp_path / "blobs")


@pytest.fixture
async def callbacks(
    deployed: Deployed, redis_server: RedisServer, blobs: DirectoryBlobs
) -> AsyncIterator[Callbacks]:
    """They deliver while a test runs."""
    callbacks = Callbacks(deployed.store, blobs, url=redis_server.url, keys=parse_secrets(SECRET), timeout=10.0)
    tasks = Tasks()
    tasks.loop("callbacks", callbacks.run)
    tasks.loop("deliveries", callbacks.carrier.run)
    yield callbacks
    await tasks.stop()
    await callbacks.close()


Owe = Callable[..., Any]


@pytest.fixture
def owe(deployed: Deployed, callbacks: Callbacks) -> Owe:
    """Ends a job that owes a callback to a URL; returns its id."""

    async def owe(url: str, outcome: Outcome = ANSWER, job: str | None = None) -> str:
        job = job or MINT.new(deployed.function)
        await deployed.submit(id=job, callback=url)
        run = await deployed.store.queue.take(
            deployed.function, epoch=deployed.epoch, slot="s", nonce=job, instance="i"
        )
        assert run is not None
        await deployed.store.queue.finish(deployed.function, job, run.invocation.token, outcome)
        callbacks.look()
        return job

    return owe


@pytest.fixture
def settled(deployed: Deployed) -> Callable[[], Any]:
    async def settled() -> bool:
        return await deployed.store.outbox.size() == 0

    return settled


async def test_a_callback_tells_how_it_ended_signed_by_the_standard(owe: Owe, settled: Any) -> None:
    async with receiving(204) as receiver:
        job = await owe(receiver.url)
        await until(settled, "it is delivered")
    [(headers, body)] = receiver.got
    said = Webhook(SECRET).verify(body, headers)
    assert said["type"] == "invocation.succeeded"
    assert said["data"]["id"] == job
    assert said["data"]["result"] == {"is": "x"}
    assert headers["webhook-id"] == f"msg_{job}"
    assert headers["content-type"] == "application/json"


async def test_a_failure_is_told_with_its_error(owe: Owe, settled: Any) -> None:
    failure = Failure(code=FailureCode.FUNCTION_ERROR, message="KeyError: 'x'")
    async with receiving(200) as receiver:
        await owe(receiver.url, Outcome(event=Event.FAIL, failure=failure))
        await until(settled, "it is delivered")
    said = json.loads(receiver.got[0][1])
    assert said["type"] == "invocation.failed"
    assert said["data"]["error"]["message"] == "KeyError: 'x'"
    assert said["data"]["result"] is None


async def test_a_large_answer_comes_from_its_blob(owe: Owe, settled: Any, blobs: DirectoryBlobs) -> None:
    async with blobs.writer("fn/large") as blob:
        await blob.write(b"\xff" * 300_000)
        await blob.commit()
    outcome = Outcome(event=Event.SUCCEED, response=Response(status=200, size=300_000, blob="fn/large"))
    async with receiving(200) as receiver:
        await owe(receiver.url, outcome)
        await until(settled, "it is delivered")
    assert len(json.loads(receiver.got[0][1])["data"]["result"]["base64"]) == 400_000


async def test_one_that_is_refused_for_now_is_due_again_in_seconds(
    owe: Owe, callbacks: Callbacks, settled: Any, deployed: Deployed, redis_server: RedisServer
) -> None:
    async with receiving(503, 200) as receiver:
        job = await owe(receiver.url)
        member = f"{deployed.function} {job}"

        async def postponed() -> bool:
            return redis_server.cli("HGET", keys.OUTBOX_TRIES, member) == "1"

        await until(postponed, "the first try has failed")
        due = float(redis_server.cli("ZSCORE", keys.OUTBOX, member)) / 1000 - float(
            redis_server.cli("TIME").split()[0]
        )
        assert 0.0 < due < 6.6, "5 s and a tenth of jitter"
        redis_server.cli("ZADD", keys.OUTBOX, "0", member)  # the time has come
        callbacks.look()
        await until(settled, "it is delivered")
    first, second = receiver.got
    assert first[0]["webhook-id"] == second[0]["webhook-id"], "the receiver can tell that it is the same"
    assert len(receiver.got) == 2


async def test_one_that_nobody_answers_is_due_again(
    owe: Owe, deployed: Deployed, redis_server: RedisServer
) -> None:
    job = await owe(f"http://127.0.0.1:{closed_port().port}/")

    async def postponed() -> bool:
        return redis_server.cli("HGET", keys.OUTBOX_TRIES, f"{deployed.function} {job}") == "1"

    await until(postponed, "the first try has failed")
    assert await deployed.store.outbox.size() == 1


@pytest.mark.parametrize("status", [400, 404, 410, 302])
async def test_one_that_is_refused_for_good_is_given_up(
    owe: Owe, settled: Any, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    async with receiving(status) as receiver:
        await owe(receiver.url)
        await until(settled, "it is given up")
        assert len(receiver.got) == 1, "and a redirect is not followed"
    assert any(f"callback given up: {receiver.url} answered {status}" in text for text in caplog.messages)


async def test_the_tenth_try_is_the_last(
    owe: Owe, settled: Any, deployed: Deployed, redis_server: RedisServer
) -> None:
    async with receiving(503) as receiver:
        job = MINT.new(deployed.function)
        redis_server.cli("HSET", keys.OUTBOX_TRIES, f"{deployed.function} {job}", "9")
        await owe(receiver.url, job=job)
        await until(settled, "it is given up")
        assert len(receiver.got) == 1


async def test_a_callback_whose_record_is_gone_is_dropped(
    callbacks: Callbacks, settled: Any, deployed: Deployed, redis_server: RedisServer
) -> None:
    redis_server.cli("ZADD", keys.OUTBOX, "0", f"{deployed.function} {MINT.new(deployed.function)}")
    callbacks.look()
    await until(settled, "it is dropped")
