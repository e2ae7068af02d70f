"""Event calls over HTTP: held, asynchronous, refused, and left by their client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from penstock import keys
from penstock.blobs import INLINE_LIMIT, DirectoryBlobs
from penstock.invocation import FailureCode, Response, State
from penstock.store import PoolView
from tests.conftest import RedisServer
from tests.unit.gateway.conftest import House, OpenHouse, answer, failed
from tests.unit.workers.waiting import until


async def problem(response: aiohttp.ClientResponse, status: int, code: str) -> dict[str, Any]:
    assert response.status == status, await response.text()
    assert response.content_type == "application/problem+json"
    said: dict[str, Any] = await response.json(content_type=None)
    assert (said["status"], said["code"]) == (status, code)
    return said


# What reaches the queue.


async def test_an_async_call_is_durable_when_it_is_acknowledged(house: House) -> None:
    response = await house.post(b"event", Prefer="respond-async", Content_Type="text/plain")
    assert response.status == 202
    said = await response.json()
    assert response.headers["Location"] == f"{house.calls}/{said['id']}"
    assert response.headers["Penstock-Invocation-Id"] == said["id"]
    record = await house.record(said["id"])
    assert (record.state, record.kind) == (State.QUEUED, "job")
    run = await house.take()
    assert (run.invocation.id, run.body) == (said["id"], b"event")


async def test_an_acknowledged_job_comes_with_its_record(house: House) -> None:
    await house.submit()
    response = await house.post(Prefer="respond-async")
    said = await response.json()
    assert said["state"] == "queued"
    assert said["queue_position"] == 2
    assert said["waiting_reason"] == "no workers process has looked at it yet: nobody called it, or none runs"
    assert said["links"]["self"] == response.headers["Location"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", said["created_at"])


async def test_a_job_that_could_not_be_written_is_not_acknowledged(house: House) -> None:
    house.redis.cli("CONFIG", "SET", "maxmemory", "1")
    try:
        response = await house.post(Prefer="respond-async")
        await problem(response, 503, "store_unavailable")
    finally:
        house.redis.cli("CONFIG", "SET", "maxmemory", "0")
    assert "Location" not in response.headers
    assert response.headers["Retry-After"] == "1"
    assert await house.queued() == 0


async def test_without_redis_a_call_is_refused_and_may_be_tried_again(
    own_server: RedisServer, open_house: OpenHouse
) -> None:
    house: House = await open_house(redis=own_server)
    own_server.kill()
    said = await problem(await house.post(), 503, "store_unavailable")
    assert said["retryable"] is True


async def test_the_event_and_its_type_pass_unread(house: House) -> None:
    await house.submit(b"\x00\xff{", Content_Type="application/x-thing; v=1")
    run = await house.take()
    assert run.body == b"\x00\xff{"
    request = run.invocation.request
    assert (request.method, request.path, request.size) == ("POST", None, 3)
    assert request.headers == (("Content-Type", "application/x-thing; v=1"),)


async def test_an_event_without_a_type_is_bytes(house: House) -> None:
    head = f"POST {house.calls} HTTP/1.1\r\nHost: localhost\r\nPrefer: respond-async\r\nContent-Length: 1\r\n"
    assert (await raw(house, f"{head}\r\nx".encode()))[0] == 202
    assert (await house.take()).invocation.request.headers == (("Content-Type", "application/octet-stream"),)


async def test_the_specs_limits_go_with_the_job(house: House) -> None:
    await house.deploy(timeout="90s", queue={"max_age": "1h"}, retry={"attempts": 7})
    record = await house.record(await house.submit())
    assert (record.timeout_ms, record.max_age_ms, record.attempts) == (90_000, 3_600_000, 7)


async def test_a_callback_is_kept_with_the_job(house: House) -> None:
    record = await house.record(await house.submit(Penstock_Callback_Url="http://127.0.0.1:9999/done"))
    assert record.callback == "http://127.0.0.1:9999/done"


async def test_a_bad_callback_is_refused_before_anything_is_written(house: House) -> None:
    response = await house.post(Prefer="respond-async", Penstock_Callback_Url="ftp://example.com/")
    await problem(response, 400, "invalid_request")
    assert await house.queued() == 0


@pytest.mark.parametrize("name", ["unknown", "Bad", "with%20space", "a%2Fb", "ps:x", "x" * 64, "%C3%BC"])
async def test_a_function_that_is_not_there_is_not_found(house: House, name: str) -> None:
    await problem(
        await house.client.post(f"/v1/functions/{name}/invocations", data=b""), 404, "function_not_found"
    )


async def test_a_function_deleted_behind_the_gateways_back_is_not_found(house: House) -> None:
    await house.submit()  # the gateway knows it now
    await house.store.catalog.delete(house.function)
    await problem(await house.post(Prefer="respond-async"), 404, "function_not_found")


# Bodies.


async def test_a_large_event_travels_in_a_blob(house: House, blobs: DirectoryBlobs) -> None:
    body = bytes(range(256)) * 2048
    await house.submit(body)
    run = await house.take()
    request = run.invocation.request
    assert (run.body, request.size) == (b"", len(body))
    assert request.blob == f"{house.function}/{run.invocation.id}.request"
    assert await blobs.read(request.blob) == body


@pytest.mark.parametrize(("size", "in_blob"), [(INLINE_LIMIT, False), (INLINE_LIMIT + 1, True)])
async def test_an_event_of_256_kib_is_the_largest_in_the_record(house: House, size: int, in_blob: bool) -> None:
    record = await house.record(await house.submit(b"x" * size))
    assert (record.request.blob is not None) is in_blob
    assert record.request.size == size


@pytest.mark.parametrize("size", [1001, 500_000])
async def test_a_body_over_the_limit_is_refused_by_its_announced_length(open_house: OpenHouse, size: int) -> None:
    house: House = await open_house(max_body=1000)
    said = await problem(await house.post(b"x" * size, Prefer="respond-async"), 413, "payload_too_large")
    assert "1000 bytes" in said["detail"]
    assert await house.queued() == 0


async def chunks(size: int) -> AsyncIterator[bytes]:
    """Sent chunked: nobody announces how long it is."""
    for start in range(0, size, 50_000):
        yield b"x" * min(50_000, size - start)
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("limit", "size"), [(1000, 1001), (1000, 270_000), (300_000, 310_000), (300_000, 600_000), (1000, 600_000)]
)
async def test_a_chunked_body_over_the_limit_is_refused_and_leaves_nothing(
    open_house: OpenHouse, tmp_path: Path, limit: int, size: int
) -> None:
    house: House = await open_house(max_body=limit)
    response = await house.client.post(house.calls, data=chunks(size), headers={"Prefer": "respond-async"})
    await problem(response, 413, "payload_too_large")
    assert await house.queued() == 0
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("size", [0, 1, 1000])
async def test_a_chunked_body_within_the_limit_is_taken(open_house: OpenHouse, size: int) -> None:
    house: House = await open_house(max_body=1000)
    response = await house.client.post(house.calls, data=chunks(size), headers={"Prefer": "respond-async"})
    assert response.status == 202
    assert (await house.take()).body == b"x" * size


# The held connection.


@contextlib.asynccontextmanager
async def held(house: House, **headers: Any) -> AsyncIterator[asyncio.Task[aiohttp.ClientResponse]]:
    """A call whose client waits."""
    call = asyncio.create_task(house.post(**headers))
    try:
        yield call
    finally:
        call.cancel()
        await asyncio.wait([call])


async def test_a_held_call_gets_the_functions_own_answer(house: House) -> None:
    async with held(house) as call:
        run = await house.take()
        assert run.invocation.kind == "call"
        await house.finish(run, answer(b"said\x00", status=201))
        response = await call
        assert (response.status, await response.read()) == (201, b"said\x00")
    assert response.headers["Content-Type"] == "text/plain"
    assert response.headers["X-Model"] == "m1"
    assert response.headers["Penstock-Invocation-Id"] == run.invocation.id
    assert response.headers["Penstock-Cold-Start"] == "true"
    assert response.headers["Server-Timing"] == "queue;dur=1.5, start;dur=50.0, run;dur=4.2"
    assert response.headers["Server"] == "penstock"


@pytest.mark.parametrize("status", [400, 404, 422, 500, 503])
async def test_a_functions_own_error_status_passes_untouched(house: House, status: int) -> None:
    async with held(house) as call:
        await house.finish(await house.take(), answer(b'{"mine": 1}', status=status))
        response = await call
        assert (response.status, await response.read()) == (status, b'{"mine": 1}')
        assert response.content_type == "text/plain"


async def test_headers_given_twice_stay_two(house: House) -> None:
    cookies = (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Content-Encoding", "gzip"))
    async with held(house) as call:
        await house.finish(await house.take(), answer(b"", headers=cookies))
        response = await call
    assert response.headers.getall("Set-Cookie") == ["a=1", "b=2"]
    assert response.headers["Content-Encoding"] == "gzip"


async def test_an_answer_too_long_for_a_hint_comes_whole(house: House) -> None:
    body = bytes(range(256)) * 800
    async with held(house) as call:
        await house.finish(await house.take(), answer(body))
        response = await call
        assert await response.read() == body


async def test_an_answer_in_a_blob_comes_whole(house: House, blobs: DirectoryBlobs) -> None:
    body = bytes(range(251)) * 5000
    async with held(house) as call:
        run = await house.take()
        async with blobs.writer("fn/answer") as blob:
            await blob.write(body)
            await blob.commit()
        said = answer(b"")
        assert said.response is not None
        in_blob = Response(status=200, headers=said.response.headers, size=len(body), blob="fn/answer")
        await house.finish(run, type(said)(event=said.event, response=in_blob, timeline=said.timeline))
        response = await call
        assert response.headers["Content-Length"] == str(len(body))
        assert await response.read() == body


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (FailureCode.FUNCTION_ERROR, 502),
        (FailureCode.INSTANCE_LOST, 502),
        (FailureCode.RUN_TIMEOUT, 504),
        (FailureCode.START_FAILED, 503),
    ],
)
async def test_a_call_without_an_answer_gets_the_problem(house: House, code: FailureCode, status: int) -> None:
    async with held(house) as call:
        run = await house.take()
        await house.finish(run, failed(code, "why"))
        response = await call
        said = await problem(response, status, code)
    assert (said["detail"], said["invocation"]) == ("why", run.invocation.id)
    assert response.headers["Penstock-Invocation-Id"] == run.invocation.id


async def test_a_call_that_cannot_be_started_is_told_at_once_with_the_log(house: House) -> None:
    async with held(house) as call:
        await house.waiting()
        failure = failed(FailureCode.START_FAILED, "it ended by itself with exit code 1").failure
        assert failure is not None
        await house.store.queue.reject_held(house.function, epoch=house.epoch, failure=failure)
        response = await call
        said = await problem(response, 503, "start_failed")
    assert said["log_tail"] == "last lines"
    assert response.headers["Retry-After"] == "5"


async def test_a_hold_that_runs_out_makes_the_call_a_job(open_house: OpenHouse) -> None:
    house: House = await open_house(hold=0.2)
    response = await house.post()
    assert response.status == 202
    said = await response.json()
    assert response.headers["Location"] == f"{house.calls}/{said['id']}"
    assert (await house.record(said["id"])).kind == "job"
    _, listed = await house.get("?limit=5")
    assert [one["id"] for one in listed["invocations"]] == [said["id"]]
    run = await house.take()
    assert run.invocation.id == said["id"], "the same job goes on"


async def test_prefer_wait_sets_the_hold(house: House) -> None:
    began = asyncio.get_running_loop().time()
    response = await house.post(Prefer="wait=1")
    assert response.status == 202
    assert 0.9 < asyncio.get_running_loop().time() - began < 5
    assert (await house.record((await response.json())["id"])).kind == "job"


async def test_prefer_wait_is_capped(open_house: OpenHouse) -> None:
    house: House = await open_house(max_hold=0.2)
    response = await asyncio.wait_for(house.post(Prefer="wait=100"), 5)
    assert response.status == 202


async def test_a_wait_of_zero_makes_a_job(house: House) -> None:
    response = await house.post(Prefer="wait=0")
    assert response.status == 202
    job = (await response.json())["id"]
    assert (await house.record(job)).kind == "job"
    _, listed = await house.get("?limit=5")
    assert [one["id"] for one in listed["invocations"]] == [job]


async def test_an_async_call_may_wait_for_a_quick_answer(house: House) -> None:
    async with held(house, Prefer="respond-async, wait=30") as call:
        run = await house.take()
        assert run.invocation.kind == "job"
        await house.finish(run)
        response = await call
        assert (response.status, await response.read()) == (200, b"answer")


async def test_an_async_call_that_waited_in_vain_is_acknowledged(house: House) -> None:
    response = await house.post(Prefer="respond-async, wait=1")
    assert response.status == 202
    assert "Location" in response.headers


async def test_a_gateway_that_stops_answers_held_calls_with_where_to_look(house: House) -> None:
    async with held(house) as waiting, held(house) as running:
        run = await house.take()
        await house.waiting()
        house.gateway.waiters.close()
        for call in (waiting, running):
            response = await asyncio.wait_for(call, 5)
            assert response.status == 202
            assert (await house.record((await response.json())["id"])).kind == "job"
    assert (await house.record(run.invocation.id)).state is State.RUNNING, "its work goes on"
    assert await house.queued() == 1


async def test_two_clients_get_their_own_answers(house: House) -> None:
    async with held(house) as first:
        run_first = await house.take()
        async with held(house) as second:
            run_second = await house.take()
            await house.finish(run_second, answer(b"second"))
            assert await (await second).read() == b"second"
            await house.finish(run_first, answer(b"first"))
            assert await (await first).read() == b"first"


# Clients that hang up.


async def hang_up(house: House, headers: str = "") -> asyncio.StreamWriter:
    """A raw client that has sent a call; abort its transport to hang up."""
    server = house.client.server
    _, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(
        f"POST {house.calls} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n{headers}\r\nevent".encode()
    )
    await writer.drain()
    return writer


async def test_a_client_that_hangs_up_cancels_what_has_not_started(house: House) -> None:
    client = await hang_up(house)
    await house.waiting()
    [job] = house.redis.cli("ZRANGE", keys.queued(house.function), "0", "-1").split()
    client.transport.abort()

    async def cancelled() -> bool:
        return (await house.record(job)).state is State.CANCELLED

    await until(cancelled, "the call is cancelled")
    assert await house.queued() == 0


async def test_a_client_that_hangs_up_leaves_what_runs_alone(house: House) -> None:
    client = await hang_up(house)
    run = await house.take()
    client.transport.abort()
    async with held(house):  # a round trip later the gateway has noticed
        await house.waiting()
    await house.finish(run)
    status, said = await house.get(run.invocation.id)
    assert (status, said["state"]) == (200, "succeeded")


async def test_a_client_that_hangs_up_leaves_a_job_alone(house: House) -> None:
    client = await hang_up(house, "Prefer: respond-async, wait=30\r\n")
    await house.waiting()
    [job] = house.redis.cli("ZRANGE", keys.queued(house.function), "0", "-1").split()
    client.transport.abort()
    async with held(house):
        await house.waiting(2)
    assert (await house.record(job)).state is State.QUEUED


async def test_a_client_that_hangs_up_in_its_body_leaves_nothing(house: House, tmp_path: Path) -> None:
    server = house.client.server
    _, writer = await asyncio.open_connection(server.host, server.port)
    head = f"POST {house.calls} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n".encode()
    writer.write(head + b"x" * 500_000)
    await writer.drain()
    files = tmp_path / "blobs"

    async def spools() -> bool:
        return any(path.is_file() for path in files.rglob("*"))

    await until(spools, "the body is being spooled")
    writer.transport.abort()

    async def clean() -> bool:
        return not any(path.is_file() for path in files.rglob("*"))

    await until(clean, "the partial body is gone")
    assert await house.queued() == 0


# A full queue.


async def test_a_held_call_is_refused_when_too_many_wait(open_house: OpenHouse) -> None:
    house: House = await open_house(held_depth=1)
    async with held(house):
        await house.waiting()
        response = await house.post()
        said = await problem(response, 429, "queue_full")
        assert said["retryable"] is True
        assert response.headers["Retry-After"] == "5", "nobody knows yet how fast it drains"
        assert await house.submit(), "jobs have a depth of their own"


async def test_a_job_is_refused_when_too_many_wait(house: House, tmp_path: Path) -> None:
    await house.deploy(queue={"max_depth": 2})
    await house.submit()
    await house.submit()
    response = await house.post(b"x" * (INLINE_LIMIT + 1), Prefer="respond-async")
    said = await problem(response, 429, "queue_full")
    assert "2 invocations already wait" in said["detail"]
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == [], "nor does its body stay"
    async with held(house):
        await house.waiting(3)  # held calls have a depth of their own


async def test_retry_after_comes_from_how_fast_the_pool_drains(house: House) -> None:
    await house.deploy(queue={"max_depth": 100})
    view = PoolView(instances=(), desired=1, reason="", drain_rate=0.5)
    await house.store.pools.show(house.function, view, epoch=house.epoch)
    for _ in range(100):
        await house.submit(b"")
    response = await house.post(Prefer="respond-async")
    assert (response.status, response.headers["Retry-After"]) == (429, "20")


# Odd requests.


async def raw(house: House, request: bytes) -> tuple[int, bytes]:
    """Status and all that came, of a request that no library would send."""
    server = house.client.server
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(request)
    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        match = re.search(rb"(?i)content-length: (\d+)", head)
        body = await reader.readexactly(int(match[1])) if match else b""
        return int(head.split()[1]), body
    finally:
        writer.close()


@pytest.mark.parametrize("kind", [b"Jos\xe9", b"\xff\xfe"])
async def test_a_content_type_that_is_not_utf_8_does_not_make_the_gateway_fail(house: House, kind: bytes) -> None:
    request = (
        f"POST {house.calls} HTTP/1.1\r\nHost: localhost\r\nPrefer: respond-async\r\nContent-Length: 1\r\n"
        f"Content-Type: text/".encode()
        + kind
        + b"\r\n\r\nx"
    )
    status, body = await raw(house, request)
    assert status in (202, 400), body


async def test_an_unknown_path_and_a_wrong_method_are_problems(house: House) -> None:
    said = await problem(await house.client.get("/v9/nothing"), 404, "not_found")
    assert said["detail"] == "GET /v9/nothing: Not Found"
    await problem(await house.client.patch(house.calls), 405, "method_not_allowed")


async def test_no_error_shows_a_stack_trace(house: House) -> None:
    house.redis.cli("SET", keys.queued(house.function), "not a set")  # something that nobody thought of
    response = await house.post(Prefer="respond-async")
    said = await problem(response, 500, "internal_error")
    assert "Traceback" not in json.dumps(said)
