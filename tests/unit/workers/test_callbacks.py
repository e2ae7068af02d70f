"""Callbacks are delivered: signed, once, tried again where that may help, and given up where it cannot."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import svix
from aiohttp import web
from standardwebhooks import Webhook

from penstock import egress, keys, webhooks
from penstock.batch import Seal
from penstock.blobs import DirectoryBlobs
from penstock.delivery import Delivery
from penstock.events import Kind
from penstock.function import FunctionSpec
from penstock.invocation import Event, Failure, FailureCode, Outcome, Response
from penstock.settings import CallbackSettings
from penstock.tasks import Tasks
from penstock.telemetry.metrics import Metrics
from penstock.webhooks import new_secret
from tests.conftest import RedisServer
from tests.unit.workers.conftest import Deployed, Hand
from tests.unit.workers.samples import IDS, MINT
from tests.unit.workers.servers import closed_port, serving
from tests.unit.workers.waiting import until
from workers.callbacks import Callbacks
from workers.retries import SCHEDULE
from workers.submitting import Submitting

SECRET = new_secret()
FAILED = Outcome(event=Event.FAIL, failure=Failure(code=FailureCode.FUNCTION_ERROR, message="KeyError: 'x'"))
TIMEOUT = 1.0
RESET, HANG = 999, 998
ANSWER = Outcome(
    event=Event.SUCCEED,
    response=Response(status=200, headers=(("Content-Type", "application/json"),), size=10),
    body=b'{"is": "x"}',
)


@dataclass
class Receiver:
    """Whoever is called back; answers with the statuses in order, and with the last one from then on."""

    statuses: list[int]
    headers: dict[str, str] = field(default_factory=dict)
    url: str = ""
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        said = {name.lower(): value for name, value in request.headers.items()}
        self.got.append((said, await request.read()))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status == RESET:
            assert request.transport is not None
            request.transport.abort()
        if status == HANG:
            await asyncio.sleep(60)
        headers = {} if status == 500 else self.headers
        return web.Response(status=status, headers=headers, text="what I have to say")


@asynccontextmanager
async def receiving(*statuses: int, **headers: str) -> AsyncIterator[Receiver]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    receiver = Receiver(list(statuses), named)
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
    settings = CallbackSettings(secret=SECRET, timeout=TIMEOUT, allow="127.0.0.0/8", base_url="https://ps.example")
    submitting = Submitting(deployed.store, blobs, secret=IDS)
    callbacks = Callbacks(deployed.store, blobs, submitting, settings, Metrics(), url=redis_server.url)
    tasks = Tasks()
    tasks.loop("callbacks", callbacks.run)
    tasks.loop("deliveries", callbacks.carrier.run)
    yield callbacks
    await tasks.stop()
    await callbacks.close()


@dataclass
class Desk:
    """Ends jobs that owe callbacks, and looks at what becomes of those."""

    deployed: Deployed
    callbacks: Callbacks
    redis: RedisServer

    async def owe(self, url: str | None, outcome: Outcome = ANSWER, **submission: Any) -> str:
        """Ends a job that owes a callback to a URL; returns its id."""
        deployed = self.deployed
        job = await deployed.submit(callback=url, **submission)
        run = await deployed.store.queue.take(
            deployed.function, epoch=deployed.epoch, slot="s", nonce=job, instance="i"
        )
        assert run is not None
        await deployed.store.queue.finish(deployed.function, job, run.invocation.token, outcome)
        self.callbacks.look()
        return job

    async def ledger(self) -> list[Delivery]:
        ledger = self.deployed.store.deliveries
        names = await ledger.names(self.deployed.function, since_ms=0, until_ms=10**15)
        found = [await ledger.get(self.deployed.function, name) for name, _ in names]
        return [one for one in found if one is not None]

    async def one(self) -> Delivery:
        [delivery] = await self.ledger()
        return delivery

    async def settled(self) -> None:
        """Until nothing is owed any more."""

        async def settled() -> bool:
            store = self.deployed.store
            return await store.outbox.size() == 0 and await store.deliveries.hosts_owed() == 0

        await until(settled, "nothing is owed")

    async def attempted(self, times: int) -> Delivery:
        """Until the only delivery was attempted so often and is not being attempted."""

        async def attempted() -> Delivery | None:
            found = await self.ledger()
            return found[0] if found and found[0].made == times else None

        found = await until(attempted, f"attempt {times}")
        assert found is not None
        return found

    async def put_off(self) -> float:
        """Seconds until the next attempt."""
        delivery = await self.one()
        assert delivery.due_at is not None
        seconds, microseconds = self.redis.cli("TIME").split()
        return delivery.due_at / 1000 - float(seconds) - float(microseconds) / 1e6

    async def let_time_pass(self) -> None:
        """The next attempt of the only delivery is due."""
        delivery = await self.one()
        host = egress.origin(delivery.url)
        self.redis.cli("ZADD", keys.LANE + host, "0", f"{delivery.function} {delivery.name}")
        self.redis.cli("ZADD", keys.LANES, "0", host)
        self.callbacks.look()


@pytest.fixture
def desk(deployed: Deployed, callbacks: Callbacks, redis_server: RedisServer) -> Desk:
    return Desk(deployed, callbacks, redis_server)


async def test_a_callback_tells_how_it_ended_signed_by_the_standard(desk: Desk) -> None:
    async with receiving(204) as receiver:
        job = await desk.owe(receiver.url)
        await desk.settled()
    [(headers, body)] = receiver.got
    said = Webhook(SECRET).verify(body, headers)
    svix.Webhook(SECRET).verify(body, headers)  # raises unless it fits
    assert webhooks.verify(SECRET, headers, body) == said
    assert said["type"] == "invocation.succeeded"
    assert said["data"]["id"] == job
    assert said["data"]["result"] == {"is": "x"}
    assert headers["webhook-id"] == f"msg_{job}"
    assert headers["content-type"] == "application/json"
    path = f"https://ps.example/v1/functions/{desk.deployed.function}/invocations/{job}"
    assert said["data"]["links"]["result"] == f"{path}/result"


async def test_every_attempt_is_in_the_ledger(desk: Desk) -> None:
    async with receiving(503, 204) as receiver:
        await desk.owe(receiver.url)
        first = await desk.attempted(1)
        assert first.state == "pending"
        await desk.let_time_pass()
        await desk.settled()
    delivery = await desk.one()
    assert delivery.state == "delivered"
    assert delivery.url == receiver.url
    refused, taken = delivery.attempts
    assert (refused.status, taken.status, taken.error) == (503, 204, None)
    assert refused.error == f"{receiver.url} answered 503: what I have to say"
    bodies = [hashlib.sha256(body).hexdigest() for _, body in receiver.got]
    assert [refused.sha256, taken.sha256] == bodies
    assert 0 <= taken.ms < 1000 * TIMEOUT
    assert taken.at >= refused.at > 1_700_000_000_000


async def test_a_failure_is_told_with_its_error(desk: Desk) -> None:
    async with receiving(200) as receiver:
        await desk.owe(receiver.url, FAILED)
        await desk.settled()
    said = json.loads(receiver.got[0][1])
    assert said["type"] == "invocation.failed"
    assert said["data"]["error"]["message"] == "KeyError: 'x'"
    assert said["data"]["result"] is None


@pytest.mark.parametrize(("size", "told"), [(20_000, True), (20_001, False), (300_000, False)])
async def test_a_result_that_is_large_is_not_told_but_where_it_is(desk: Desk, size: int, told: bool) -> None:
    response = Response(status=200, headers=(("Content-Type", "text/plain"),), size=size)
    async with receiving(200) as receiver:
        await desk.owe(receiver.url, Outcome(event=Event.SUCCEED, response=response, body=b"x" * size))
        await desk.settled()
    data = json.loads(receiver.got[0][1])["data"]
    assert data["result"] == ("x" * size if told else None)
    assert data["response"]["size"] == size
    assert data["links"]["result"].endswith("/result")


async def test_a_result_comes_from_its_blob(desk: Desk, blobs: DirectoryBlobs) -> None:
    async with blobs.writer("fn/streamed") as blob:
        await blob.write(b"\xff" * 300)
        await blob.commit()
    outcome = Outcome(event=Event.SUCCEED, response=Response(status=200, size=300, blob="fn/streamed"))
    async with receiving(200) as receiver:
        await desk.owe(receiver.url, outcome)
        await desk.settled()
    assert len(json.loads(receiver.got[0][1])["data"]["result"]["base64"]) == 400


async def test_a_thin_callback_carries_no_result(desk: Desk) -> None:
    async with receiving(200) as receiver:
        job = await desk.owe(receiver.url, callback_payload="thin")
        await desk.settled()
    data = json.loads(receiver.got[0][1])["data"]
    assert set(data) == {"id", "function", "state", "attempt", "links"}
    assert (data["id"], data["state"]) == (job, "succeeded")


async def test_a_start_is_told_if_it_was_asked_for(desk: Desk) -> None:
    async with receiving(200) as receiver:
        job = await desk.owe(receiver.url, callback_events=("started", "completed"))
        await desk.settled()
    told = {headers["webhook-id"]: json.loads(body)["type"] for headers, body in receiver.got}
    assert told == {f"msg_{job}": "invocation.succeeded", f"msg_{job}_started": "invocation.started"}


async def test_progress_and_output_are_told_as_they_come(desk: Desk) -> None:
    store, function = desk.deployed.store, desk.deployed.function
    async with receiving(200) as receiver:
        await desk.deployed.submit(callback=receiver.url, callback_events=("progress", "output"))
        run = await store.queue.take(function, epoch=desk.deployed.epoch, slot="s", nonce="n", instance="i")
        assert run is not None
        said: list[tuple[Kind, str]] = [("progress", '{"progress":0.5}'), ("output", '{"text":"Hal"}')]
        await store.events.emit(function, run.invocation.id, run.invocation.token, said, first=1)
        desk.callbacks.look()
        await desk.settled()
        said = [("output", '{"text":"lo"}')]
        await store.events.emit(function, run.invocation.id, run.invocation.token, said, first=3)
        desk.callbacks.look()
        await desk.settled()
    told = {headers["webhook-id"]: json.loads(body) for headers, body in receiver.got}
    base = f"msg_{run.invocation.id}"
    assert set(told) == {f"{base}_progress", f"{base}_output", f"{base}_output_2"}
    assert told[f"{base}_progress"]["type"] == "invocation.progress"
    assert told[f"{base}_progress"]["data"]["progress"] == {"progress": 0.5}
    assert told[f"{base}_output"]["data"]["output"] == [{"text": "Hal"}]
    assert told[f"{base}_output_2"]["data"]["output"] == [{"text": "Hal"}, {"text": "lo"}]
    assert told[f"{base}_output_2"]["data"]["state"] == "running"


async def test_the_end_of_a_batch_is_told_once(desk: Desk) -> None:
    store, function = desk.deployed.store, desk.deployed.function
    batch = MINT.new_batch(function)
    async with receiving(200) as receiver:
        await store.batches.open(function, batch, lines=0, callback=receiver.url, key=None)
        await store.batches.seal(function, batch, Seal.SUBMITTED)
        desk.callbacks.look()
        await desk.settled()
    [(headers, body)] = receiver.got
    said = Webhook(SECRET).verify(body, headers)
    assert headers["webhook-id"] == f"msg_{batch}"
    assert (said["type"], said["data"]["id"]) == ("batch.completed", batch)
    assert said["data"]["links"]["self"].startswith("https://ps.example/")
    assert (await desk.one()).what == "batch"


@pytest.mark.parametrize(("outcome", "path"), [(ANSWER, "/hook/success"), (FAILED, "/hook/failure")])
async def test_the_functions_own_endpoints_are_told_beside_that_of_the_request(
    desk: Desk, outcome: Outcome, path: str
) -> None:
    async with receiving(200) as receiver:
        own = {"on_success": f"{receiver.url}/success", "on_failure": f"{receiver.url}/failure"}
        spec = FunctionSpec.model_validate({"command": ["server"], "callbacks": own})
        await desk.deployed.store.catalog.deploy(desk.deployed.function, spec)
        await desk.owe(receiver.url, outcome, destinations=True)
        await desk.settled()
    assert {one.url for one in await desk.ledger()} == {receiver.url, f"{receiver.url[:-5]}{path}"}
    assert {one.state for one in await desk.ledger()} == {"delivered"}
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1


async def test_an_endpoint_that_is_named_twice_is_told_once(desk: Desk) -> None:
    async with receiving(200) as receiver:
        spec = FunctionSpec.model_validate({"command": ["server"], "callbacks": {"on_success": receiver.url}})
        await desk.deployed.store.catalog.deploy(desk.deployed.function, spec)
        await desk.owe(receiver.url, destinations=True)
        await desk.settled()
    assert len(receiver.got) == 1


async def test_a_receiver_that_fails_in_every_way_is_told_in_the_end(desk: Desk, hand: Hand) -> None:
    """500 three times, no answer in time, a reset, 429; the clock of the circuits is in the test's hand."""
    async with receiving(500, 500, 500, HANG, RESET, 429, 200, Retry_After="600") as receiver:
        await desk.owe(receiver.url)
        pauses = []
        for attempt in range(1, 7):
            await desk.attempted(attempt)
            pauses.append(await desk.put_off())
            hand.now += 86_400  # no circuit is open any more
            await desk.let_time_pass()
        await desk.settled()
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    delivery = await desk.one()
    assert [attempt.status for attempt in delivery.attempts] == [500, 500, 500, None, None, 429, 200]
    assert delivery.attempts[3].error == f"{receiver.url} did not answer within 1 s"
    for pause, least in zip(pauses, SCHEDULE, strict=False):
        assert 0.9 * least < pause <= 1.1 * least


