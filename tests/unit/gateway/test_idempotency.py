"""Idempotency-Key: the same request under the same key is one job, another request under it is refused."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.gateway.conftest import House, answer


async def test_the_same_request_under_one_key_is_one_job(house: House) -> None:
    first = await house.submit(b"x", Idempotency_Key="k1")
    assert await house.submit(b"x", Idempotency_Key="k1") == first
    assert await house.queued() == 1


async def test_two_keys_are_two_jobs(house: House) -> None:
    assert await house.submit(b"x", Idempotency_Key="k1") != await house.submit(b"x", Idempotency_Key="k2")
    assert await house.queued() == 2


@pytest.mark.parametrize(
    "other", [{"body": b"y"}, {"body": b"x", "Content_Type": "text/csv"}], ids=["body", "content type"]
)
async def test_another_request_under_the_key_is_a_conflict(house: House, other: dict[str, str]) -> None:
    first = await house.submit(b"x", Idempotency_Key="k1", Content_Type="text/plain")
    refused = await house.post(**{"Idempotency_Key": "k1", "Content_Type": "text/plain", **other})
    said = await refused.json()
    assert (refused.status, said["code"]) == (409, "idempotency_conflict")
    assert first in said["detail"]
    assert await house.queued() == 1


async def test_a_held_call_that_is_sent_again_gets_the_same_answer(house: House) -> None:
    first = asyncio.create_task(house.post(b"x", Idempotency_Key="k1"))
    await house.waiting()
    again = asyncio.create_task(house.post(b"x", Idempotency_Key="k1"))
    run = await house.take()
    await house.finish(run, answer(b"one answer"))
    replies = [await first, await again]
    assert [await reply.read() for reply in replies] == [b"one answer", b"one answer"]
    assert {reply.headers["Penstock-Invocation-Id"] for reply in replies} == {run.invocation.id}


async def test_one_sent_again_after_the_end_gets_the_answer_at_once(house: House) -> None:
    first = asyncio.create_task(house.post(b"x", Idempotency_Key="k1"))
    await house.finish(await house.take(), answer(b"done"))
    await first
    again = await asyncio.wait_for(house.post(b"x", Idempotency_Key="k1"), 5)
    assert await again.read() == b"done"
    assert await house.queued() == 0


async def test_a_call_with_a_key_goes_on_when_its_client_hangs_up(house: House) -> None:
    call = asyncio.create_task(house.post(b"x", Idempotency_Key="k1"))
    await house.waiting()
    call.cancel()
    again = asyncio.create_task(house.post(b"x", Idempotency_Key="k1"))
    await house.finish(await house.take(), answer(b"still done"))
    assert await (await again).read() == b"still done"


async def test_a_large_body_sent_again_leaves_one_blob(house: House) -> None:
    body = b"x" * 400_000
    first = await house.submit(body, Idempotency_Key="k1")
    assert await house.submit(body, Idempotency_Key="k1") == first
    assert await house.gateway.blobs.names(older_than=-1) == [f"{house.function}/{first}.request"]


@pytest.mark.parametrize("key", ["", "k" * 256, "caf\u00e9"])
async def test_a_key_that_is_none_is_refused(house: House, key: str) -> None:
    refused = await house.post(Idempotency_Key=key)
    said = await refused.json()
    assert (refused.status, said["code"]) == (400, "invalid_request")
    assert "Idempotency-Key" in said["detail"]
