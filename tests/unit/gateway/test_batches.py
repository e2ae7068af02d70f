"""Batches over HTTP: each line accepted or refused on its own, and all of them one thing to look at and cancel."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from gateway import filling
from penstock import keys
from penstock.batch import MOST_JOBS, Seal
from penstock.blobs import INLINE_LIMIT, DirectoryBlobs
from penstock.ids import IdMint
from penstock.invocation import State
from penstock.store import Retention, Store
from tests.unit.gateway.conftest import House, OpenHouse, failed

FORGED = IdMint("another secret")


async def post(house: House, body: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    reply = await house.client.post(f"{house.calls}:batch", data=body, headers=named)
    return reply.status, await reply.json()


async def submit(house: House, lines: int | bytes = 3, **headers: str) -> dict[str, Any]:
    """What a batch of so many lines was answered."""
    body = lines if isinstance(lines, bytes) else b"".join(b'{"n": %d}\n' % n for n in range(lines))
    status, said = await post(house, body, **headers)
    assert status == 202, said
    return said


def path(house: House, batch: str) -> str:
    return f"/v1/functions/{house.function}/batches/{batch}"


async def get(house: House, batch: str, more: str = "") -> tuple[int, dict[str, Any]]:
    reply = await house.client.get(path(house, batch) + more)
    return reply.status, await reply.json()


async def show(house: House, batch: str, more: str = "") -> dict[str, Any]:
    status, said = await get(house, batch, more)
    assert status == 200, said
    return said


async def cancel(house: House, batch: str) -> dict[str, Any]:
    reply = await house.client.delete(path(house, batch))
    assert reply.status == 200
    said: dict[str, Any] = await reply.json()
    return said


def counted(said: dict[str, Any]) -> dict[str, int]:
    """Those that are not zero."""
    return {state: count for state, count in said["counts"].items() if count}


def codes(said: dict[str, Any]) -> list[str]:
    """What became of each line."""
    return [item["error"]["code"] if "error" in item else "accepted" for item in said["items"]]


def owed(house: House) -> list[str]:
    return house.redis.cli("ZRANGE", keys.OUTBOX, "0", "-1").split("\n")


# Submitting.


async def test_each_line_becomes_a_job_with_its_bytes(house: House) -> None:
    lines = [b'{"n": 1,  "a":"\xc3\xa4"}', b"[1e400, 12345]", b'"text"', b" null ", b"7" * 5_000]
    said = await submit(house, b"\n".join(lines))

    assert (said["accepted"], said["refused"]) == (5, 0)
    assert [item["index"] for item in said["items"]] == list(range(5))
    for line, item in zip(lines, said["items"], strict=True):
        run = await house.take()
        assert (run.invocation.id, run.body) == (item["id"], line)
        assert run.invocation.request.headers == (("Content-Type", "application/json"),)
        assert run.invocation.request.size == len(line)
        assert (await house.get(item["id"]))[1]["batch"] == said["batch"]


async def test_the_answer_says_where_to_look(house: House) -> None:
    reply = await house.client.post(f"{house.calls}:batch", data=b"1")
    said = await reply.json()

    assert reply.headers["Location"] == path(house, said["batch"])
    shown = await show(house, said["batch"])
    assert shown["links"]["self"] == path(house, said["batch"])
    assert shown["id"] == said["batch"]


async def test_a_line_that_is_no_json_is_refused_on_its_own(house: House) -> None:
    body = b'{"n": 1}\n{"n": \n\n \r\n{"n": 2}\r\n\xff\nNaN\n' + b"[" * 100_000 + b"\n3"
    said = await submit(house, body)

    assert codes(said) == ["accepted", *["invalid_request"] * 1, "accepted", *["invalid_request"] * 3, "accepted"]
    errors = {item["index"]: item["error"] for item in said["items"] if "error" in item}
    assert not any(error["retryable"] for error in errors.values())
    assert errors[1]["detail"] == "line 2 is not JSON: Expecting value at column 7"
    assert errors[3]["detail"].startswith("line 6 is not JSON: 'utf-8' codec can't decode byte 0xff")
    assert errors[4]["detail"] == "line 7 is not JSON: NaN is no JSON value"
    assert errors[5]["detail"] == "line 8 is not JSON: it is nested too deeply"
    assert (said["accepted"], said["refused"]) == (3, 4)
    assert [(await house.take()).body for _ in range(3)] == [b'{"n": 1}', b'{"n": 2}', b"3"]


async def test_a_batch_of_which_no_line_can_be_read_has_ended(house: House) -> None:
    said = await submit(house, b"no\njson", Penstock_Callback_Url="https://example.com/done")

    assert (said["accepted"], said["refused"]) == (0, 2)
    shown = await show(house, said["batch"])
    assert shown["finished_at"] is not None
    assert owed(house) == [f"{house.function} {said['batch']} batch"]


@pytest.mark.parametrize("body", [b"", b"\n\n  \r\n"])
async def test_a_batch_without_a_line_is_refused(house: House, body: bytes) -> None:
    status, said = await post(house, body)

    assert (status, said["code"]) == (400, "invalid_request")
    assert "NDJSON" in said["detail"]


async def test_as_many_jobs_as_a_batch_may_have(house: House) -> None:
    said = await submit(house, MOST_JOBS)

    assert said["accepted"] == MOST_JOBS
    assert await house.queued() == MOST_JOBS
    ids = [item["id"] for item in said["items"]]
    assert house.redis.cli("ZRANGE", keys.queued(house.function), "0", "-1").split() == ids, "in their order"


async def test_one_job_too_many_is_refused_before_any_is_enqueued(house: House) -> None:
    status, said = await post(house, b"1\n" * (MOST_JOBS + 1))

    assert (status, said["code"]) == (413, "payload_too_large")
    assert str(MOST_JOBS) in said["detail"]
    assert await house.queued() == 0
    assert house.redis.cli("KEYS", "ps:*:batch:*") == ""


async def test_empty_lines_are_no_jobs(house: House) -> None:
    assert (await submit(house, b"1\n\n" * 6_000))["accepted"] == 6_000


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_above_the_limit_is_refused(open_house: OpenHouse, declared: bool) -> None:
    house = await open_house(max_body=1_000)

    async def chunks() -> Any:
        for _ in range(11):
            yield b'"' + b"x" * 97 + b'"\n'

    body = chunks() if not declared else b'"' + b"x" * 1_000 + b'"'
    reply = await house.client.post(f"{house.calls}:batch", data=body)

    assert (reply.status, (await reply.json())["code"]) == (413, "payload_too_large")
    assert await house.queued() == 0


async def test_a_long_line_goes_through_the_blob_store(house: House, blobs: DirectoryBlobs) -> None:
    line = b'"' + b"x" * INLINE_LIMIT + b'"'
    said = await submit(house, b"1\n" + line + b"\n2")

    assert said["accepted"] == 3
    run = next(run for run in [await house.take() for _ in range(3)] if run.invocation.request.blob)
    assert run.invocation.id == said["items"][1]["id"]
    assert run.invocation.request.size == len(line)
    assert run.invocation.request.blob is not None
    assert await blobs.read(run.invocation.request.blob) == line


async def test_the_headers_apply_to_all(house: House) -> None:
    said = await submit(
        house,
        2,
        Penstock_Priority="high",
        Penstock_Timeout="7s",
        Penstock_Max_Queue="90s",
        Penstock_Delay="30s",
        Penstock_Max_Attempts="2",
        Penstock_Callback_Url="https://example.com/done",
    )

    assert await house.queued() == 0
    for item in said["items"]:
        record = await house.record(item["id"])
        assert (record.priority, record.timeout_ms, record.max_age_ms, record.attempts) == (
            "high",
            7_000,
            90_000,
            2,
        )
        assert record.callback is None, "there is one for the whole batch"
        assert house.redis.cli("ZSCORE", keys.delayed(house.function), item["id"])
    assert (await show(house, said["batch"]))["callback"] == "https://example.com/done"


async def test_a_header_that_cannot_be_read_is_refused(house: House) -> None:
    status, said = await post(house, b"1", Penstock_Priority="urgent")

    assert (status, said["code"]) == (400, "invalid_request")


async def test_a_function_that_is_not_there(house: House) -> None:
    reply = await house.client.post("/v1/functions/nobody/invocations:batch", data=b"1")

    assert (reply.status, (await reply.json())["code"]) == (404, "function_not_found")


async def test_lines_beyond_the_queues_limit_are_refused_on_their_own(house: House) -> None:
    await house.deploy(queue={"max_depth": 4})
    await house.submit()
    said = await submit(house, 5)

    assert codes(said) == ["accepted"] * 3 + ["queue_full"] * 2
    error = said["items"][4]["error"]
    assert (error["status"], error["retryable"]) == (429, True)
    assert error["retry_after"] >= 1
    shown = await show(house, said["batch"])
    assert (shown["accepted"], shown["refused"], shown["sealed"]) == (3, 2, "submitted")


async def test_when_redis_has_no_memory_nothing_is_opened(house: House) -> None:
    house.redis.cli("CONFIG", "SET", "maxmemory", "1")
    try:
        status, said = await post(house, b"1\n2")
    finally:
        house.redis.cli("CONFIG", "SET", "maxmemory", "0")

    assert (status, said["code"], said["retryable"]) == (503, "store_unavailable", True)
    assert await house.queued() == 0


async def test_when_redis_runs_full_on_the_way_what_was_not_taken_is_refused(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "_CHUNK_JOBS", 2)
    watched = house.gateway.store.queue.submit
    seen: list[str] = []

    async def submit_and_fill(submission: Any, *, depth: int) -> Any:
        seen.append(submission.id)
        if len(seen) == 3:
            await asyncio.to_thread(house.redis.cli, "CONFIG", "SET", "maxmemory", "1")
        return await watched(submission, depth=depth)

    monkeypatch.setattr(house.gateway.store.queue, "submit", submit_and_fill)
    try:
        said = await submit(house, 10)
    finally:
        house.redis.cli("CONFIG", "SET", "maxmemory", "0")

    assert len(seen) == 4, "there is no use in going on"
    assert said["accepted"] == await house.queued() == 3
    refused = [item["error"] for item in said["items"] if "error" in item]
    assert {(error["code"], error["retryable"]) for error in refused} == {("store_unavailable", True)}
    assert len(refused) == 7


# The same request under the same key.


async def test_the_same_request_under_one_key_is_one_batch(house: House) -> None:
    first = await submit(house, 3, Idempotency_Key="k1")
    again = await submit(house, 3, Idempotency_Key="k1")

    assert again == first
    assert await house.queued() == 3


async def test_it_is_told_the_same_when_all_have_ended(house: House) -> None:
    await house.deploy(queue={"max_depth": 2})
    first = await submit(house, b"1\n{\n2\n3", Idempotency_Key="k1")
    for _ in range(2):
        await house.finish(await house.take())
    again = await submit(house, b"1\n{\n2\n3", Idempotency_Key="k1")

    assert codes(first) == ["accepted", "invalid_request", "accepted", "queue_full"]
    assert (codes(again), again["batch"]) == (codes(first), first["batch"])
    assert [item.get("id") for item in again["items"]] == [item.get("id") for item in first["items"]]
    assert await house.queued() == 0


async def test_two_at_once_under_one_key_are_one_batch(house: House) -> None:
    both = await asyncio.gather(*(submit(house, 700, Idempotency_Key="k1") for _ in range(4)))

    assert all(said == both[0] for said in both)
    assert both[0]["accepted"] == 700
    assert await house.queued() == 700


async def test_another_request_under_the_key_is_a_conflict(house: House) -> None:
    first = await submit(house, 3, Idempotency_Key="k1")
    status, said = await post(house, b"other", Idempotency_Key="k1")

    assert (status, said["code"]) == (409, "idempotency_conflict")
    assert first["batch"] in said["detail"]


async def test_the_key_of_a_call_is_not_that_of_a_batch(house: House) -> None:
    job = await house.submit(b"1", Idempotency_Key="k1")
    first = await submit(house, b"1", Idempotency_Key="k1")

    assert await house.submit(b"1", Idempotency_Key="k1") == job
    assert await submit(house, b"1", Idempotency_Key="k1") == first


async def test_a_batch_that_stopped_midway_goes_on_under_its_key(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the gateway dies: some lines were submitted, and nobody sealed it."""
    monkeypatch.setattr(filling, "_CHUNK_JOBS", 2)
    with monkeypatch.context() as broken:
        broken.setattr(filling.Filling, "run", die_midway)
        status, _ = await post(house, b"1\n2\n3\n4\n5", Idempotency_Key="k1")
        assert status == 500
    assert await house.queued() == 2
    await house.finish(await house.take())

    said = await submit(house, b"1\n2\n3\n4\n5", Idempotency_Key="k1")

    assert said["accepted"] == 5
    assert await house.queued() == 4, "none twice"
    assert counted(await show(house, said["batch"])) == {"queued": 4, "succeeded": 1}


