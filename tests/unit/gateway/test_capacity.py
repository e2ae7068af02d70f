"""A held call for whose function there was no place during its whole hold, and calls of paused functions."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from penstock.instance import InstanceState, InstanceView
from penstock.invocation import State
from penstock.store import PoolView
from tests.unit.workers.waiting import until

if TYPE_CHECKING:
    from tests.unit.gateway.conftest import House, OpenHouse

BLOCKED = PoolView(
    instances=(), desired=1, reason="1 queued", blocked="no GPU is free: held by other", drain_rate=None
)
BUSY = InstanceView(
    id="i", state=InstanceState.BUSY, revision=1, in_flight=1, started_at=0, timeline={}, reason="demand"
)


async def show(house: House, view: PoolView) -> None:
    await house.store.pools.show(house.function, view, epoch=house.epoch)


async def test_it_is_told_so_and_is_not_run_later(open_house: OpenHouse) -> None:
    house: House = await open_house(hold=0.2)
    await show(house, BLOCKED)
    reply = await house.post()
    said = await reply.json()
    assert (reply.status, said["code"], said["retryable"]) == (503, "no_capacity", True)
    assert said["detail"].startswith("no GPU is free: held by other")
    assert int(reply.headers["Retry-After"]) > 0
    assert (await house.record(said["invocation"])).state is State.CANCELLED


async def test_one_that_knows_what_a_202_is_waits_on_as_a_job(open_house: OpenHouse) -> None:
    house: House = await open_house(hold=0.2)
    await show(house, BLOCKED)
    assert (await house.post(Prefer="wait=0")).status == 202
    assert await house.queued() == 1


async def test_one_with_a_key_is_there_when_it_asks_again(open_house: OpenHouse) -> None:
    house: House = await open_house(hold=0.2)
    await show(house, BLOCKED)
    first, second = await house.post(Idempotency_Key="k"), await house.post(Idempotency_Key="k")
    assert (first.status, second.status) == (202, 202)
    assert (await first.json())["id"] == (await second.json())["id"]
    assert await house.queued() == 1
    triggered = f"/fn/{house.function}/predict"
    for _ in range(2):
        reply = await house.client.post(triggered, headers={"Idempotency-Key": "t"})
        assert reply.status == 504
        assert "under the same key waits for it" in (await reply.json())["detail"]
    assert await house.queued() == 2


async def test_where_an_instance_serves_the_call_is_only_slow(open_house: OpenHouse) -> None:
    house: House = await open_house(hold=0.2)
    await show(house, replace(BLOCKED, instances=(BUSY,)))
    assert (await house.post()).status == 202


async def test_a_paused_function_takes_jobs_and_no_calls(house: House) -> None:
    control = f"/v1/functions/{house.function}"
    assert (await house.client.post(f"{control}/pause")).status == 200

    async def paused() -> bool:
        return house.function in house.gateway.directory.paused

    watching = asyncio.create_task(house.gateway.directory.watch())
    await until(paused, "this gateway has heard of it")
    watching.cancel()
    refused = await house.post()
    assert (refused.status, (await refused.json())["code"]) == (503, "paused")
    assert int(refused.headers["Retry-After"]) > 0
    assert (await house.post(Prefer="respond-async")).status == 202
    assert (await house.client.post(f"{control}/resume")).status == 200
    assert (await house.store.controls.paused()).functions == {}


async def test_a_warm_up_says_how_many(house: House) -> None:
    path = f"/v1/functions/{house.function}/warmup"
    for body, status in (
        (b"", 202),
        (b'{"instances": 3}', 202),
        (b'{"instances": 0}', 400),
        (b"[]", 400),
        (b"{", 400),
    ):
        assert (await house.client.post(path, data=body)).status == status, body
    assert await house.store.controls.take_warm_ups() == {house.function: 3}
    assert await house.store.controls.take_warm_ups() == {}


async def test_a_card_is_named_by_the_beginning_of_its_uuid(house: House) -> None:
    cards = [{"uuid": "GPU-aa1"}, {"uuid": "GPU-aa2"}, {"uuid": "GPU-b"}]
    await house.store.pools.show_gpus(cards, epoch=house.epoch)
    assert (await (await house.client.get("/v1/gpus")).json())["gpus"] == cards
    assert (await (await house.client.post("/v1/gpus/GPU-b/pause")).json())["gpu"] == "GPU-b"
    assert (await (await house.client.post("/v1/gpus/GPU-aa1/pause")).json())["gpu"] == "GPU-aa1"
    refused = await house.client.post("/v1/gpus/GPU-a/pause")
    assert refused.status == 400
    assert (await refused.json())["detail"] == "'GPU-a' names 2 of the GPUs; there are GPU-aa1, GPU-aa2, GPU-b"
    assert set((await house.store.controls.paused()).gpus) == {"GPU-b", "GPU-aa1"}


async def test_a_provision_config_is_put_shown_and_released(house: House) -> None:
    path = f"/v1/functions/{house.function}/provision-config"
    shown = await (await house.client.get(path)).json()
    assert (shown["defaultTarget"], shown["current"]) == (0, 0)
    put = await house.client.put(path, json={"target": 2, "colour": "red"})
    said = await put.json()
    assert (put.status, said["defaultTarget"]) == (200, 2)
    assert said["warnings"] == ["provision.colour: unknown field, ignored"]
    listed = await (await house.client.get("/v1/provision-configs")).json()
    assert [one["defaultTarget"] for one in listed["provisionConfigs"] if one["function"] == house.function] == [2]
    assert (await (await house.client.delete(path)).json())["defaultTarget"] == 0


async def test_a_bad_provision_config_is_refused_with_its_path(house: House) -> None:
    path = f"/v1/functions/{house.function}/provision-config"
    for body, says in (
        (b"{", "the body must be a provision config as JSON"),
        (b'{"target": -1}', "provision.target: "),
        (b'{"scheduledActions": [{"name": "a"}]}', "provision.scheduledActions[0].target: "),
    ):
        reply = await house.client.put(path, data=body)
        said = await reply.json()
        assert (reply.status, said["code"]) == (400, "invalid_request")
        assert said["detail"].startswith(says), said["detail"]


async def test_what_was_asked_for_a_function_goes_with_it(house: House, unique: str) -> None:
    name = f"{unique}-gone"
    await house.deploy(name)
    path = f"/v1/functions/{name}"
    assert (await house.client.put(f"{path}/provision-config", json={"target": 2})).status == 200
    assert (await house.client.post(f"{path}/warmup")).status == 202
    assert (await house.client.post(f"{path}/pause")).status == 200
    assert (await house.client.delete(path)).status == 200
    controls = house.store.controls
    assert name not in (await controls.paused()).functions
    assert name not in await controls.provisions()
    assert name not in await controls.take_warm_ups()
