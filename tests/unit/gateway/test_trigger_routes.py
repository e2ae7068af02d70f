"""Triggers over HTTP: methods, what each has done, messages for topics, CloudEvents made by the official SDK."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from penstock.blobs import INLINE_LIMIT
from penstock.triggers import Past
from tests.unit.gateway.conftest import House
from tests.unit.workers.waiting import until

TICK = {"name": "tick", "type": "timer", "schedule": "@every 1m"}
ORDERS = {"name": "orders", "type": "topic", "topic": "orders"}


async def test_other_methods_than_a_triggers_are_answered_405(house: House) -> None:
    await house.deploy(triggers=[{"name": "web", "type": "http", "methods": ["POST", "GET"]}])
    for method in ("PUT", "DELETE", "HEAD", "PROPFIND"):
        response = await house.client.request(method, f"/fn/{house.function}/x")
        assert (response.status, response.headers["Allow"]) == (405, "GET,POST")
    refused = await (await house.client.put(f"/fn/{house.function}")).json()
    assert refused["code"] == "method_not_allowed"
    assert await house.queued() == 0
    getting = asyncio.create_task(house.client.get(f"/fn/{house.function}/x"))
    await house.finish(await house.take())
    assert (await getting).status == 200


async def test_an_event_call_is_no_http_request(house: House) -> None:
    await house.deploy(triggers=[{"name": "web", "type": "http", "methods": ["GET"]}])
    assert await house.submit()


async def test_what_triggers_have_done(house: House) -> None:
    path = f"/v1/functions/{house.function}/triggers"
    assert await (await house.client.get(path)).json() == {"triggers": []}
    await house.deploy(triggers=[TICK, ORDERS])
    function = await house.gateway.directory.get(house.function)
    past = Past(identity=function.spec.triggers[1].identity, since=1, fired=3, error="why", error_at=1000)
    await house.store.triggers.write(house.function, "orders", past)
    tick, orders = (await (await house.client.get(path)).json())["triggers"]
    assert (tick["type"], tick["fired"], tick["last_fired"]) == ("timer", 0, None)
    assert tick["next_due"] > tick["last_due"] if tick["last_due"] else tick["next_due"]
    assert (orders["fired"], orders["last_error"], orders["topic"]) == (3, "why", "orders")
    shown = await (await house.client.get(f"/v1/functions/{house.function}")).json()
    assert [one["name"] for one in shown["spec"]["triggers"]] == ["tick", "orders"]
    assert (await house.client.get("/v1/functions/nobody/triggers")).status == 404


async def test_a_deleted_function_leaves_nothing_of_its_triggers(house: House) -> None:
    await house.deploy(triggers=[ORDERS])
    await house.store.topics.join("orders", f"{house.function}/orders", 0)
    await house.store.triggers.write(house.function, "orders", Past(identity="i", since=1, topic="orders"))
    assert (await house.client.delete(f"/v1/functions/{house.function}")).status == 200
    assert await house.store.triggers.pasts(house.function) == {}
    assert (await house.client.post("/v1/topics/orders/messages", data=b"x")).status == 404


async def test_what_looks_at_the_host_comes_from_files_only(house: House) -> None:
    for bucket in ("/etc", "s3://bucket"):
        spec = {"command": None, "image": "i", "triggers": [{"name": "t", "type": "objects", "bucket": bucket}]}
        response = await house.client.put("/v1/functions/other", json=spec)
        assert (response.status, (await response.json())["code"]) == (403, "forbidden")
    put = await house.client.put("/v1/functions/other", json={"image": "i", "triggers": [TICK]})
    assert put.status == 201
    wrong = await house.client.put("/v1/functions/other", json={"image": "i", "triggers": [{"type": "timer"}]})
    assert (await wrong.json())["detail"] == "triggers.0.name: field required"


async def test_a_message_is_written_to_its_topic(house: House) -> None:
    await house.store.topics.join("orders", "f/orders", 0)
    headers = {"Penstock-Tag": "new", "Content-Type": "text/plain"}
    response = await house.client.post("/v1/topics/orders/messages", data=b"\x00\xff", headers=headers)
    assert response.status == 202
    said = await response.json()
    [one] = await house.store.topics.read("orders", "f/orders", unfinished=False, limit=9)
    assert (one.id, one.body, one.tag, one.content_type) == (said["id"], b"\x00\xff", "new", "text/plain")


async def test_messages_that_are_refused(house: House) -> None:
    await house.store.topics.join("orders", "f/orders", 0)
    nowhere = await house.client.post("/v1/topics/other/messages", data=b"x")
    assert (nowhere.status, (await nowhere.json())["code"]) == (404, "topic_not_found")
    large = await house.client.post("/v1/topics/orders/messages", data=b"x" * (INLINE_LIMIT + 1))
    assert large.status == 413
    tag = {"Penstock-Tag": "x" * 200}
    assert (await house.client.post("/v1/topics/orders/messages", data=b"x", headers=tag)).status == 400
    assert await house.store.topics.read("orders", "f/orders", unfinished=False, limit=9) == []


# CloudEvents


def event(**attributes: Any) -> CloudEvent:
    plain = {"type": "com.example.made", "source": "/ü b", "id": "1", "datacontenttype": "application/json"}
    return CloudEvent({**plain, **attributes}, {"n": 1})


async def send(house: House, message: HTTPMessage, **headers: str) -> tuple[int, dict[str, Any]]:
    named = {**message.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
    response = await house.client.post(house.calls, data=message.body, headers=named)
    return response.status, await response.json()


async def test_an_event_in_binary_mode_is_its_data_with_its_attributes_beside(house: House) -> None:
    status, said = await send(house, to_binary(event(subject="s"), JSONFormat()), Prefer="respond-async")
    assert status == 202
    record = await house.record(said["id"])
    headers = dict(record.request.headers)
    assert headers["Content-Type"] == "application/json"
    assert (headers["ce-id"], headers["ce-type"], headers["ce-subject"]) == ("1", "com.example.made", "s")
    assert json.loads(await house.store.invocations.body(house.function, record.id)) == {"n": 1}


async def test_an_event_in_structured_mode_is_the_whole_envelope(house: House) -> None:
    message = to_structured(event(), JSONFormat())
    status, said = await send(house, message, Prefer="respond-async")
    assert status == 202
    record = await house.record(said["id"])
    assert dict(record.request.headers) == {"Content-Type": message.headers["content-type"]}
    assert await house.store.invocations.body(house.function, record.id) == message.body


async def test_the_same_event_is_the_same_job_in_whatever_mode_it_comes(house: House) -> None:
    binary, structured = to_binary(event(), JSONFormat()), to_structured(event(), JSONFormat())
    ids = [(await send(house, one, Prefer="respond-async"))[1]["id"] for one in (binary, structured, binary)]
    assert len(set(ids)) == 1
    other = (await send(house, to_binary(event(id="2"), JSONFormat()), Prefer="respond-async"))[1]["id"]
    assert other != ids[0]
    own = await send(house, binary, Prefer="respond-async", Idempotency_Key="own")
    assert own[1]["id"] not in (ids[0], other), "a key that was given is the one that counts"
    assert await house.queued() == 3


async def test_a_held_event_that_is_sent_again_gets_the_same_answer(house: House) -> None:
    message = to_structured(event(), JSONFormat())
    calls = [
        asyncio.create_task(house.client.post(house.calls, data=message.body, headers=message.headers))
        for _ in range(2)
    ]
    await house.finish(await house.take())
    answers = [await one for one in calls]
    assert [one.status for one in answers] == [200, 200]
    assert len({one.headers["Penstock-Invocation-Id"] for one in answers}) == 1
    assert await house.queued() == 0


async def test_an_event_whose_client_left_waits_for_it_to_come_again(house: House) -> None:
    message = to_binary(event(), JSONFormat())
    leaving = asyncio.create_task(house.client.post(house.calls, data=message.body, headers=message.headers))
    await house.waiting()
    leaving.cancel()
    again = asyncio.create_task(house.client.post(house.calls, data=message.body, headers=message.headers))
    await house.finish(await house.take())
    assert (await again).status == 200


@pytest.mark.parametrize(
    ("headers", "body", "status", "says"),
    [
        ({"Content-Type": "application/cloudevents+json"}, b"{}", 400, "no id, source, specversion, type"),
        ({"Content-Type": "application/cloudevents+json"}, b"x", 400, "not JSON"),
        ({"Content-Type": "application/cloudevents-batch+json"}, b"[]", 415, "send each event"),
        ({"Content-Type": "application/cloudevents+avro"}, b"x", 415, "is not understood"),
        ({"ce-id": "1", "ce-specversion": "1.0"}, b"x", 400, "no ce-source, ce-type"),
        ({"ce-id": "1", "ce-specversion": "0.3", "ce-type": "t", "ce-source": "s"}, b"x", 400, "must be 1.0"),
    ],
)
async def test_events_that_are_refused(
    house: House, headers: dict[str, str], body: bytes, status: int, says: str
) -> None:
    response = await house.client.post(house.calls, data=body, headers=headers)
    assert response.status == status
    assert says in (await response.json())["detail"]
    assert await house.queued() == 0


async def test_a_large_event_is_checked_too(house: House) -> None:
    large = event()
    large.get_data()["x"] = "x" * (2 * INLINE_LIMIT)  # type: ignore[index]
    message = to_structured(large, JSONFormat())
    first = (await send(house, message, Prefer="respond-async"))[1]["id"]
    assert (await send(house, message, Prefer="respond-async"))[1]["id"] == first
    response = await house.client.post(
        house.calls, data=b"[" * (2 * INLINE_LIMIT), headers={"Content-Type": "application/cloudevents+json"}
    )
    assert response.status == 400


async def test_on_fn_events_pass_untouched(house: House) -> None:
    kind = {"Content-Type": "application/cloudevents-batch+json"}
    posting = asyncio.create_task(house.client.post(f"/fn/{house.function}/x", data=b"[]", headers=kind))
    run = await house.take()
    assert run.body == b"[]"
    await house.finish(run)
    assert (await posting).status == 200

    async def none_left() -> bool:
        return await house.queued() == 0

    await until(none_left, "it is taken")