async def die_midway(self: filling.Filling) -> None:
    chunk = next(self._chunks())
    await asyncio.gather(*map(self._submit, chunk))
    raise ConnectionError("this gateway is no more")


async def test_a_client_that_hangs_up_leaves_a_whole_batch(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "_CHUNK_JOBS", 10)
    call = asyncio.create_task(submit(house, 2_000, Idempotency_Key="k1"))
    while not await house.queued():
        await asyncio.sleep(0.001)
    call.cancel()

    await house.waiting(2_000)
    [name] = house.redis.cli("KEYS", "ps:*:batch:*:accepted").split()
    batch = name.split(":")[-2]

    async def sealed() -> dict[str, Any]:
        while not (shown := await show(house, batch))["sealed"]:
            await asyncio.sleep(0.005)
        return shown

    assert (await asyncio.wait_for(sealed(), 5))["sealed"] == "submitted"


# Looking.


async def test_it_shows_how_its_jobs_stand(house: House) -> None:
    said = await submit(house, 5)
    await house.finish(await house.take())
    await house.finish(await house.take(), failed())
    await house.take()

    shown = await show(house, said["batch"])

    assert counted(shown) == {"queued": 2, "running": 1, "succeeded": 1, "failed": 1}
    assert set(shown["counts"]) == set(State)
    assert (shown["function"], shown["accepted"], shown["refused"]) == (house.function, 5, 0)
    assert shown["finished_at"] is None


