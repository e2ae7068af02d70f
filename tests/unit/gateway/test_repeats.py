"""Running again what has ended: retry, dead letters, redrive, purge."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.invocation import State
from tests.unit.gateway.conftest import House, answer, failed


async def ended(house: House, body: bytes = b"event", **headers: str) -> str:
    """A job that failed."""
    job = await house.submit(body, **headers)
    await house.finish(await house.take(), failed())
    return job


async def dead_letters(house: House) -> list[dict[str, Any]]:
    reply = await house.client.get(f"/v1/functions/{house.function}/dead-letters")
    assert reply.status == 200
    letters: list[dict[str, Any]] = (await reply.json())["dead_letters"]
    return letters


async def redrive(house: House, body: bytes = b"") -> tuple[int, dict[str, Any]]:
    reply = await house.client.post(f"/v1/functions/{house.function}/dead-letters/redrive", data=body)
    return reply.status, await reply.json()


async def test_a_retry_is_a_new_job_with_the_same_request(house: House) -> None:
    old = await ended(house, b"again", Content_Type="text/csv", Penstock_Priority="low")
    reply = await house.client.post(f"{house.calls}/{old}/retry")
    said = await reply.json()
    assert reply.status == 202
    assert said["id"] != old
    assert (said["retry_of"], said["priority"]) == (old, "low")
    assert reply.headers["Location"].endswith(said["id"])
    run = await house.take()
    assert (run.invocation.id, run.body) == (said["id"], b"again")
    assert run.invocation.request.headers == (("Content-Type", "text/csv"),)
    assert (await house.record(old)).state is State.FAILED


async def test_a_retry_brings_a_large_body_along(house: House) -> None:
    old = await ended(house, b"x" * 400_000)
    new = (await (await house.client.post(f"{house.calls}/{old}/retry")).json())["id"]
    blob = (await house.record(new)).request.blob
    assert blob == f"{house.function}/{new}.request"
    await house.gateway.blobs.delete(f"{house.function}/{old}.request")
    assert len(await house.gateway.blobs.read(blob)) == 400_000


async def test_what_has_not_ended_cannot_be_run_again(house: House) -> None:
    job = await house.submit()
    reply = await house.client.post(f"{house.calls}/{job}/retry")
    assert (reply.status, (await reply.json())["code"]) == (400, "invalid_request")


async def test_jobs_that_failed_are_dead_letters_and_others_are_not(house: House) -> None:
    job = await ended(house)
    await house.submit()
    await house.finish(await house.take(), answer())
    letters = await dead_letters(house)
    assert [(letter["id"], letter["error"]["code"]) for letter in letters] == [(job, "function_error")]
    assert letters[0]["error"]["log_tail"] == "last lines"


async def test_a_redrive_runs_all_of_them_again_once(house: House) -> None:
    jobs = [await ended(house) for _ in range(3)]
    status, said = await redrive(house)
    assert (status, said["redriven"]) == (200, 3)
    assert {item["id"] for item in said["items"]} == set(jobs)
    assert await dead_letters(house) == []
    assert await redrive(house) == (200, {"redriven": 0, "items": []})
    assert await house.queued() == 3


async def test_a_redrive_of_some_leaves_the_others(house: House) -> None:
    one, other = await ended(house), await ended(house)
    _, said = await redrive(house, json.dumps({"ids": [one]}).encode())
    assert said["redriven"] == 1
    assert [letter["id"] for letter in await dead_letters(house)] == [other]


@pytest.mark.parametrize("body", [b"all", b"[]", b'{"id": "x"}'])
async def test_a_redrive_of_nothing_that_is_said_is_refused(house: House, body: bytes) -> None:
    status, said = await redrive(house, body)
    assert (status, said["code"]) == (400, "invalid_request")


async def test_a_purge_cancels_what_waits_and_leaves_what_runs(house: House) -> None:
    running = await house.submit()
    await house.take()
    waiting = [await house.submit() for _ in range(2)]
    reply = await house.client.delete(f"/v1/functions/{house.function}/queue")
    assert (reply.status, await reply.json()) == (200, {"removed": 2})
    assert [(await house.record(job)).state for job in waiting] == [State.CANCELLED, State.CANCELLED]
    assert (await house.record(running)).state is State.RUNNING
