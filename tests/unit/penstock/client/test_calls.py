"""Calling functions through a real gateway: answers, failures, waits, jobs, and many at a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from penstock import client as api
from penstock.client import AsyncClient
from penstock.invocation import Event, Failure, FailureCode, Outcome
from tests.unit.gateway.conftest import House, OpenHouse, answer, failed
from tests.unit.workers.waiting import until


async def serve(house: House, *outcomes: Outcome) -> None:
    """A worker that ends the next calls so."""
    for outcome in outcomes:
        await house.finish(await house.take(), outcome)


async def test_an_answer_is_the_functions_own(house: House, client: AsyncClient) -> None:
    call = asyncio.create_task(client.invoke(house.function, {"x": 1}, priority="high", run_timeout=7))
    run = await house.take()
    assert (run.body, dict(run.invocation.request.headers)) == (
        b'{"x": 1}',
        {"Content-Type": "application/json"},
    )
    assert (run.invocation.priority, run.invocation.timeout_ms) == ("high", 7000)
    await house.finish(run, answer(b"grin", headers=(("Content-Type", "text/plain"), ("X-Model", "m1"))))
    said = await call
    assert (said.status, said.value, said.headers["x-model"]) == (200, "grin", "m1")
    assert (said.invocation_id, said.cold_start) == (run.invocation.id, True)
    assert said.timing == {"queue": 1.5, "start": 50.0, "run": 4.2}


async def test_a_call_that_outlasts_its_hold_is_answered_as_if_it_had_not(
    house: House, client: AsyncClient
) -> None:
    call = asyncio.create_task(client.invoke(house.function, "event", wait=1))
    run = await house.take()

    async def became_a_job() -> bool:
        return (await house.record(run.invocation.id)).kind == "job"

    await until(became_a_job, "its hold ran out")
    await house.finish(run, answer(b'{"late": true}', headers=(("Content-Type", "application/json"),)))
    assert (await call).value == {"late": True}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (FailureCode.FUNCTION_ERROR, api.FunctionError),
        (FailureCode.INSTANCE_LOST, api.InstanceLost),
        (FailureCode.RUN_TIMEOUT, api.JobTimedOut),
        (FailureCode.START_FAILED, api.StartFailed),
    ],
)
async def test_a_call_that_failed_raises_its_error_with_the_log(
    house: House, client: AsyncClient, code: FailureCode, kind: type[api.JobFailed]
) -> None:
    call = asyncio.create_task(client.invoke(house.function))
    await serve(house, failed(code, "because"))
    with pytest.raises(kind, match="because") as error:
        await call
    job = client.job(house.function, error.value.job_id)
    assert (error.value.code, error.value.log_tail, error.value.answer) == (code, "last lines", None)
    assert error.value.status == code.status
    with pytest.raises(kind, match="because") as later:
        await job.result()
    assert (later.value.log_tail, later.value.status) == ("last lines", code.status)


async def test_a_job_that_was_cancelled_or_too_old_raises_so(house: House, client: AsyncClient) -> None:
    job = await client.submit(house.function)
    assert (await job.cancel())["state"] == "cancelled"
    with pytest.raises(api.JobCancelled):
        await job.result()
    assert (await job.cancel())["state"] == "cancelled", "once more changes nothing"
    old = await client.submit(house.function, max_queue=1)

    async def expired() -> bool:
        await house.store.queue.sweep(house.function, epoch=house.epoch, requeue=True)
        return (await old.status())["state"] == "expired"

    await until(expired, "it is too old")
    with pytest.raises(api.JobExpired):
        await old.result()


async def test_a_function_that_answers_an_error_is_a_function_error_with_its_answer(
    house: House, client: AsyncClient
) -> None:
    problem = b'{"code": "mine", "invocation": "forged"}'
    said = answer(problem, 422, headers=(("Content-Type", "application/problem+json"),))
    call = asyncio.create_task(client.invoke(house.function))
    await serve(house, said)
    with pytest.raises(api.FunctionError, match="the function answered 422") as error:
        await call
    assert error.value.answer is not None
    assert (error.value.answer.status, error.value.answer.content) == (422, problem)
    with pytest.raises(api.FunctionError) as later:
        await client.job(house.function, error.value.job_id).result()
    assert later.value.answer is not None
    assert later.value.answer.content == problem


async def test_who_waits_no_longer_is_told_which_job_goes_on(house: House, client: AsyncClient) -> None:
    with pytest.raises(api.Timeout, match="has not answered within 3 s; the call goes on") as error:
        await client.invoke(house.function, timeout=3)
    assert error.value.job_id is not None
    job = client.job(house.function, error.value.job_id)
    with pytest.raises(api.Timeout) as again:
        await job.result(timeout=0.05)
    assert again.value.job_id == job.id
    await serve(house, answer(b"in the end"))
    assert (await job.result(timeout=10)).text == "in the end"


async def test_a_job_is_a_handle(house: House, client: AsyncClient) -> None:
    job = await client.submit(house.function, "one", key="k1")
    assert job.submitted is not None
    assert job.submitted["state"] == "queued"
    assert (await client.submit(house.function, "one", key="k1")).id == job.id
    with pytest.raises(api.Conflict, match="this Idempotency-Key was used for another request"):
        await client.submit(house.function, "two", key="k1")
    await serve(house, answer(b"done"))
    assert (await client.job(house.function, job.id).result()).text == "done"
    with pytest.raises(api.Conflict, match="has already ended as succeeded"):
        await job.cancel()
    again = await job.retry()
    assert (await again.status())["retry_of"] == job.id
    listed = [record["id"] async for record in client.jobs(house.function)]
    assert listed == [again.id, job.id]
    assert [record["id"] async for record in client.jobs(house.function, state="queued")] == [again.id]
    assert [record["id"] async for record in client.jobs(house.function, limit=1)] == [again.id]


async def test_a_list_of_jobs_goes_over_pages(house: House, client: AsyncClient) -> None:
    ids = [(await client.submit(house.function)).id for _ in range(103)]
    assert [record["id"] async for record in client.jobs(house.function)] == ids[::-1]
    assert [record["id"] async for record in client.jobs(house.function, limit=101)] == ids[:1:-1]


async def test_each_refusal_is_an_error_of_its_own(house: House, client: AsyncClient) -> None:
    with pytest.raises(api.NotFound, match="no function is named 'nobody'"):
        await client.invoke("nobody")
    with pytest.raises(api.NotFound, match="no function is named"):
        await client.submit("../functions")
    with pytest.raises(api.NotFound):
        await client.job(house.function, "no-id").status()
    with pytest.raises(api.NotFound):
        await anext(client.job(house.function, "no-id").events())
    gone = house.gateway.mint.new(house.function)
    with pytest.raises(api.Expired, match="past its retention"):
        await client.job(house.function, gone).result()
    with pytest.raises(api.InvalidRequest, match="Penstock-Max-Queue"):
        await client.submit(house.function, max_queue=0)
    with pytest.raises(api.Unavailable, match="no workers process leads"):
        await anext(client.logs(house.function, "i-1"))
    with pytest.raises(api.ApiError, match="GET /v1/nothing") as unknown:
        await client.get("/v1/nothing")
    assert unknown.value.status == 404


async def test_a_full_queue_and_a_page_of_elsewhere_are_refused(open_house: OpenHouse) -> None:
    house: House = await open_house(max_body=100)
    await house.deploy(queue={"max_depth": 1})
    async with AsyncClient(str(house.client.make_url("/")), retries=0) as client:
        await client.submit(house.function)
        with pytest.raises(api.QueueFull) as full:
            await client.submit(house.function)
        assert full.value.retryable
        assert full.value.retry_after is not None
        with pytest.raises(api.Forbidden, match="is not local"):
            await client.submit(house.function, headers={"Origin": "https://elsewhere"})
        with pytest.raises(api.InvalidRequest, match="larger than 100 bytes"):
            await client.submit(house.function, b"x" * 101)


async def test_functions_and_instances_are_shown(house: House, client: AsyncClient) -> None:
    names = [one["name"] for one in await client.functions()]
    assert names == [house.function]
    shown = await client.instances(house.function)
    assert shown["instances"] == []
    await house.deploy(triggers=[{"name": "tick", "type": "timer", "schedule": "@every 1h"}])
    [tick] = await client.triggers(house.function)
    assert (tick["name"], tick["fired"]) == ("tick", 0)


# Many


async def work(house: House) -> None:
    """Answers each call with its body; every tenth fails."""
    while True:
        run = await house.take()
        bad = run.body.isdigit() and int(run.body) % 10 == 3
        await house.finish(run, failed(message=run.body.decode()) if bad else answer(run.body))


@pytest.fixture
async def worker(house: House) -> Any:
    workers = [asyncio.create_task(work(house)) for _ in range(1)]
    yield
    for one in workers:
        one.cancel()
    await asyncio.gather(*workers, return_exceptions=True)


@pytest.mark.usefixtures("worker")
async def test_a_thousand_items_are_answered_in_their_order(house: House, client: AsyncClient) -> None:
    flying = most = 0

    def items() -> Iterator[str]:
        nonlocal flying, most
        for number in range(1000):
            flying += 1
            most = max(most, flying - len(answered))
            yield str(number)

    answered: list[str] = []
    original = client.invoke

    async def counted(*args: Any, **options: Any) -> Any:
        try:
            return await original(*args, **options)
        finally:
            answered.append(args[1])

    client.invoke = counted  # type: ignore[method-assign]
    found = await client.map(house.function, items(), concurrency=16, progress=False, return_exceptions=True)
    assert len(found) == 1000
    for number, one in enumerate(found):
        if number % 10 == 3:
            assert isinstance(one, api.FunctionError)
            assert one.detail == str(number)
        else:
            assert isinstance(one, api.Answer)
            assert one.text == str(number)
    assert most == 16, "bounded, and as many as allowed"


@pytest.mark.usefixtures("worker")
async def test_the_first_error_ends_a_map(house: House, client: AsyncClient) -> None:
    taken: list[int] = []

    def items() -> Iterator[str]:
        for number in range(1000):
            taken.append(number)
            yield str(number)

    with pytest.raises(api.FunctionError, match=r"^3$"):
        await client.map(house.function, items(), concurrency=2, progress=False)
    assert len(taken) < 20, "nothing more is begun"


async def test_a_map_that_lets_nothing_through_is_refused(house: House, client: AsyncClient) -> None:
    with pytest.raises(ValueError, match="give 1 or more"):
        await client.map(house.function, [1], concurrency=0)
    assert await client.map(house.function, [], progress=False) == []


# Addresses


async def test_the_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PENSTOCK_URL", raising=False)
    assert AsyncClient().url == "http://127.0.0.1:8080"
    monkeypatch.setenv("PENSTOCK_URL", "http://there:1/")
    assert AsyncClient().url == "http://there:1"
    assert AsyncClient("http://here").url == "http://here"


async def test_retry_under_one_key_is_one_job(house: House, client: AsyncClient) -> None:
    job = await client.submit(house.function)
    await serve(house, Outcome(event=Event.FAIL, failure=Failure(code=FailureCode.FUNCTION_ERROR, message="x")))
    path = f"{house.calls}/{job.id}/retry"
    one, other = [
        json.loads((await client.send("POST", path, headers={"Idempotency-Key": "r"})).content) for _ in range(2)
    ]
    assert one["id"] == other["id"]
    assert (await job.retry()).id != one["id"]
