"""Replicate's predictions, with the replicate package."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import replicate
from replicate.client import Client
from replicate.exceptions import ModelError, ReplicateError

from penstock.blobs import INLINE_LIMIT
from penstock.invocation import FailureCode, Run
from tests.unit.gateway.conftest import House, OpenHouse, answer, failed
from tests.unit.gateway.dialects.conftest import begin, url

JSON = (("Content-Type", "application/json"),)
LINES = (("Content-Type", "application/x-ndjson"),)


@pytest.fixture
def client(house: House, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setenv("REPLICATE_POLL_INTERVAL", "0.05")
    return Client(api_token="r8_token", base_url=url(house))


@pytest.fixture
def model(house: House) -> str:
    return f"me/{house.function}"


def said(value: Any, **more: Any) -> Any:
    return answer(json.dumps(value).encode(), headers=JSON, **more)


async def say(house: House, run: Run, *events: tuple[str, Any], first: int = 1) -> None:
    one = run.invocation
    told = [(kind, json.dumps(data)) for kind, data in events]
    await house.store.events.emit(house.function, one.id, one.token, told, first=first)  # type: ignore[arg-type]


async def refused(call: Any, *args: Any, **more: Any) -> ReplicateError:
    with pytest.raises(ReplicateError) as raised:
        await begin(call, *args, **more)
    return raised.value


async def test_a_model_is_run_and_waited_for(house: House, client: Client, model: str) -> None:
    running = begin(client.run, model, {"prompt": "a cat"})
    run = await house.take()
    assert json.loads(run.body) == {"prompt": "a cat"}
    assert run.invocation.kind == "call", "it holds its connection"
    await house.finish(run, said("a cat, drawn"))
    assert await running == "a cat, drawn"


async def test_a_model_is_run_and_polled(house: House, client: Client, model: str) -> None:
    running = begin(client.run, model, {"n": 1}, wait=False)
    run = await house.take()
    assert run.invocation.kind == "job"
    await house.finish(run, said([1, 2]))
    assert await running == [1, 2]


async def test_one_who_waited_in_vain_goes_on_polling(open_house: OpenHouse, monkeypatch: Any) -> None:
    house = await open_house(hold=0.2)
    monkeypatch.setenv("REPLICATE_POLL_INTERVAL", "0.05")
    client = Client(api_token="r8_token", base_url=url(house))
    running = begin(client.run, f"me/{house.function}", {"n": 1})
    run = await house.take()
    await asyncio.sleep(0.6)  # past the hold: `processing` would be taken for the end
    await house.finish(run, said("late"))
    assert await running == "late"


async def test_a_prediction_and_its_fields(house: House, client: Client) -> None:
    prediction = await begin(client.predictions.create, version=house.function, input={"n": 1})
    assert prediction.status == "starting"
    assert (prediction.model, prediction.version) == (f"penstock/{house.function}", house.function)
    run = await house.take()
    assert prediction.id == f"{house.function}.{run.invocation.id}"
    await say(house, run, ("log", {"line": "loading"}), ("progress", {"progress": 0.4, "message": "step 2 of 5"}))
    await begin(prediction.reload)
    assert (prediction.status, prediction.output, prediction.error) == ("processing", None, None)
    assert prediction.logs.startswith("loading\n40%|")
    assert prediction.progress.percentage == 0.4
    await house.finish(run, said({"n": 2}))
    await begin(prediction.wait)
    assert (prediction.status, prediction.output, prediction.input) == ("succeeded", {"n": 2}, {"n": 1})
    assert prediction.metrics["predict_time"] >= 0
    assert prediction.created_at <= prediction.started_at <= prediction.completed_at


@pytest.mark.parametrize("version", ["{}", "me/{}", "me/{}:{}", "me/{}:5c7d5dc6"])
async def test_every_form_of_a_version_is_understood(house: House, client: Client, version: str) -> None:
    named = version.format(house.function, house.function)
    assert (await begin(client.predictions.create, version=named, input={})).status == "starting"


async def test_models_and_their_version(house: House, client: Client, model: str) -> None:
    found = await begin(client.models.get, model)
    assert (found.owner, found.name) == ("me", house.function)
    assert found.latest_version.id == house.function
    (only,) = await begin(found.versions.list)
    assert only == found.latest_version
    running = begin(client.run, f"{model}:{only.id}", {"n": 1})
    await house.finish(await house.take(), said(2))
    assert await running == 2
    deployed = await begin(client.predictions.create, deployment=model, input={"n": 1})
    assert deployed.status == "starting"


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (failed(), "KeyError: 'x'"),
        (failed(FailureCode.RUN_TIMEOUT, "too long"), "too long"),
        (failed(FailureCode.START_FAILED, "no torch"), "no torch"),
        (said({"detail": "no voice"}, status=422), '{"detail": "no voice"}'),
    ],
)
async def test_a_model_that_failed(house: House, client: Client, model: str, outcome: Any, error: str) -> None:
    running = begin(client.run, model, {})
    await house.finish(await house.take(), outcome)
    with pytest.raises(ModelError) as raised:
        await running
    assert str(raised.value) == error
    assert raised.value.prediction.status == "failed"
    assert raised.value.prediction.output is None


async def test_cancelling(house: House, client: Client, model: str) -> None:
    prediction = await begin(client.models.predictions.create, model, {})
    await begin(prediction.cancel)
    assert prediction.status == "canceled"
    other = await begin(client.models.predictions.create, model, {})
    await house.finish(await house.take(), said(1))
    await begin(other.cancel)
    assert other.status == "succeeded"


async def test_what_is_put_out_can_be_polled_piece_by_piece(house: House, client: Client, model: str) -> None:
    prediction = await begin(client.models.predictions.create, model, {})
    run = await house.take()
    stream = {"response": {"status": 200, "headers": [list(LINES[0])]}, "length": None, "timeline": {}}
    stream |= {"cold_start": False, "address": "http://127.0.0.1:1", "path": "/"}
    house.redis.cli("HSET", f"ps:{{{house.function}}}:inv:{run.invocation.id}", "stream", json.dumps(stream))
    polling = begin(list, prediction.output_iterator())
    await say(house, run, ("output", {"text": '"once"\n"upon"\n'}))
    await begin(prediction.reload)
    assert prediction.output == ["once", "upon"]
    await house.finish(run, answer(b'"once"\n"upon"\n"a time"\n', headers=LINES))
    assert "".join(await polling) == "onceupona time"


async def collect(iterator: Any) -> list[tuple[str, str]]:
    return [(event.event.value, event.data) for event in await begin(list, iterator)]


async def test_a_stream(house: House, client: Client, model: str) -> None:
    streaming = asyncio.create_task(collect(client.stream(model, input={"n": 1})))
    run = await house.take()
    await say(house, run, ("output", {"text": "once\n"}), ("log", {"line": "hm"}), ("output", {"text": "upon"}))
    await house.finish(run, answer(b"once\nupon"))
    assert await streaming == [("output", "once\n"), ("logs", "hm\n"), ("output", "upon"), ("done", "{}")]


@pytest.mark.parametrize(
    ("outcome", "events"),
    [
        (said({"n": 1}), [("output", '{"n": 1}'), ("done", "{}")]),
        (said(["a", "b"]), [("output", "a"), ("output", "b"), ("done", "{}")]),
        (answer(b'"a"\n2\n', headers=LINES), [("output", "a"), ("output", "2"), ("done", "{}")]),
    ],
)
async def test_what_came_at_once_is_streamed_at_once(
    house: House, client: Client, model: str, outcome: Any, events: Any
) -> None:
    prediction = await begin(client.models.predictions.create, model, {})
    await house.finish(await house.take(), outcome)
    assert await collect(prediction.stream()) == events


async def test_a_stream_that_fails_and_one_that_is_cancelled(house: House, client: Client, model: str) -> None:
    prediction = await begin(client.models.predictions.create, model, {})
    await house.finish(await house.take(), failed())
    with pytest.raises(RuntimeError, match="KeyError: 'x'"):
        await collect(prediction.stream())
    other = await begin(client.models.predictions.create, model, {})
    await begin(other.cancel)
    assert await collect(other.stream()) == [("done", '{"reason": "canceled"}')]


async def test_a_stream_can_be_resumed(house: House, client: Client, model: str) -> None:
    prediction = await begin(client.models.predictions.create, model, {})
    run = await house.take()
    await say(house, run, ("output", {"text": "once "}), ("output", {"text": "upon"}))
    await house.finish(run, answer(b"once upon"))
    for after, text in (("1-1", ["event: output", "id: 1-2", "data: upon"]), ("1-2", [])):
        reply = await house.client.get(f"/v1/predictions/{prediction.id}/stream", headers={"Last-Event-ID": after})
        lines = [line for line in (await reply.text()).splitlines() if line]
        assert lines == [*text, "event: done", "id: 1-succeeded", "data: {}"]


async def test_a_webhook_asks_for_what_it_wants(house: House, client: Client, model: str) -> None:
    hook = {"webhook": "http://127.0.0.1:8099/hook"}
    await begin(client.models.predictions.create, model, {}, **hook)
    one = (await house.take()).invocation
    assert (one.callback, one.callback_payload) == ("http://127.0.0.1:8099/hook", "replicate")
    assert one.callback_events == ("started", "output", "progress", "completed")
    await begin(client.models.predictions.create, model, {}, **hook, webhook_events_filter=["completed"])
    assert (await house.take()).invocation.callback_events == ("completed",)
    error = await refused(client.models.predictions.create, model, {}, **hook, webhook_events_filter=["sometimes"])
    assert error.status == 400
    error = await refused(client.models.predictions.create, model, {}, webhook="http://169.254.169.254/")
    assert error.status == 400


async def test_a_prediction_may_bound_its_time(house: House) -> None:
    body = {"version": house.function, "input": {}}
    reply = await house.client.post("/v1/predictions", json=body, headers={"Cancel-After": "90s"})
    assert reply.status == 201
    one = (await house.take()).invocation
    assert (one.timeout_ms, one.max_age_ms) == (90_000, 90_000)
    for wrong in ("1s", "soon", "2d"):
        reply = await house.client.post("/v1/predictions", json=body, headers={"Cancel-After": wrong})
        assert reply.status == 400


@pytest.mark.parametrize(
    ("prefer", "kind"), [("wait", "call"), ("wait=5", "call"), ("wait=0", "job"), ("", "job")]
)
async def test_who_waits_holds_a_call(house: House, prefer: str, kind: str) -> None:
    body = {"version": house.function, "input": {}}
    posting = asyncio.create_task(house.client.post("/v1/predictions", json=body, headers={"Prefer": prefer}))
    run = await house.take()
    assert run.invocation.kind == kind
    await house.finish(run, said(1))
    assert (await posting).status == 201


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"version": 3}', b'{"version": ""}'])
async def test_a_body_that_is_wrong(house: House, body: bytes) -> None:
    reply = await house.client.post("/v1/predictions", data=body)
    assert (reply.status, (await reply.json(content_type=None))["code"]) == (400, "invalid_request")


async def test_names_and_ids_that_do_not_exist(house: House, client: Client) -> None:
    error = await refused(client.run, "me/nobody", {})
    assert (error.status, "nobody" in error.detail) == (404, True)
    assert (await refused(client.models.get, "me/nobody")).status == 404
    for name in ("x", f"{house.function}.x", f"{house.function}.01a2039c-6254-70c2-988c-f0140468c7e6", "a b.c"):
        assert (await refused(client.predictions.get, name)).status == 404
        assert (await refused(client.predictions.cancel, name)).status == 404


async def test_a_full_queue(house: House, client: Client, model: str) -> None:
    await house.deploy(queue={"max_depth": 1})
    await begin(client.models.predictions.create, model, {})
    error = await refused(client.models.predictions.create, model, {})
    assert error.status == 429


async def test_a_large_input_and_output(house: House, client: Client, model: str) -> None:
    large = "x" * 2 * INLINE_LIMIT
    running = begin(client.run, model, {"text": large})
    run = await house.take()
    blob = run.invocation.request.blob
    assert blob is not None
    assert json.loads(await house.gateway.blobs.read(blob)) == {"text": large}
    async with house.gateway.blobs.writer("answer") as writer:
        await writer.write(json.dumps(large).encode())
        await writer.commit()
    await house.finish(run, said(large, blob="answer"))
    assert await running == large


async def test_a_client_that_knows_asyncio(house: House, client: Client, model: str) -> None:
    running = asyncio.create_task(client.async_run(model, {"n": 1}))
    await house.finish(await house.take(), said(2))
    assert await running == 2
    assert replicate.Client is Client


async def test_a_client_that_hangs_up_leaves_its_prediction(house: House) -> None:
    body = {"version": house.function, "input": {}}
    posting = asyncio.create_task(house.client.post("/v1/predictions", json=body, headers={"Prefer": "wait"}))
    await house.waiting(1)
    posting.cancel()
    await asyncio.gather(posting, return_exceptions=True)
    other = await house.submit()
    assert (await house.take()).invocation.id != other, "what came first is still there"