async def test_a_long_poll_answers_when_all_have_ended(house: House) -> None:
    said = await submit(house, 2)
    waiting = asyncio.create_task(show(house, said["batch"], "?wait=20"))
    for _ in range(2):
        await house.finish(await house.take())

    shown = await asyncio.wait_for(waiting, 5)
    assert counted(shown) == {"succeeded": 2}
    assert shown["finished_at"] is not None


async def test_a_long_poll_answers_when_its_wait_is_over(house: House) -> None:
    said = await submit(house, 1)

    shown = await asyncio.wait_for(show(house, said["batch"], "?wait=1"), 10)
    assert counted(shown) == {"queued": 1}


async def test_a_long_poll_answers_when_the_gateway_stops(house: House) -> None:
    said = await submit(house, 1)
    waiting = asyncio.create_task(show(house, said["batch"], "?wait=200"))
    await asyncio.sleep(0.05)
    house.gateway.waiters.close()

    assert counted(await asyncio.wait_for(waiting, 5)) == {"queued": 1}


@pytest.mark.parametrize("more", ["?wait=soon", "/invocations?limit=0", "/invocations?state=odd"])
async def test_a_question_that_cannot_be_read_is_refused(house: House, more: str) -> None:
    said = await submit(house, 1)

    status, problem = await get(house, said["batch"], more)
    assert (status, problem["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("cursor", ["x", "-1", "10000", "1" * 30])
async def test_a_cursor_that_no_list_gave_is_refused(house: House, cursor: str) -> None:
    said = await submit(house, 1)

    status, problem = await get(house, said["batch"], f"/invocations?cursor={cursor}")
    assert (status, problem["code"]) == (400, "invalid_request")


async def test_its_jobs_are_listed_in_the_order_of_their_lines(house: House) -> None:
    said = await submit(house, b"0\n{\n2\n3\n4\n{\n")
    await house.submit()
    wanted = [(item["index"], item["id"]) for item in said["items"] if "id" in item]

    found, cursor = [], ""
    for _ in range(2):
        page = await show(house, said["batch"], f"/invocations?limit=2{cursor}")
        found += [(one["index"], one["id"]) for one in page["invocations"]]
        cursor = f"&cursor={page['next_cursor']}"

    assert found == wanted
    assert page["next_cursor"] is None
    whole = await show(house, said["batch"], "/invocations")
    assert [(one["index"], one["id"]) for one in whole["invocations"]] == wanted
    assert whole["next_cursor"] is None


async def test_those_in_one_state_can_be_listed(house: House) -> None:
    said = await submit(house, 600)
    wanted = [3, 290, 599]
    for index in wanted:
        await house.store.queue.cancel(house.function, said["items"][index]["id"])

    page = await show(house, said["batch"], "/invocations?state=cancelled&limit=2")
    assert [one["index"] for one in page["invocations"]] == wanted[:2]
    rest = await show(house, said["batch"], f"/invocations?state=cancelled&cursor={page['next_cursor']}")
    assert [one["index"] for one in rest["invocations"]] == wanted[2:]
    assert rest["next_cursor"] is None


async def test_jobs_past_their_retention_are_left_out(house: House) -> None:
    said = await submit(house, 4)
    house.redis.cli("DEL", keys.record(house.function, said["items"][1]["id"]))

    page = await show(house, said["batch"], "/invocations?limit=2")
    assert [one["index"] for one in page["invocations"]] == [0, 2]


async def test_a_functions_own_list_shows_a_whole_batch_page_by_page(house: House) -> None:
    said = await submit(house, 250)
    found, cursor = [], ""
    while cursor is not None:
        _, page = await house.get(f"?limit=100{cursor}")
        found += [one["id"] for one in page["invocations"]]
        cursor = f"&cursor={page['next_cursor']}" if page["next_cursor"] else None

    assert found == [item["id"] for item in said["items"]][::-1]


# Cancelling.


async def test_a_cancel_ends_all_that_have_not(house: House) -> None:
    said = await submit(house, 6)
    other = await submit(house, 1)
    await house.finish(await house.take())
    running = await house.take()

    assert await cancel(house, said["batch"]) == {"cancelled": 5}

    shown = await show(house, said["batch"])
    assert counted(shown) == {"succeeded": 1, "cancelled": 5}
    assert shown["finished_at"] is not None
    assert await house.store.queue.take_cancels() == [(house.function, running.invocation.id, 1)]
    assert counted(await show(house, other["batch"])) == {"queued": 1}
    assert await cancel(house, said["batch"]) == {"cancelled": 0}


async def test_a_cancel_stops_one_that_is_being_submitted(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "_CHUNK_JOBS", 10)
    call = asyncio.create_task(submit(house, 5_000))
    while not (found := house.redis.cli("KEYS", "ps:*:batch:*:accepted").split()):
        await asyncio.sleep(0.001)
    batch = found[0].split(":")[-2]

    cancelled = (await cancel(house, batch))["cancelled"]

    said = await call
    assert said["batch"] == batch
    assert 0 < said["accepted"] < 5_000
    assert cancelled == said["accepted"]
    refused = [item["error"] for item in said["items"] if "error" in item]
    assert {error["code"] for error in refused} == {"cancelled"}
    assert await house.queued() == 0
    assert counted(await show(house, batch)) == {"cancelled": cancelled}


async def test_a_cancelled_batch_owes_its_callback(house: House) -> None:
    said = await submit(house, 2, Penstock_Callback_Url="https://example.com/done")
    await cancel(house, said["batch"])

    assert owed(house) == [f"{house.function} {said['batch']} batch"]


async def test_a_batch_can_be_read_and_cancelled_when_its_function_is_gone(house: House) -> None:
    said = await submit(house, 2)
    reply = await house.client.delete(f"/v1/functions/{house.function}")
    assert (await reply.json())["cancelled"] == 2

    assert counted(await show(house, said["batch"])) == {"cancelled": 2}
    assert await cancel(house, said["batch"]) == {"cancelled": 0}


# Whose it is.


@pytest.mark.parametrize(("method", "more"), [("GET", ""), ("DELETE", ""), ("GET", "/invocations")])
async def test_an_id_that_is_not_ours_is_not_found(house: House, method: str, more: str) -> None:
    job = await house.submit()
    for batch in (FORGED.new_batch(house.function), house.gateway.mint.new_batch("another"), job, "x", "x y"):
        reply = await house.client.request(method, path(house, batch) + more)
        assert (reply.status, (await reply.json())["code"]) == (404, "batch_not_found")


async def test_the_batch_of_one_function_is_not_reached_through_another(house: House) -> None:
    await house.deploy("neighbour")
    said = await submit(house, 1)
    reply = await house.client.delete(f"/v1/functions/neighbour/batches/{said['batch']}")

    assert reply.status == 404
    assert await house.queued() == 1
    reply = await house.client.get(f"/v1/functions/Not-A-Name/batches/{said['batch']}")
    assert (await reply.json())["code"] == "function_not_found"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_one_that_is_past_its_retention_is_gone(house: House, method: str) -> None:
    store = Store(house.redis.url, retention=Retention(job_ms=1))
    said = await submit(house, 1)
    run = await house.take()
    await store.queue.finish(house.function, run.invocation.id, run.invocation.token, failed())
    while house.redis.cli("EXISTS", keys.batch(house.function, said["batch"])) == "1":
        await asyncio.sleep(0.001)
    await store.close()

    reply = await house.client.request(method, path(house, said["batch"]))
    assert (reply.status, (await reply.json())["code"]) == (410, "batch_expired")


async def test_an_abandoned_batch_says_so_and_what_it_did_not_take(house: House) -> None:
    said = await submit(house, 1)
    key = keys.batch(house.function, said["batch"])
    house.redis.cli("HSET", key, "sealed", Seal.ABANDONED, "lines", "3")

    shown = await show(house, said["batch"])
    assert (shown["sealed"], shown["accepted"], shown["refused"]) == ("abandoned", 1, 2)
    assert json.dumps(shown)
