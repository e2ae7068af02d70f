"""What a client may say of its call: priority, times, attempts, what to do when it hangs up."""

from __future__ import annotations

import asyncio

import pytest

from gateway.admission import Preferences, plan
from penstock.errors import InvalidRequest, StoreUnavailable
from penstock.function import Retry
from penstock.invocation import State
from tests.unit.gateway.conftest import House, answer
from tests.unit.workers.waiting import until


async def test_the_record_keeps_what_was_asked(house: House) -> None:
    job = await house.submit(
        Penstock_Priority="high",
        Penstock_Max_Queue="90s",
        Penstock_Timeout="5m",
        Penstock_Max_Attempts="7",
    )
    record = await house.record(job)
    assert (record.priority, record.max_age_ms, record.timeout_ms, record.attempts) == ("high", 90_000, 300_000, 7)


async def test_a_high_priority_overtakes(house: House) -> None:
    for priority in ("low", "normal", "high"):
        await house.submit(priority.encode(), Penstock_Priority=priority)
    assert [(await house.take()).body for _ in range(3)] == [b"high", b"normal", b"low"]


async def test_a_call_says_what_is_worth_another_run(house: House) -> None:
    await house.submit(Penstock_Retry="on=429,500; backoff=2s; max_backoff=1m; held=true; attempts=5")
    invocation = (await house.take()).invocation
    assert invocation.retry is not None
    assert invocation.retry.model_dump() == {
        "attempts": 5,
        "backoff": "2s",
        "max_backoff": "1m",
        "on": (429, 500),
        "held": True,
    }
    assert invocation.attempts == 5


async def test_what_a_call_does_not_say_is_as_the_spec_says(house: House) -> None:
    await house.submit(Penstock_Retry="on=500")
    invocation = (await house.take()).invocation
    assert invocation.retry == Retry(on=(500,))
    await house.submit()
    assert (await house.take()).invocation.retry is None


async def test_a_delayed_job_waits_apart(house: House) -> None:
    await house.submit(Penstock_Delay="1h")
    assert await house.queued() == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Penstock-Priority", "urgent"),
        ("Penstock-Max-Queue", "soon"),
        ("Penstock-Max-Queue", "10"),
        ("Penstock-Timeout", "0s"),
        ("Penstock-Timeout", "8d"),
        ("Penstock-Delay", "-1s"),
        ("Penstock-Max-Attempts", "0"),
        ("Penstock-Max-Attempts", "\u00b2"),
        ("Penstock-On-Disconnect", "stop"),
        ("Penstock-Retry", "on=200"),
        ("Penstock-Retry", "backoff=soon"),
        ("Penstock-Retry", "attempts=0"),
        ("Penstock-Retry", "again"),
    ],
)
def test_a_wish_that_is_none_is_refused_by_name(name: str, value: str) -> None:
    if value == "10":  # a bare number is seconds
        assert plan({name: value}, Preferences(), hold=1, max_hold=1).max_queue == 10.0
        return
    with pytest.raises(InvalidRequest, match=name):
        plan({name: value}, Preferences(), hold=1, max_hold=1)


async def test_on_disconnect_cancel_ends_a_running_call(house: House) -> None:
    call = asyncio.create_task(house.post(Penstock_On_Disconnect="cancel"))
    run = await house.take()
    call.cancel()

    async def cancelled() -> bool:
        return (await house.record(run.invocation.id)).state is State.CANCELLED

    await until(cancelled, "the running call is cancelled")


async def test_on_disconnect_continue_keeps_a_queued_call(house: House) -> None:
    call = asyncio.create_task(house.post(Penstock_On_Disconnect="continue"))
    await house.waiting()
    call.cancel()
    run = await house.take()
    await house.finish(run, answer())
    assert (await house.record(run.invocation.id)).state is State.SUCCEEDED


async def test_new_work_is_refused_before_redis_is_full(house: House) -> None:
    house.gateway.pressure.used, house.gateway.pressure.limit = 95, 100
    refused = await house.post(Prefer="respond-async")
    said = await refused.json()
    assert (refused.status, said["code"], refused.headers["Retry-After"]) == (503, "store_unavailable", "10")
    assert await house.queued() == 0


async def test_the_share_of_memory_is_read_from_redis(house: House) -> None:
    assert (await house.store.memory())[1] is None, "no limit"
    used = int(house.redis.cli("INFO", "memory").split("used_memory:")[1].split()[0])
    house.redis.cli("CONFIG", "SET", "maxmemory", str(used * 2))
    try:
        pressure = house.gateway.pressure
        pressure.used, pressure.limit = await house.store.memory()
    finally:
        house.redis.cli("CONFIG", "SET", "maxmemory", "0")
    assert pressure.used is not None
    assert pressure.limit == used * 2
    assert 0.3 < pressure.used / pressure.limit < 0.7
    pressure.check()
    pressure.used = int(0.9 * pressure.limit) + 1
    with pytest.raises(StoreUnavailable):
        house.gateway.pressure.check()
