"""Destinations that are functions: each end is one job of theirs, and no ring of them runs for ever."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock import keys
from penstock.delivery import Delivery
from penstock.function import FunctionSpec
from penstock.headers import crosses
from penstock.invocation import (
    Event,
    Failure,
    FailureCode,
    Invocation,
    Outcome,
    Request,
    Response,
    Run,
    Submission,
)
from penstock.store import Store
from tests.unit.workers.samples import MINT
from tests.unit.workers.test_callbacks import ANSWER, FAILED, Desk, blobs, callbacks, desk
from tests.unit.workers.waiting import until
from workers.handover import LONGEST, chain
from workers.submitting import CHAIN_HEADER

__all__ = ["blobs", "callbacks", "desk"]  # fixtures


async def deploy(store: Store, name: str, **spec: Any) -> None:
    await store.catalog.deploy(name, FunctionSpec.model_validate({"command": ["server"], **spec}))


async def only_job(store: Store, function: str) -> Invocation:
    async def listed() -> list[bytes]:
        found: list[bytes] = await store._connection.command("ZRANGE", keys.jobs(function), 0, -1)
        return found

    await until(listed, f"a job of {function}")
    [job] = await listed()
    record = await store.invocations.get(function, job.decode())
    assert record is not None
    return record


async def take(desk: Desk) -> Run | None:
    """The next job of the function, if one waits."""
    deployed = desk.deployed
    return await deployed.store.queue.take(
        deployed.function, epoch=deployed.epoch, slot="s", nonce=MINT.new("n"), instance="i"
    )


async def delivered(desk: Desk, state: str = "delivered") -> Delivery:
    async def ended() -> Delivery | None:
        found = await desk.ledger()
        return found[0] if found and found[0].state == state else None

    found = await until(ended, f"it is {state}")
    assert found is not None
    return found


@pytest.mark.parametrize("outcome", [ANSWER, FAILED])
async def test_how_a_job_ended_is_the_event_of_the_next_function(desk: Desk, outcome: Outcome) -> None:
    store, function = desk.deployed.store, desk.deployed.function
    await deploy(store, "next")
    await deploy(store, function, callbacks={"on_success": "function:next", "on_failure": "function:next"})
    job = await desk.owe(None, outcome, destinations=True, body=b'{"asked": 1}')
    record = await only_job(store, "next")
    told = json.loads(await store.invocations.body("next", record.id))
    ended = await store.invocations.get(function, job)
    assert ended is not None
    failed = outcome is FAILED
    assert told == {
        "timestamp": ended.finished_at,
        "requestContext": {
            "requestId": job,
            "functionArn": f"acs:fc:local:0:functions/{function}",
            "condition": "UnhandledInvocationError" if failed else "",
            "approximateInvokeCount": 1,
        },
        "requestPayload": '{"asked": 1}',
        "responseContext": {
            "statusCode": None if failed else 200,
            "functionError": "UnhandledInvocationError" if failed else "",
        },
        "responsePayload": None if failed else '{"is": "x"}',
    }
    assert chain(record.request) == 1
    delivery = await delivered(desk)
    assert (delivery.url, delivery.attempts[0].status, delivery.attempts[0].error) == ("function:next", 202, None)


async def test_a_delivery_that_is_repeated_is_the_same_job(desk: Desk) -> None:
    store, function = desk.deployed.store, desk.deployed.function
    await deploy(store, "next")
    await deploy(store, function, callbacks={"on_success": "function:next"})
    await desk.owe(None, destinations=True)
    delivery = await delivered(desk)
    for again in (2, 3):
        await store.deliveries.redeliver(delivery)
        desk.callbacks.look()
        await desk.attempted(again)
    assert (await delivered(desk)).made == 3
    await only_job(store, "next")


async def test_a_ring_of_functions_ends(desk: Desk) -> None:
    store, function = desk.deployed.store, desk.deployed.function
    await deploy(store, function, callbacks={"on_success": f"function:{function}"})
    await desk.owe(None, destinations=True)
    for links in range(1, LONGEST + 1):
        run = await until(lambda: take(desk), f"job {links} of the ring")
        assert run is not None
        assert chain(run.invocation.request) == links
        await store.queue.finish(function, run.invocation.id, run.invocation.token, ANSWER)
        desk.callbacks.look()

    async def given_up() -> Delivery | None:
        return next((one for one in await desk.ledger() if one.state == "dead"), None)

    dead = await until(given_up, "the ring ends")
    assert dead is not None
    assert (
        dead.attempts[-1].error == f"16 functions led here, one the destination of the other: it ends at {LONGEST}"
    )


async def test_a_function_that_is_not_there_or_full_is_tried_as_a_url_would_be(desk: Desk) -> None:
    store, function = desk.deployed.store, desk.deployed.function
    await deploy(store, function, callbacks={"on_success": "function:nobody", "on_failure": "function:full"})
    await desk.owe(None, destinations=True)
    assert "no function is named 'nobody'" in str((await delivered(desk, "dead")).attempts[0].error)
    await deploy(store, "full", queue={"max_depth": 1})
    waiting = Submission(
        function="full",
        id=MINT.new("full"),
        kind="job",
        request=Request(),
        body=b"",
        max_age_ms=60_000,
        timeout_ms=60_000,
    )
    await store.queue.submit(waiting, depth=1)
    await desk.owe(None, FAILED, destinations=True)

    async def put_off() -> Delivery | None:
        return next((one for one in await desk.ledger() if one.url == "function:full" and one.made == 1), None)

    delivery = await until(put_off, "it was refused")
    assert delivery is not None
    assert (delivery.state, delivery.attempts[0].status) == ("pending", 429)


async def test_what_is_too_large_is_left_out_and_what_is_no_text_does_not_hurt(desk: Desk) -> None:
    store, function = desk.deployed.store, desk.deployed.function
    await deploy(store, "next")
    await deploy(store, function, callbacks={"on_success": "function:next"})
    body = b"\xff" * 3 + b"x" * (2**20)
    large = Outcome(event=Event.SUCCEED, response=Response(status=200, size=len(body)), body=body)
    await desk.owe(None, large, destinations=True, body=b"\xffab")
    record = await only_job(store, "next")
    told = json.loads(await store.invocations.body("next", record.id))
    assert (told["requestPayload"], told["responsePayload"]) == ("\ufffdab", None)


async def test_a_large_record_is_a_blob(desk: Desk) -> None:
    store, function = desk.deployed.store, desk.deployed.function
    await deploy(store, "next")
    await deploy(store, function, callbacks={"on_failure": "function:next"})
    failure = Failure(code=FailureCode.FUNCTION_ERROR, message="x")
    body = b"x" * (2**19)
    response = Response(status=500, size=len(body))
    await desk.owe(
        None, Outcome(event=Event.FAIL, failure=failure, response=response, body=body), destinations=True
    )
    record = await only_job(store, "next")
    assert record.request.blob is not None
    told = json.loads(await desk.callbacks._messages._blobs.read(record.request.blob))
    assert told["responsePayload"] == body.decode()
    assert told["responseContext"] == {"statusCode": 500, "functionError": "HandledInvocationError"}


def test_no_client_can_say_how_long_a_chain_is() -> None:
    assert not crosses(CHAIN_HEADER, "0")


async def test_nothing_is_handed_to_another_tenants_function(desk: Desk) -> None:
    store, function = desk.deployed.store, desk.deployed.function
    await store.catalog.deploy("theirs", FunctionSpec(command=("server",)), tenant="acme")
    await deploy(store, function, callbacks={"on_success": "function:theirs"})
    await desk.owe(None, ANSWER, destinations=True)

    async def told() -> Delivery | None:
        found = await desk.ledger()
        return found[0] if found and found[0].attempts else None

    first = await until(told, "it is attempted")
    assert first is not None
    assert first.attempts[0].status == 404, "as if there were none"
    assert await store.queue.depth("theirs") == (0, 0, 0)
