"""The loop that meters: what comes and goes between two ticks counts, and what Redis misses is sent again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from penstock import clock
from penstock.blobs import DirectoryBlobs
from penstock.errors import StoreUnavailable
from penstock.instance import InstanceState
from penstock.store import Store
from penstock.usage import Usage, day_of
from tests.unit.workers.conftest import Deployed, Hand
from tests.unit.workers.samples import SILENT, function, pushing
from workers.channel import Channel
from workers.engines.process import ProcessEngine
from workers.function_pool import FunctionPool
from workers.instances import Instance
from workers.metering import Metering
from workers.placement import GIB, SLOTS, Board, Need, Room
from workers.pool import Pool

NOON_MS = 1_772_366_400_000
TODAY = day_of(NOON_MS / 1000)
CARD = "GPU-1"


@dataclass(frozen=True, kw_only=True)
class Plant:
    metering: Metering
    pool: Pool
    store: Store
    hand: Hand
    name: str

    def instance(self, *, provisioned: bool = False, gpu: int | None = None, **spec: Any) -> Instance:
        """One that is ready after 2 s, on a CPU slot with 1 GB or on a share of the card."""
        resources = {"memory": "1GiB"} | ({"gpu": {"memory": gpu}} if gpu else {})
        deployed = function(self.name, resources=resources, **spec)
        instance = Instance(deployed)
        instance.provisioned = provisioned
        need = Need(gpu=True, memory=gpu) if gpu else Need()
        self.pool.board.reserve(instance.id, need, CARD if gpu else SLOTS)
        self.pool.functions.setdefault(self.name, FunctionPool(deployed)).instances[instance.id] = instance
        self.metering.changed(self.name)
        instance.move(InstanceState.STARTING)
        instance.move(InstanceState.INITIALIZING)
        self.hand.now += 2.0
        instance.became_ready()
        return instance

    def call(self, instance: Instance, seconds: float) -> None:
        slot = instance.occupy()
        instance.begin(slot)
        self.hand.now += seconds
        instance.vacate(slot)

    def end(self, instance: Instance) -> None:
        instance.end()
        del self.pool.functions[self.name].instances[instance.id]
        self.pool.board.release(instance.id)

    async def used(self) -> Usage:
        self.metering.tick()
        await self.metering.write()
        return (await self.store.meters.get(TODAY)).get(self.name, Usage())


@pytest.fixture
async def plant(
    deployed: Deployed, hand: Hand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[Plant]:
    async def sure() -> None: ...

    monkeypatch.setattr(clock, "now_ms", lambda: NOON_MS)
    engine = ProcessEngine(data_dir=tmp_path, deployment="d")
    channel = Channel(DirectoryBlobs(tmp_path), max_answer=1)
    board = Board([Room(card=SLOTS, total=16), Room(card=CARD, total=16 * GIB)])
    pool = Pool(
        engine,
        channel,
        pushing(channel, engine),
        SILENT,
        epoch=1,
        board=board,
        guard=sure,
        on_ready=print,
        on_change=print,
    )
    metering = Metering(deployed.store, pool, epoch=deployed.epoch)
    yield Plant(metering=metering, pool=pool, store=deployed.store, hand=hand, name=deployed.function)
    await channel.close()


async def test_an_on_demand_instance_is_metered_by_what_it_runs(plant: Plant) -> None:
    instance = plant.instance()
    for _ in range(5):
        plant.call(instance, 0.25)
    plant.hand.now += 10.0
    assert await plant.used() == Usage(
        calls=5,
        on_demand=13_250,
        on_demand_busy=1_250,
        on_demand_gb=13_250,
        on_demand_busy_gb=1_250,
        cold_start=2_000,
    )


async def test_a_provisioned_share_of_a_card_is_metered_by_its_lifetime(plant: Plant) -> None:
    instance = plant.instance(provisioned=True, gpu=4 * GIB)
    plant.call(instance, 1.0)
    plant.hand.now += 5.0
    used = await plant.used()
    assert (used.provisioned, used.provisioned_busy, used.provisioned_gb, used.gpu) == (
        8_000,
        1_000,
        32_000,
        2_000,
    )
    assert (used.on_demand, used.on_demand_busy_gb) == (0, 0)


async def test_a_slot_that_only_looks_for_a_call_is_not_busy(plant: Plant) -> None:
    instance = plant.instance()
    slot = instance.occupy()
    plant.hand.now += 3.0
    instance.vacate(slot)
    used = await plant.used()
    assert (used.calls, used.on_demand_busy, used.on_demand) == (0, 0, 5_000)


async def test_one_that_came_and_went_between_two_ticks_counts(plant: Plant) -> None:
    instance = plant.instance(gpu=8 * GIB)
    plant.call(instance, 0.5)
    plant.end(instance)
    plant.hand.now += 100.0
    assert await plant.used() == Usage(
        calls=1,
        on_demand=2_500,
        on_demand_busy=500,
        on_demand_gb=20_000,
        on_demand_busy_gb=4_000,
        cold_start=2_000,
        gpu=2_500,
    )
    assert (await plant.used()).on_demand == 2_500, "and only once"


async def test_a_call_that_was_lost_with_its_instance_is_counted_when_that_is_seen(plant: Plant) -> None:
    instance = plant.instance()
    slot = instance.occupy()
    instance.begin(slot)
    plant.hand.now += 1.0
    plant.end(instance)
    before = await plant.used()
    assert (before.calls, before.on_demand_busy) == (0, 1_000)
    plant.hand.now += 4.0
    instance.vacate(slot)
    after = await plant.used()
    assert (after.calls, after.on_demand_busy, after.on_demand) == (1, 1_000, 3_000)


async def test_the_start_of_an_adopted_one_was_no_cold_start(plant: Plant) -> None:
    instance = plant.instance()
    instance.adopted = True
    assert (await plant.used()).cold_start == 0


async def test_an_idle_function_writes_nothing(plant: Plant) -> None:
    plant.pool.functions[plant.name] = FunctionPool(function(plant.name))
    assert await plant.used() == Usage()
    assert await plant.store.meters.get(TODAY) == {}


async def test_what_redis_has_but_could_not_say_is_not_counted_twice(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = plant.instance()
    plant.metering.tick()
    add = plant.store.meters.add

    async def deaf(*args: Any, **kwargs: Any) -> None:
        await add(*args, **kwargs)
        raise StoreUnavailable("Redis: the reply was lost")

    monkeypatch.setattr(plant.store.meters, "add", deaf)
    with pytest.raises(StoreUnavailable):
        await plant.metering.write()
    plant.call(instance, 1.0)
    monkeypatch.setattr(plant.store.meters, "add", add)
    used = await plant.used()
    assert (used.on_demand, used.on_demand_busy, used.calls) == (3_000, 1_000, 1)


async def test_its_stop_writes_what_is_left(plant: Plant) -> None:
    instance = plant.instance()
    loop = asyncio.create_task(plant.metering.run())
    await asyncio.sleep(0.05)
    plant.call(instance, 0.5)
    loop.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await loop
    plant.end(instance)
    await plant.metering.close()
    used = (await plant.store.meters.get(TODAY))[plant.name]
    assert (used.on_demand, used.on_demand_busy, used.calls) == (2_500, 500, 1)


async def test_a_deposed_leader_stops_without_a_word_to_redis(plant: Plant, deployed: Deployed) -> None:
    plant.instance()
    await deployed.store.leadership.resign("leader")
    await deployed.store.leadership.lead("another")
    await plant.metering.close()
    assert await plant.store.meters.get(TODAY) == {}