async def test_a_receiver_that_is_down_for_five_attempts_is_told_once_it_is_back(desk: Desk, hand: Hand) -> None:
    port = closed_port().port
    await desk.owe(f"http://127.0.0.1:{port}/hook")
    for attempt in range(1, 6):
        delivery = await desk.attempted(attempt)
        assert delivery.state == "pending"
        hand.now += 86_400
        if attempt < 5:
            await desk.let_time_pass()
    receiver = Receiver([200])
    async with serving(receiver, port=port):
        await desk.let_time_pass()
        await desk.settled()
    assert len(receiver.got) == 1
    assert (await desk.one()).state == "delivered"


async def test_who_says_when_is_asked_no_sooner(desk: Desk) -> None:
    async with receiving(429, Retry_After="1000") as receiver:
        await desk.owe(receiver.url)
        await desk.attempted(1)
        assert 990 < await desk.put_off() <= 1000


@pytest.mark.parametrize("status", [400, 404])
async def test_one_that_is_refused_for_good_is_given_up(
    desk: Desk, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    async with receiving(status) as receiver:
        await desk.owe(receiver.url)
        await desk.settled()
        assert len(receiver.got) == 1
    assert (await desk.one()).state == "dead"
    place = egress.origin(receiver.url)
    said = [text for text in caplog.messages if f"callback given up: {place} answered {status}" in text]
    assert len(said) == 1
    assert receiver.url not in said[0], "what stands behind the place may be a secret"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(desk: Desk, status: int) -> None:
    async with receiving(200) as elsewhere, receiving(status, Location=elsewhere.url) as receiver:
        await desk.owe(receiver.url)
        await desk.settled()
        assert elsewhere.got == []
    delivery = await desk.one()
    assert delivery.state == "dead"
    assert delivery.attempts[0].error == (
        f"{receiver.url} answered {status} and would redirect to {elsewhere.url}: give the final URL"
    )


async def test_an_endpoint_that_is_gone_is_told_nothing_until_somebody_asks_by_hand(desk: Desk) -> None:
    async with receiving(410, 200) as receiver:
        await desk.owe(receiver.url)
        await desk.settled()
        first = await desk.one()
        assert first.state == "disabled"
        await desk.owe(receiver.url)
        await desk.settled()
        assert len(receiver.got) == 1
        assert {one.state for one in await desk.ledger()} == {"disabled"}

        await desk.deployed.store.deliveries.redeliver(first)
        await desk.settled()
        await desk.owe(receiver.url)
        await desk.settled()
    assert len(receiver.got) == 3
    assert receiver.got[1][0]["webhook-id"] == receiver.got[0][0]["webhook-id"]
    assert sorted(one.state for one in await desk.ledger()) == ["delivered", "delivered", "disabled"]


async def test_a_circuit_puts_deliveries_off_and_spends_none_of_their_tries(desk: Desk) -> None:
    ledger = desk.deployed.store.deliveries
    async with receiving(500) as receiver:
        for _ in range(20):
            await desk.owe(receiver.url)

        async def tried() -> bool:
            waiting = await desk.deployed.store.outbox.size() + len(await ledger.hosts_due())
            return not waiting and not any(one.claimed for one in await desk.ledger())

        await until(tried, "each was tried or put off")
        # As many as were under way when the fifth failure came.
        assert 5 <= len(receiver.got) <= 12
        untouched = [one for one in await desk.ledger() if one.made == 0]
        assert len(untouched) == 20 - len(receiver.got)
        assert all(one.spent == 0 and one.state == "pending" for one in untouched)


async def test_the_tenth_try_is_the_last(desk: Desk, hand: Hand) -> None:
    async with receiving(503) as receiver:
        await desk.owe(receiver.url)
        for attempt in range(1, 10):
            await desk.attempted(attempt)
            hand.now += 86_400
            await desk.let_time_pass()
        await desk.settled()
        assert len(receiver.got) == 10
    delivery = await desk.one()
    assert (delivery.state, delivery.made) == ("dead", 10)


async def test_a_callback_whose_record_is_gone_is_dropped(desk: Desk, redis_server: RedisServer) -> None:
    deployed = desk.deployed
    redis_server.cli("ZADD", keys.OUTBOX, "0", f"{deployed.function} {MINT.new(deployed.function)} completed")
    desk.callbacks.look()
    await desk.settled()
    assert await desk.ledger() == []


async def test_an_address_that_is_not_allowed_is_not_connected_to(desk: Desk) -> None:
    await desk.owe("http://10.255.255.1/")
    await desk.settled()
    delivery = await desk.one()
    assert delivery.state == "dead"
    assert delivery.attempts[0].error == (
        "http://10.255.255.1/ leads to 10.255.255.1, a private address: "
        "not allowed unless PENSTOCK_CALLBACKS__ALLOW names it"
    )


async def test_a_slow_receiver_does_not_hold_up_a_fast_one(desk: Desk) -> None:
    """The slow ones are still waited for when all of the fast ones have been delivered."""
    patience = asyncio.Event()
    under_way = 0

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal under_way
        await request.read()
        under_way += 1
        await asyncio.wait([asyncio.ensure_future(patience.wait())], timeout=0.9 * TIMEOUT)
        return web.Response(status=200)

    async with serving(slow) as hanging, receiving(200) as receiver:
        for number in range(100):
            await desk.owe(f"http://127.0.0.1:{hanging.port}/{number}")
            await desk.owe(f"{receiver.url}/{number}")

        async def fast_ones() -> bool:
            return len(receiver.got) == 100

        await until(fast_ones, "the fast ones are delivered")
        assert under_way < 100, "the slow ones are not yet"
        patience.set()
