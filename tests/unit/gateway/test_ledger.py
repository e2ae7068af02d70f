"""The ledger of callbacks over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from penstock import clock, keys
from penstock.delivery import Attempt, Delivery, DeliveryState, Endpoint
from tests.unit.gateway.conftest import House, OpenHouse

URL, OTHER = "https://example.com/hook", "https://example.com/else"
HOST = "https://example.com:443"


@pytest.fixture
async def house(open_house: OpenHouse) -> House:
    opened: House = await open_house()
    return opened


async def ended(house: House, url: str = URL, state: DeliveryState = "delivered", status: int = 200) -> Delivery:
    """A job whose callback has come to this; its delivery."""
    ledger = house.store.deliveries
    job = await house.submit(Penstock_Callback_Url=url)
    run = await house.take()
    await house.finish(run)
    [(function, named, what)] = await house.store.outbox.claim(claim_ms=1_000, limit=10)
    assert named == job
    await ledger.owe(function, named, what, [Endpoint(url=url)])
    [delivery] = await ledger.collect(HOST, claim_ms=60_000, limit=1)
    error = None if status == 200 else f"{url} answered {status}"
    attempt = Attempt(at=clock.now_ms(), ms=12, status=status, error=error, sha256="ab" * 32)
    await ledger.attempted(delivery, state, attempt, delay_ms=60_000)
    return delivery


async def listed(house: House, **query: str) -> dict[str, Any]:
    response = await house.client.get(f"/v1/functions/{house.function}/deliveries", params=query)
    assert response.status == 200, await response.text()
    said: dict[str, Any] = await response.json()
    return said


async def names(house: House, **query: str) -> list[str]:
    return [one["id"] for one in (await listed(house, **query))["deliveries"]]


async def post(house: House, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
    response = await house.client.post(f"/v1/functions/{house.function}/deliveries{path}", json=body)
    return response.status, await response.json()


async def test_a_delivery_shows_every_attempt(house: House) -> None:
    delivery = await ended(house, state="dead", status=404)
    [said] = (await listed(house))["deliveries"]
    assert said.pop("created_at") == clock.rfc3339(delivery.created_at)
    assert said.pop("ended_at") is not None
    [attempt] = said.pop("attempts")
    assert attempt.pop("at") is not None
    assert attempt == {
        "status": 404,
        "latency_ms": 12,
        "error": f"{URL} answered 404",
        "body_sha256": "ab" * 32,
    }
    assert said == {
        "id": delivery.name,
        "invocation": delivery.of,
        "event": "completed",
        "message": f"msg_{delivery.of}",
        "endpoint": URL,
        "payload": "full",
        "state": "dead",
        "next_attempt_at": None,
        "attempts_made": 1,
    }
    response = await house.client.get(f"/v1/functions/{house.function}/deliveries/{delivery.name}")
    assert (await response.json())["attempts"][0]["status"] == 404


async def test_a_delivery_that_is_pending_says_when_it_is_tried_again(house: House) -> None:
    await ended(house, state="pending", status=503)
    [said] = (await listed(house))["deliveries"]
    assert said["state"] == "pending"
    assert said["next_attempt_at"] > said["attempts"][0]["at"]


async def test_the_ledger_is_filtered(house: House) -> None:
    told = await ended(house)
    dead = await ended(house, state="dead", status=404)
    gone = await ended(house, OTHER, state="disabled", status=410)
    assert await names(house) == [gone.name, dead.name, told.name]
    assert await names(house, state="dead") == [dead.name]
    assert await names(house, endpoint=OTHER) == [gone.name]
    assert await names(house, endpoint=URL, state="delivered") == [told.name]
    assert await names(house, invocation=dead.of) == [dead.name]
    since = clock.rfc3339(dead.created_at) or ""
    assert set(await names(house, since=since)) >= {gone.name, dead.name}
    assert told.name not in await names(house, since=clock.rfc3339(told.created_at + 1) or "")
    assert await names(house, until=clock.rfc3339(told.created_at - 1) or "") == []


async def test_the_ledger_is_read_in_pages(house: House) -> None:
    made = [(await ended(house)).name for _ in range(5)]
    found, cursor = [], ""
    for _ in range(3):
        page = await listed(house, limit="2", **({"cursor": cursor} if cursor else {}))
        found += [one["id"] for one in page["deliveries"]]
        cursor = page["next_cursor"]
    assert found == made[::-1]
    assert cursor is None


@pytest.mark.parametrize(
    "query", [{"state": "lost"}, {"limit": "0"}, {"since": "yesterday"}, {"until": "12"}, {"cursor": "x"}]
)
async def test_a_question_that_is_none_is_refused(house: House, query: dict[str, str]) -> None:
    response = await house.client.get(f"/v1/functions/{house.function}/deliveries", params=query)
    assert response.status == 400
    assert (await response.json())["code"] == "invalid_request"


async def test_one_is_told_again_under_the_same_id(house: House) -> None:
    delivery = await ended(house, state="dead", status=404)
    status, said = await post(house, f"/{delivery.name}/redeliver")
    assert (status, said["state"], said["message"]) == (202, "pending", f"msg_{delivery.of}")
    [again] = await house.store.deliveries.collect(HOST, claim_ms=1_000, limit=10)
    assert (again.name, again.message) == (delivery.name, delivery.message)


async def test_all_that_failed_since_then_are_told_again(house: House) -> None:
    old = await ended(house, state="dead", status=404)
    stored = await house.store.deliveries.get(house.function, old.name)
    assert stored is not None
    assert stored.ended_at is not None
    house.redis.cli("ZADD", keys.ended_deliveries(house.function), str(stored.ended_at - 60_000), old.name)
    await ended(house)
    failed = [await ended(house, state="dead", status=404), await ended(house, OTHER, "disabled", 410)]
    status, said = await post(house, "/redeliver", {"since": clock.rfc3339(stored.ended_at - 30_000)})
    assert status == 202
    assert (said["redelivered"], said["expired"]) == (2, 0)
    assert set(said["ids"]) == {one.name for one in failed}
    due = await house.store.deliveries.collect(HOST, claim_ms=1_000, limit=10)
    assert {one.name for one in due} == {one.name for one in failed}
    assert await names(house, state="dead") == [old.name]


async def test_what_is_past_its_retention_cannot_be_told_again(house: House) -> None:
    delivery = await ended(house, state="dead", status=404)
    house.redis.cli("DEL", keys.record(house.function, delivery.of))
    status, said = await post(house, f"/{delivery.name}/redeliver")
    assert (status, said["code"]) == (410, "invocation_expired")
    status, said = await post(house, "/redeliver", {"since": "2020-01-01T00:00:00Z"})
    assert (said["redelivered"], said["expired"]) == (0, 1)


@pytest.mark.parametrize("body", [None, {}, {"since": 12}, {"since": "yesterday"}, []])
async def test_since_when_must_be_said(house: House, body: Any) -> None:
    status, said = await post(house, "/redeliver", body)
    assert (status, said["code"]) == (400, "invalid_request")


async def test_a_delivery_that_there_is_not(house: House) -> None:
    response = await house.client.get(f"/v1/functions/{house.function}/deliveries/none")
    assert (response.status, (await response.json())["code"]) == (404, "delivery_not_found")
    status, said = await post(house, "/none/redeliver")
    assert (status, said["code"]) == (404, "delivery_not_found")


async def test_what_a_callback_is_told_of_is_kept_with_the_job(house: House) -> None:
    job = await house.submit(
        Penstock_Callback_Url=URL, Penstock_Callback_Events="progress,completed", Penstock_Callback_Payload="thin"
    )
    record = await house.record(job)
    assert record.callback_events == ("progress", "completed")
    assert record.callback_payload == "thin"
    assert house.redis.cli("HGET", keys.record(house.function, job), "callback") == "progress completed"


async def test_the_functions_own_endpoints_are_owed_of_its_jobs(house: House) -> None:
    await house.deploy(callbacks={"on_success": URL})
    job = await house.submit()
    assert house.redis.cli("HGET", keys.record(house.function, job), "callback") == "destinations"


async def test_a_spec_that_calls_back_inside_is_refused(house: House) -> None:
    spec = {"image": "x", "callbacks": {"on_failure": "http://10.0.0.1/"}}
    response = await house.client.put("/v1/functions/other", json=spec)
    assert response.status == 400
    assert "10.0.0.1, a private address" in (await response.json())["detail"]
