"""RunPod's endpoints, with the runpod package."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import requests
import runpod
from runpod.endpoint.asyncio.asyncio_runner import Endpoint as AsyncEndpoint
from runpod.http_client import AsyncClientSession

from penstock.blobs import INLINE_LIMIT
from penstock.instance import InstanceState, InstanceView
from penstock.invocation import FailureCode, Run, State
from penstock.store import PoolView
from tests.unit.gateway.conftest import House, OpenHouse, answer, failed
from tests.unit.gateway.dialects.conftest import begin, url

JSON = (("Content-Type", "application/json"),)
LINES = (("Content-Type", "application/x-ndjson"),)


@pytest.fixture
def pointed(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr(runpod, "endpoint_url_base", url(house) + "/v2")
    monkeypatch.setattr(runpod, "api_key", "rp_key")
    return house


@pytest.fixture
def endpoint(pointed: House) -> runpod.Endpoint:
    return runpod.Endpoint(pointed.function)


def said(value: Any) -> Any:
    return answer(json.dumps(value).encode(), headers=JSON)


async def say(house: House, run: Run, *events: tuple[str, Any], first: int = 1) -> None:
    one = run.invocation
    told = [(kind, json.dumps(data)) for kind, data in events]
    await house.store.events.emit(house.function, one.id, one.token, told, first=first)  # type: ignore[arg-type]


async def refused(call: Any, *args: Any) -> requests.Response:
    with pytest.raises(requests.HTTPError) as raised:
        await begin(call, *args)
    assert raised.value.response is not None
    return raised.value.response


async def test_a_job_and_its_states(house: House, endpoint: runpod.Endpoint) -> None:
    job = await begin(endpoint.run, {"input": {"prompt": "a cat"}})
    assert await begin(job.status) == "IN_QUEUE"
    run = await house.take()
    assert json.loads(run.body) == {"prompt": "a cat"}
    assert (run.invocation.id, run.invocation.kind) == (job.job_id, "job")
    assert await begin(job.status) == "IN_PROGRESS"
    await say(house, run, ("progress", {"progress": 0.5, "message": "half"}))
    assert await begin(job.output) == {"progress": 0.5, "message": "half"}
    await house.finish(run, said(["a", "b"]))
    assert await begin(job.status) == "COMPLETED"
    assert await begin(job.output) == ["a", "b"]


async def test_an_input_need_not_be_wrapped(house: House, endpoint: runpod.Endpoint) -> None:
    await begin(endpoint.run, {"prompt": "a cat"})
    assert json.loads((await house.take()).body) == {"prompt": "a cat"}


async def test_a_synchronous_run(house: House, endpoint: runpod.Endpoint) -> None:
    calling = begin(endpoint.run_sync, {"input": {"n": 1}})
    run = await house.take()
    assert run.invocation.kind == "call"
    await house.finish(run, said({"n": 2}))
    assert await calling == {"n": 2}


async def test_a_synchronous_run_that_takes_longer_is_polled(house: House, endpoint: runpod.Endpoint) -> None:
    reply = await house.client.post(f"/v2/{house.function}/runsync?wait=1000", json={"input": {}})
    assert (await reply.json())["status"] == "IN_QUEUE"
    run = await house.take()
    job = runpod.endpoint.runner.Job(house.function, run.invocation.id, endpoint.rp_client)
    polling = begin(job.output, 10)
    await house.finish(run, said("late"))
    assert await polling == "late"


async def test_a_client_that_knows_asyncio(house: House, pointed: House) -> None:
    async with AsyncClientSession() as session:
        endpoint = AsyncEndpoint(house.function, session)
        job = await endpoint.run({"n": 1})
        run = await house.take()
        assert await job.status() == "IN_PROGRESS"
        await house.finish(run, said({"n": 2}))
        assert await job.output(timeout=5) == {"n": 2}
        other = await endpoint.run({"n": 2})
        assert (await other.cancel())["status"] == "CANCELLED"
        assert (await endpoint.purge_queue())["status"] == "completed"
        assert (await endpoint.health())["jobs"]["inQueue"] == 0


@pytest.mark.parametrize(
    ("outcome", "status", "error"),
    [
        (failed(), "FAILED", "KeyError: 'x'"),
        (failed(FailureCode.INSTANCE_LOST, "it is gone"), "FAILED", "it is gone"),
        (failed(FailureCode.RUN_TIMEOUT, "too long"), "TIMED_OUT", "too long"),
        (answer(b'{"detail": "no voice"}', 422, headers=JSON), "FAILED", '{"detail": "no voice"}'),
        (answer(b"no voice", 422), "FAILED", "no voice"),
    ],
)
async def test_a_job_that_failed(
    house: House, endpoint: runpod.Endpoint, outcome: Any, status: str, error: str
) -> None:
    job = await begin(endpoint.run, {"input": {}})
    await house.finish(await house.take(), outcome)
    assert await begin(job.status) == status
    assert await begin(job.output) is None
    shown = await (await house.client.get(f"/v2/{house.function}/status/{job.job_id}")).json()
    assert shown["error"] == error
    assert shown["executionTime"] >= 0
    assert shown["delayTime"] >= 0


async def test_cancelling(house: House, endpoint: runpod.Endpoint) -> None:
    job = await begin(endpoint.run, {"input": {}})
    assert await begin(job.cancel) == {"id": job.job_id, "status": "CANCELLED", "error": "cancelled on request"}
    assert await begin(job.status) == "CANCELLED"
    assert (await refused(list, job.stream())).status_code == 404, "its client would never end"
    other = await begin(endpoint.run, {"input": {}})
    await house.finish(await house.take(), said(1))
    assert (await begin(other.cancel))["status"] == "COMPLETED"


async def test_a_failed_job_is_run_again_under_another_id(house: House, endpoint: runpod.Endpoint) -> None:
    job = await begin(endpoint.run, {"input": {"n": 1}})
    path = f"/v2/{house.function}/retry/{job.job_id}"
    assert (await house.client.post(path)).status == 400
    await house.finish(await house.take(), failed())
    again = await (await house.client.post(path)).json()
    assert again["status"] == "IN_QUEUE"
    run = await house.take()
    assert (run.invocation.id, run.invocation.retry_of) == (again["id"], job.job_id)
    assert json.loads(run.body) == {"n": 1}


async def test_purging_and_health(house: House, endpoint: runpod.Endpoint) -> None:
    for _ in range(3):
        await begin(endpoint.run, {"input": {}})
    run = await house.take()
    instance = InstanceView(
        id="i", revision=1, state=InstanceState.BUSY, in_flight=1, started_at=1, timeline={}, reason=""
    )
    view = PoolView(instances=[instance], desired=1, reason="", drain_rate=None)
    await house.store.pools.show(house.function, view, epoch=house.epoch)
    assert await begin(endpoint.health) == {
        "jobs": {"completed": None, "failed": 0, "inProgress": 1, "inQueue": 2, "retried": None},
        "workers": {"idle": 0, "initializing": 0, "ready": 1, "running": 1},
    }
    assert await begin(endpoint.purge_queue) == {"removed": 2, "status": "completed"}
    await house.finish(run, failed())
    assert (await begin(endpoint.health))["jobs"]["failed"] == 1


async def test_a_stream_gives_each_piece_once(house: House, endpoint: runpod.Endpoint) -> None:
    job = await begin(endpoint.run, {"input": {}})
    run = await house.take()
    streaming = job.stream()
    await say(house, run, ("output", {"text": "once "}), ("log", {"line": "x"}), ("output", {"text": "upon"}))
    assert [await begin(next, streaming) for _ in range(2)] == ["once ", "upon"]
    await say(house, run, ("output", {"text": " a time"}), first=4)
    await house.finish(run, answer(b"once upon a time"))
    assert await begin(list, streaming) == [" a time"]
    assert await begin(list, job.stream()) == [], "it was read"
    assert await begin(job.output) == "once upon a time"


async def test_lines_of_json_are_pieces_of_their_own(house: House, endpoint: runpod.Endpoint) -> None:
    job = await begin(endpoint.run, {"input": {}})
    run = await house.take()
    await say(house, run, ("output", {"text": '{"n": 1}\n{"n": 2}\n{"n'}), ("output", {"text": '": 3}\n[4'}))
    await house.finish(run, answer(b'{"n": 1}\n{"n": 2}\n{"n": 3}\n[4', headers=LINES))
    assert await begin(list, job.stream()) == [{"n": 1}, {"n": 2}, {"n": 3}, "[4"]
    assert await begin(job.output) == [{"n": 1}, {"n": 2}, {"n": 3}, "[4"]


@pytest.mark.parametrize(
    ("outcome", "pieces"),
    [(said({"n": 1}), [{"n": 1}]), (answer(b"1\n2\n", headers=LINES), [1, 2]), (failed(), [])],
)
async def test_what_came_at_once_is_streamed_at_once(
    house: House, endpoint: runpod.Endpoint, outcome: Any, pieces: list[Any]
) -> None:
    job = await begin(endpoint.run, {"input": {}})
    await house.finish(await house.take(), outcome)
    assert await begin(list, job.stream()) == pieces


async def test_a_policy_is_ours(house: House, endpoint: runpod.Endpoint) -> None:
    policy = {"executionTimeout": 5000, "ttl": 60_000, "lowPriority": True}
    await begin(endpoint.run, {"input": {"n": 1}, "policy": policy})
    one = (await house.take()).invocation
    assert (one.timeout_ms, one.max_age_ms, one.priority) == (5000, 60_000, "low")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"input": 1, "policy": 3}',
        b'{"input": 1, "policy": {"ttl": 5}}',
        b'{"input": 1, "policy": {"executionTimeout": "soon"}}',
        b'{"input": 1, "webhook": "ftp://x"}',
        b'{"input": 1, "webhook": "http://169.254.169.254/"}',
        b"[" * 100_000,
    ],
)
async def test_a_body_that_is_wrong(house: House, body: bytes) -> None:
    reply = await house.client.post(f"/v2/{house.function}/run", data=body)
    assert reply.status == 400
    assert (await reply.json())["error"]
    assert await house.queued() == 0


async def test_names_and_ids_that_do_not_exist(house: House, endpoint: runpod.Endpoint) -> None:
    reply = await refused(runpod.Endpoint("nobody").run, {"input": {}})
    assert (reply.status_code, reply.json()["code"]) == (404, "function_not_found")
    job = runpod.endpoint.runner.Job(house.function, "no-job", endpoint.rp_client)
    for call in (job.status, job.cancel):
        assert (await refused(call)).status_code == 404
    assert (await refused(list, job.stream())).status_code == 404
    reply = await refused(endpoint.rp_client.get, f"{house.function}/nothing")
    assert reply.json()["code"] == "not_found"


async def test_a_full_queue(house: House, endpoint: runpod.Endpoint) -> None:
    await house.deploy(queue={"max_depth": 1})
    await begin(endpoint.run, {"input": {}})
    reply = await refused(endpoint.run, {"input": {}})
    assert (reply.status_code, reply.json()["code"]) == (429, "queue_full")
    assert int(reply.headers["Retry-After"]) >= 1


async def test_a_large_input_and_output(house: House, endpoint: runpod.Endpoint) -> None:
    large = "x" * 2 * INLINE_LIMIT
    job = await begin(endpoint.run, {"input": {"text": large}})
    run = await house.take()
    blob = run.invocation.request.blob
    assert blob is not None
    assert json.loads(await house.gateway.blobs.read(blob)) == {"text": large}
    async with house.gateway.blobs.writer("answer") as writer:
        await writer.write(json.dumps(large).encode())
        await writer.commit()
    await house.finish(run, answer(json.dumps(large).encode(), headers=JSON, blob="answer"))
    assert await begin(job.output, 5) == large


async def test_a_body_that_is_too_large(open_house: OpenHouse) -> None:
    house = await open_house(max_body=1000)
    for data in (b"x" * 1001, chunks()):
        reply = await house.client.post(f"/v2/{house.function}/run", data=data)
        assert (reply.status, (await reply.json())["code"]) == (413, "payload_too_large")


async def chunks() -> Any:
    for _ in range(11):
        yield b"x" * 100


async def test_a_client_that_hangs_up_leaves_a_job(house: House, endpoint: runpod.Endpoint) -> None:
    with pytest.raises(requests.ReadTimeout):
        await begin(endpoint.run_sync, {"input": {"n": 1}}, 1)
    await asyncio.sleep(0.2)
    await house.waiting(1)
    assert (await house.take()).invocation.state is State.RUNNING


async def test_a_web_page_of_elsewhere_is_turned_away(house: House) -> None:
    reply = await house.client.post(f"/v2/{house.function}/run", headers={"Origin": "https://evil.com"})
    assert (reply.status, (await reply.json())["code"]) == (403, "forbidden")
