"""Reading invocations and ending them: poll, long poll, result, list, cancel."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from penstock.ids import IdMint
from penstock.invocation import FailureCode, State
from penstock.store import Retention, Store
from tests.unit.gateway.conftest import House, answer, failed

FORGED = IdMint("another secret")


async def submit(house: House, count: int) -> list[str]:
    """Jobs, the newest first, as a list shows them."""
    return [await house.submit() for _ in range(count)][::-1]


async def expire(house: House, job: str) -> None:
    """As its retention does in time."""
    house.redis.cli("DEL", f"ps:{{{house.function}}}:inv:{job}")


# One record.


async def test_a_queued_job_tells_its_place_and_why_it_waits(house: House) -> None:
    first, second = await house.submit(), await house.submit()
    status, said = await house.get(second)
    assert (status, said["id"], said["state"], said["queue_position"]) == (200, second, "queued", 2)
    assert said["waiting_reason"]
    assert (await house.get(first))[1]["queue_position"] == 1


async def test_a_running_job_tells_where_it_runs(house: House) -> None:
    job = await house.submit()
    await house.take()
    _, said = await house.get(job)
    assert (said["state"], said["instance"], said["attempt"]) == ("running", "instance-1", 1)
    assert said["started_at"]
    assert said["queue_position"] is None
    assert said["waiting_reason"] is None


async def test_a_finished_job_tells_how_it_ended(house: House) -> None:
    job = await house.submit()
    await house.finish(await house.take())
    _, said = await house.get(job)
    assert said["state"] == "succeeded"
    assert said["finished_at"]
    assert said["cold_start"] is True
    assert said["timeline"] == {"queued": 1.5, "starting": 20.0, "initializing": 30.0, "running": 4.25}
    assert said["response"] == {
        "status": 200,
        "headers": {"Content-Type": "text/plain", "X-Model": "m1"},
        "size": 6,
    }
    assert said["error"] is None


async def test_a_failed_job_tells_why_with_the_log(house: House) -> None:
    job = await house.submit()
    await house.finish(await house.take(), failed())
    _, said = await house.get(job)
    assert said["error"] == {
        "code": "function_error",
        "message": "KeyError: 'x'",
        "retryable": False,
        "exit_code": None,
        "log_tail": "last lines",
    }


@pytest.mark.parametrize("path", ["{id}", "{id}/result"])
async def test_an_id_of_ours_without_a_record_is_gone(house: House, path: str) -> None:
    job = await house.submit()
    await expire(house, job)
    status, said = await house.get(path.format(id=job))
    assert (status, said["code"]) == (410, "invocation_expired")


@pytest.mark.parametrize("path", ["{id}", "{id}/result"])
async def test_an_id_that_is_not_ours_is_not_found(house: House, path: str) -> None:
    job = await house.submit()
    await house.deploy("other")
    for invented in (FORGED.new(house.function), "nonsense", "00000000-0000-0000-0000-000000000000", job.upper()):
        status, said = await house.get(path.format(id=invented))
        assert (status, said["code"]) == (404, "invocation_not_found"), invented
    other = await house.client.get(f"/v1/functions/other/invocations/{path.format(id=job)}")
    assert other.status == 404, "an id is one function's"


async def test_an_id_outlives_its_function(house: House) -> None:
    job = await house.submit()
    await house.finish(await house.take())
    assert (await house.client.delete(f"/v1/functions/{house.function}")).status == 200
    assert (await house.get(job))[0] == 200


async def test_a_name_that_is_none_is_not_found(house: House) -> None:
    response = await house.client.get(f"/v1/functions/Bad%20Name/invocations/{FORGED.new('x')}")
    assert (response.status, (await response.json(content_type=None))["code"]) == (404, "function_not_found")


# Waiting for the end.


async def test_a_long_poll_returns_at_the_end(house: House) -> None:
    job = await house.submit()
    poll = asyncio.create_task(house.get(f"{job}?wait=30"))
    await house.finish(await house.take())
    status, said = await asyncio.wait_for(poll, 5)
    assert (status, said["state"]) == (200, "succeeded")


async def test_a_long_poll_of_one_that_has_ended_returns_at_once(house: House) -> None:
    job = await house.submit()
    await house.finish(await house.take())
    _, said = await asyncio.wait_for(house.get(f"{job}?wait=30"), 5)
    assert said["state"] == "succeeded"


async def test_a_long_poll_ends_with_its_wait(house: House) -> None:
    job = await house.submit()
    _, said = await asyncio.wait_for(house.get(f"{job}?wait=1"), 5)
    assert said["state"] == "queued"


async def test_a_long_poll_of_what_is_not_there_returns_at_once(house: House) -> None:
    status, _ = await asyncio.wait_for(house.get(f"{FORGED.new(house.function)}?wait=30"), 5)
    assert status == 404


@pytest.mark.parametrize("wait", ["abc", "-1", "1.5", "", "1s"])
async def test_a_wait_that_is_no_number_is_refused(house: House, wait: str) -> None:
    status, said = await house.get(f"{await house.submit()}?wait={wait}")
    assert (status, said["code"]) == (400, "invalid_request")
    assert "whole number of seconds" in said["detail"]


# The result.


async def test_a_result_is_the_functions_own_answer(house: House) -> None:
    job = await house.submit()
    await house.finish(await house.take(), answer(b"\x00said\xff", status=207))
    response = await house.client.get(f"{house.calls}/{job}/result")
    assert (response.status, await response.read()) == (207, b"\x00said\xff")
    assert response.headers["X-Model"] == "m1"
    assert response.headers["Penstock-Invocation-Id"] == job
    assert response.headers["Penstock-Cold-Start"] == "true"


async def test_a_result_can_be_read_again(house: House) -> None:
    job = await house.submit()
    await house.finish(await house.take())
    for _ in range(3):
        assert await (await house.client.get(f"{house.calls}/{job}/result")).read() == b"answer"


async def test_a_result_of_a_failed_job_that_answered_is_its_answer(house: House) -> None:
    job = await house.submit()
    await house.finish(await house.take(), answer(b"no such row", status=404))
    response = await house.client.get(f"{house.calls}/{job}/result")
    assert (response.status, await response.read()) == (404, b"no such row")
    assert (await house.get(job))[1]["error"]["code"] == "function_error"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (FailureCode.FUNCTION_ERROR, 502),
        (FailureCode.INSTANCE_LOST, 502),
        (FailureCode.RUN_TIMEOUT, 504),
        (FailureCode.START_FAILED, 503),
    ],
)
async def test_a_result_of_a_job_without_an_answer_is_a_problem(
    house: House, code: FailureCode, status: int
) -> None:
    job = await house.submit()
    await house.finish(await house.take(), failed(code))
    response = await house.client.get(f"{house.calls}/{job}/result")
    assert (response.status, response.content_type) == (status, "application/problem+json")
    assert (await response.json(content_type=None))["code"] == code


async def test_a_result_of_a_cancelled_job_says_so(house: House) -> None:
    job = await house.submit()
    await house.client.delete(f"{house.calls}/{job}")
    status, said = await house.get(f"{job}/result")
    assert (status, said["code"]) == (499, "cancelled")


async def test_before_the_end_the_result_is_to_come(house: House) -> None:
    job = await house.submit()
    for state in ("queued", "running"):
        response = await house.client.get(f"{house.calls}/{job}/result")
        assert (response.status, (await response.json())["state"]) == (202, state)
        assert response.headers["Retry-After"] == "1"
        if state == "queued":
            await house.take()


# Cancelling.


async def test_a_queued_job_is_cancelled(house: House) -> None:
    job = await house.submit()
    response = await house.client.delete(f"{house.calls}/{job}")
    assert (response.status, (await response.json())["state"]) == (200, "cancelled")
    assert await house.queued() == 0


async def test_a_running_job_is_cancelled_at_once_and_aborted(house: House) -> None:
    job = await house.submit()
    run = await house.take()
    response = await house.client.delete(f"{house.calls}/{job}")
    assert (response.status, (await response.json())["state"]) == (202, "cancelled")
    assert await house.store.queue.take_cancels() == [(house.function, job, run.invocation.token)]
    assert await house.store.queue.finish(house.function, job, run.invocation.token, answer()) is State.CANCELLED


async def test_what_has_ended_cannot_be_cancelled(house: House) -> None:
    job = await house.submit()
    await house.finish(await house.take())
    response = await house.client.delete(f"{house.calls}/{job}")
    said = await response.json(content_type=None)
    assert (response.status, said["code"]) == (409, "already_finished")
    assert "succeeded" in said["detail"]
    assert (await house.get(job))[1]["state"] == "succeeded"


async def test_what_is_not_there_cannot_be_cancelled(house: House) -> None:
    assert (await house.client.delete(f"{house.calls}/{FORGED.new(house.function)}")).status == 404
    job = await house.submit()
    await expire(house, job)
    assert (await house.client.delete(f"{house.calls}/{job}")).status == 410


async def test_a_held_call_that_is_cancelled_is_told(house: House) -> None:
    call = asyncio.create_task(house.post())
    run = await house.take()
    assert (await house.client.delete(f"{house.calls}/{run.invocation.id}")).status == 202
    response = await asyncio.wait_for(call, 5)
    assert (response.status, (await response.json(content_type=None))["code"]) == (499, "cancelled")


# The list.


async def ids(house: House, query: str = "") -> tuple[list[str], str | None]:
    status, said = await house.get(f"?{query}")
    assert status == 200, said
    return [one["id"] for one in said["invocations"]], said["next_cursor"]


async def test_jobs_are_listed_the_newest_first(house: House) -> None:
    jobs = await submit(house, 3)
    assert await ids(house) == (jobs, None)


async def test_a_list_of_nothing_is_empty(house: House) -> None:
    assert await ids(house) == ([], None)


async def test_held_calls_are_not_listed(house: House) -> None:
    call = asyncio.create_task(house.post())
    await house.waiting()
    assert await ids(house) == ([], None)
    call.cancel()
    await asyncio.wait([call])


async def test_a_list_shows_twenty_unless_told_otherwise(house: House) -> None:
    jobs = await submit(house, 25)
    first, cursor = await ids(house)
    assert first == jobs[:20]
    assert cursor is not None
    assert await ids(house, f"cursor={cursor}") == (jobs[20:], None)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_pages_are_complete_and_do_not_overlap(house: House, limit: int) -> None:
    jobs = await submit(house, 7)
    found: list[str] = []
    cursor: str | None = None
    for _ in range(10):
        page, cursor = await ids(house, f"limit={limit}" + (f"&cursor={cursor}" if cursor else ""))
        assert len(page) <= limit
        found += page
        if cursor is None:
            break
    assert found == jobs


async def test_a_page_is_the_same_although_newer_jobs_arrive(house: House) -> None:
    jobs = await submit(house, 4)
    _, cursor = await ids(house, "limit=2")
    await submit(house, 2)
    assert (await ids(house, f"limit=2&cursor={cursor}"))[0] == jobs[2:]


async def test_a_list_can_be_of_one_state(house: House) -> None:
    jobs = await submit(house, 6)
    for number in (0, 2, 4):
        await house.client.delete(f"{house.calls}/{jobs[number]}")
    assert (await ids(house, "state=cancelled"))[0] == [jobs[0], jobs[2], jobs[4]]
    assert (await ids(house, "state=queued"))[0] == [jobs[1], jobs[3], jobs[5]]
    assert (await ids(house, "state=running"))[0] == []
    page, cursor = await ids(house, "state=queued&limit=2")
    assert page == [jobs[1], jobs[3]]
    assert (await ids(house, f"state=queued&limit=2&cursor={cursor}"))[0] == [jobs[5]]


async def test_a_list_of_one_state_reads_on_until_its_page_is_full(house: House) -> None:
    jobs = await submit(house, 110)
    cancelled = [jobs[number] for number in (7, 101, 103, 105, 107)]
    for job in cancelled:
        await house.client.delete(f"{house.calls}/{job}")
    page, cursor = await ids(house, "state=cancelled&limit=3")
    assert page == cancelled[:3]
    assert await ids(house, f"state=cancelled&limit=3&cursor={cursor}") == (cancelled[3:], None)


async def test_jobs_past_their_retention_do_not_hide_older_ones(house: House) -> None:
    jobs = await submit(house, 5)
    for job in jobs[:4]:
        await expire(house, job)
    assert (await ids(house, "limit=1"))[0] == [jobs[4]]


async def test_a_finished_job_is_kept_for_its_retention(house: House, redis_server: Any) -> None:
    job = await house.submit()
    run = await house.take()
    brief = Store(redis_server.url, retention=Retention(job_ms=1, call_ms=1))
    await brief.queue.finish(house.function, job, run.invocation.token, answer())
    await brief.close()
    await asyncio.sleep(0.01)
    assert (await house.get(job))[0] == 410


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("limit=0", "from 1 to 100"),
        ("limit=101", "from 1 to 100"),
        ("limit=-1", "from 1 to 100"),
        ("limit=ten", "from 1 to 100"),
        ("limit=", "from 1 to 100"),
        ("limit=1.5", "from 1 to 100"),
        ("limit=%D9%A3", "from 1 to 100"),
        ("limit=" + "9" * 5000, "from 1 to 100"),
        ("state=done", "queued, running, succeeded, failed, timed_out, cancelled, expired"),
        ("state=", "queued, running"),
        ("state=QUEUED", "queued, running"),
        ("cursor=abc", "is not one that a list of this function gave"),
        ("cursor=", "is not one that"),
        (f"cursor={FORGED.new('x')}", "is not one that"),
    ],
)
async def test_a_bad_question_is_refused_with_what_is_allowed(house: House, query: str, says: str) -> None:
    status, said = await house.get(f"?{query}")
    assert (status, said["code"]) == (400, "invalid_request")
    assert says in said["detail"]


async def test_a_list_of_a_function_that_is_not_there_is_not_found(house: House) -> None:
    assert (await house.client.get("/v1/functions/unknown/invocations")).status == 404


async def test_the_tests_leave_nothing_in_the_blob_folder(house: House, tmp_path: Path) -> None:
    await house.submit(b"small")
    assert not (tmp_path / "blobs").exists()
