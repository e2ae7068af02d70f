"""kill -9 of the gateway while it submits a batch, and lost replies: nothing is lost, nothing runs twice, and the
batch ends exactly once."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import requests

from penstock import keys
from penstock.batch import FILL_MS
from penstock.function import FunctionSpec
from penstock.invocation import Event, Outcome, Response
from penstock.store import Store
from tests.e2e.harness import wait_until
from tests.faults.deployment import Deployment
from tests.faults.ledger import Ledger

_JOBS = 600
_LINES = "".join(json.dumps({"n": n, "seconds": 0}) + "\n" for n in range(_JOBS))
_DONE = Outcome(event=Event.SUCCEED, response=Response(status=200))


def test_a_batch_whose_gateway_was_killed_goes_on_under_its_key() -> None:
    with Deployment() as stack:
        stack.start().deploy({"work": stack.work()})
        ledger = Ledger(stack)
        key = {"Idempotency-Key": "the one"}
        killed_midway(stack, key)
        batch = only_batch(stack)
        assert 0 < accepted(stack, batch) < _JOBS, "killed midway"

        stack.front.heal()
        stack.start_gateway()
        wait_until(stack.ready, 15, "a new gateway serves")
        said = submit(stack, key).json()

        assert (said["batch"], said["accepted"], said["refused"]) == (batch, _JOBS, 0)
        ledger.acknowledged = {item["id"]: item["index"] for item in said["items"]}
        wait_until(lambda: show(stack, batch)["finished_at"], 60, "all have ended", every=0.2)
        ledger.check(10, once=True)
        assert len(ledger.executions()) == _JOBS
        shown = show(stack, batch)
        assert (shown["sealed"], shown["counts"]["succeeded"]) == ("submitted", _JOBS)


def test_a_batch_whose_gateway_was_killed_ends_with_what_it_has() -> None:
    """No workers: the test is the leader, some time later."""
    with Deployment() as stack:
        stack.redis.start()
        stack.start_gateway()
        wait_until(lambda: serves(stack), 20, "the gateway serves")
        asyncio.run(in_store(stack, deploy))
        killed_midway(stack, {"Penstock-Callback-Url": "https://example.com/done"})
        batch = only_batch(stack)
        taken = accepted(stack, batch)
        assert 0 < taken < _JOBS, "killed midway"

        asyncio.run(in_store(stack, run_all))

        assert stack.redis.cli("ZRANGE", keys.OUTBOX, "0", "-1").split("\n") == [f"work {batch} batch"]
        stack.front.heal()
        stack.start_gateway()
        wait_until(lambda: serves(stack), 20, "a new gateway serves")
        shown = show(stack, batch)
        assert shown["finished_at"] is not None
        assert (shown["sealed"], shown["accepted"], shown["refused"]) == ("abandoned", taken, _JOBS - taken)
        assert shown["counts"]["succeeded"] == taken


def test_when_replies_are_lost_the_answer_is_true_all_the_same() -> None:
    with Deployment() as stack:
        stack.start().deploy({"work": stack.work()})
        stack.front.lose("submit", "work")

        said = submit(stack, {}).json()

        assert 0 < said["accepted"] < _JOBS
        assert said["accepted"] == accepted(stack, said["batch"])
        refused = [item["error"] for item in said["items"] if "error" in item]
        assert {(error["code"], error["retryable"]) for error in refused} == {("store_unavailable", True)}
        wait_until(lambda: show(stack, said["batch"])["finished_at"], 30, "all have ended", every=0.2)
        ledger = Ledger(stack)
        ledger.acknowledged = {item["id"]: item["index"] for item in said["items"] if "id" in item}
        ledger.check(10, once=True)
        assert set(ledger.executions()) == set(ledger.acknowledged.values()), "no job that was refused was run"


def killed_midway(stack: Deployment, headers: dict[str, str]) -> None:
    """The gateway dies after Redis has carried out its first commands and before it hears of it."""
    loss = stack.front.lose("submit", "work", stall=True)

    def cut_off() -> None:
        try:
            submit(stack, headers)
        except requests.ConnectionError:
            return
        raise AssertionError("the gateway outlived the batch")

    client = threading.Thread(target=cut_off)
    client.start()
    assert loss.seen.wait(15), "some lines were submitted"
    stack.kill(stack.gateway)
    client.join()


def submit(stack: Deployment, headers: dict[str, str]) -> requests.Response:
    return requests.post(f"{stack.path('work')}:batch", data=_LINES, headers=headers, timeout=60)


def show(stack: Deployment, batch: str) -> dict[str, Any]:
    reply = stack.http.get(f"{stack.url}/v1/functions/work/batches/{batch}", timeout=10)
    assert reply.status_code == 200, reply.text
    shown: dict[str, Any] = reply.json()
    return shown


def only_batch(stack: Deployment) -> str:
    [name] = stack.redis.cli("KEYS", "ps:{work}:batch:*:accepted").split()
    return name.split(":")[-2]


def accepted(stack: Deployment, batch: str) -> int:
    return int(stack.redis.cli("BITCOUNT", keys.batch_accepted("work", batch)))


def serves(stack: Deployment) -> bool:
    try:
        return stack.http.get(f"{stack.url}/healthz", timeout=5).status_code == 200
    except requests.ConnectionError:
        return False


async def in_store(stack: Deployment, work: Any) -> None:
    store = Store(stack.redis.url, clock_offset=FILL_MS + 5_000)
    try:
        await work(store)
    finally:
        await store.close()


async def deploy(store: Store) -> None:
    await store.catalog.deploy("work", FunctionSpec(command=("server",)))


async def run_all(store: Store) -> None:
    """What a leader does once the batch's time is over."""
    epoch = await store.leadership.lead("the test") or 0
    _, due = await store.queue.due()
    assert due == ["work"]
    await store.queue.sweep("work", epoch=epoch, requeue=True)
    number = 0
    while run := await store.queue.take("work", epoch=epoch, slot="s", nonce=f"{number}", instance="i"):
        assert await store.outbox.size() == 0, "not before the last has ended"
        await store.queue.finish("work", run.invocation.id, run.invocation.token, _DONE)
        number += 1
