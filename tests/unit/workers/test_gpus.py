"""The GPU inventory: the real NVML bindings against a simulated library, and the cards of the settings."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

import pytest

from penstock.settings import GpuSettings, WorkersSettings
from tests.nvml import GIB, SimulatedNvml
from tests.unit.workers.conftest import Hand, OpenInventory, nvml_threads, problems
from workers.cards import Card
from workers.gpus import Inventory, StaticInventory, inventory

DRIVER_NOT_LOADED, GPU_IS_LOST, RESET_REQUIRED, UNKNOWN = 9, 15, 16, 999
NOT_SUPPORTED, NO_PERMISSION, FUNCTION_NOT_FOUND = 3, 4, 13


async def one(inventory: Inventory) -> Card:
    (card,) = await inventory.read()
    return card


async def test_every_figure_of_every_card(nvml: SimulatedNvml, open_inventory: OpenInventory) -> None:
    nvml.plug("GPU-a", used=3 * GIB, sm=37, encoder=5, decoder=100, processes=((4711, 2 * GIB), (4712, GIB)))
    nvml.plug("GPU-b", name="Simulated GPU A10", memory=22 * GIB)
    nvml.plug("GPU-c", name="Simulated GPU X1", memory=GIB)
    inventory = open_inventory()
    first, second, third = await inventory.read()
    assert first == Card(
        uuid="GPU-a",
        name="Simulated GPU T4",
        type="fc.gpu.tesla.1",
        memory=15 * GIB,
        free=12 * GIB,
        sm=0.37,
        encoder=0.05,
        decoder=1.0,
        processes={4711: 2 * GIB, 4712: GIB},
        problem=None,
    )
    assert (second.type, second.memory, second.free) == ("fc.gpu.ampere.1", 22 * GIB, 22 * GIB)
    assert (second.sm, second.encoder, second.decoder, second.processes) == (0.0, 0.0, 0.0, {})
    assert (third.uuid, third.type) == ("GPU-c", None)
    assert inventory.reason == ""


async def test_what_a_card_does_is_read_anew_each_time(nvml: SimulatedNvml, open_inventory: OpenInventory) -> None:
    nvml.plug("GPU-a")
    inventory, seen = open_inventory(), []
    for percent in (0, 50, 100, 1):
        nvml.change("GPU-a", sm=percent, used=percent * GIB // 10)
        card = await one(inventory)
        seen.append((card.sm, card.free))
    assert seen == [(0.0, 15 * GIB), (0.5, 10 * GIB), (1.0, 5 * GIB), (0.01, 15 * GIB - GIB // 10)]


async def test_a_process_has_its_memory_and_none_where_nvml_does_not_know(
    nvml: SimulatedNvml, open_inventory: OpenInventory
) -> None:
    nvml.plug("GPU-a", processes=((1, GIB), (2, None), (3, 0)))
    assert (await one(open_inventory())).processes == {1: GIB, 2: None, 3: 0}


async def test_a_process_in_several_slices_of_a_card_has_the_memory_of_all(
    nvml: SimulatedNvml, open_inventory: OpenInventory
) -> None:
    nvml.plug("GPU-a", processes=((1, GIB), (1, 2 * GIB), (2, None), (2, GIB), (3, GIB), (3, None)))
    assert (await one(open_inventory())).processes == {1: 3 * GIB, 2: None, 3: None}


@pytest.mark.parametrize("code", [NOT_SUPPORTED, NO_PERMISSION, FUNCTION_NOT_FOUND])
@pytest.mark.parametrize("figure", ["sm", "encoder", "decoder"])
async def test_a_figure_that_a_card_does_not_have_is_unknown_and_not_zero(
    nvml: SimulatedNvml, open_inventory: OpenInventory, figure: str, code: int
) -> None:
    nvml.plug("GPU-a", sm=10, encoder=20, decoder=30, fails={figure: code})
    card = await one(open_inventory())
    figures = {"sm": card.sm, "encoder": card.encoder, "decoder": card.decoder}
    assert figures == {"sm": 0.1, "encoder": 0.2, "decoder": 0.3} | {figure: None}
    assert card.problem is None


async def test_a_card_without_error_correction_or_a_list_of_processes_is_healthy(
    nvml: SimulatedNvml, open_inventory: OpenInventory
) -> None:
    nvml.plug("GPU-a", processes=((1, GIB),), fails=dict.fromkeys(("ecc", "rows", "processes"), NOT_SUPPORTED))
    card = await one(open_inventory())
    assert (card.problem, card.processes, card.sm) == (None, {}, 0.0)


@pytest.mark.parametrize(
    ("facts", "problem"),
    [({"ecc": 2}, "2 uncorrectable memory errors"), ({"failed_row": True}, "could not be replaced")],
)
async def test_a_card_with_bad_memory_must_not_be_used_but_shows_what_it_does(
    nvml: SimulatedNvml, open_inventory: OpenInventory, facts: dict[str, Any], problem: str
) -> None:
    nvml.plug("GPU-a", sm=50, **facts)
    card = await one(open_inventory())
    assert card.problem is not None
    assert problem in card.problem
    assert card.sm == 0.5


@pytest.mark.parametrize("call", ["all", "handle", "uuid", "name", "memory", "sm", "processes", "ecc"])
async def test_a_lost_card_stays_listed_and_returns(
    nvml: SimulatedNvml, open_inventory: OpenInventory, call: str
) -> None:
    nvml.plug("GPU-a", sm=50, processes=((7, GIB),))
    nvml.plug("GPU-b", sm=60)
    inventory = open_inventory()
    before = await inventory.read()
    nvml.change("GPU-a", fails={call: GPU_IS_LOST})
    lost, other = await inventory.read()
    assert lost.problem is not None
    assert lost == before[0].unusable(lost.problem)
    assert "GPU is lost" in lost.problem
    assert other == before[1]
    nvml.change("GPU-a", fails={})
    assert await inventory.read() == before
    assert inventory.reason == ""


@pytest.mark.parametrize(("code", "text"), [(RESET_REQUIRED, "GPU requires restart"), (UNKNOWN, "Unknown Error")])
async def test_any_other_error_of_a_card_is_a_problem_of_that_card_alone(
    nvml: SimulatedNvml, open_inventory: OpenInventory, code: int, text: str
) -> None:
    nvml.plug("GPU-a")
    nvml.plug("GPU-b", fails={"sm": code})
    assert problems(await open_inventory().read()) == {"GPU-a": None, "GPU-b": text}


async def test_a_card_that_was_lost_from_the_start_is_listed_once_it_says_who_it_is(
    nvml: SimulatedNvml, open_inventory: OpenInventory
) -> None:
    nvml.plug("GPU-a", fails={"name": GPU_IS_LOST})
    nvml.plug("GPU-b", fails={"handle": GPU_IS_LOST})
    inventory = open_inventory()
    assert await inventory.read() == (Card(uuid="GPU-a", name="", memory=0, problem="GPU is lost"),)
    assert inventory.reason == "GPU 2 of 2: GPU is lost"
    nvml.change("GPU-a", fails={})
    nvml.change("GPU-b", fails={})
    assert problems(await inventory.read()) == {"GPU-a": None, "GPU-b": None}


async def test_a_card_that_leaves_stays_listed_and_is_found_again_within_a_minute(
    nvml: SimulatedNvml, open_inventory: OpenInventory, hand: Hand
) -> None:
    nvml.plug("GPU-a")
    nvml.plug("GPU-b")
    inventory = open_inventory()
    before = await inventory.read()
    nvml.unplug("GPU-a")
    assert problems(await inventory.read()) == {"GPU-a": "GPU 1 of 2: GPU is lost", "GPU-b": None}
    hand.now += 61
    assert problems(await inventory.read()) == {"GPU-a": "NVML no longer lists it", "GPU-b": None}
    nvml.plug("GPU-a")  # now the second: an index says nothing
    hand.now += 59
    assert problems(await inventory.read()) == {"GPU-a": "NVML no longer lists it", "GPU-b": None}
    hand.now += 2
    assert await inventory.read() == before


async def test_a_card_of_another_container_is_none_of_ours(
    nvml: SimulatedNvml, open_inventory: OpenInventory
) -> None:
    nvml.plug("GPU-a", fails={"handle": NO_PERMISSION})
    nvml.plug("GPU-b")
    inventory = open_inventory()
    assert problems(await inventory.read()) == {"GPU-b": None}
    assert inventory.reason == ""


async def test_without_a_driver_there_is_no_card_and_a_reason_and_it_is_tried_again_each_minute(
    nvml: SimulatedNvml, open_inventory: OpenInventory, hand: Hand
) -> None:
    nvml.plug("GPU-a")
    nvml.fail(init=DRIVER_NOT_LOADED)
    inventory = open_inventory()
    assert await inventory.read() == ()
    assert inventory.reason == "the NVIDIA driver is not loaded; nvidia-smi says more"
    nvml.fail()
    hand.now += 59
    assert await inventory.read() == ()
    assert "not loaded" in inventory.reason
    hand.now += 1
    assert problems(await inventory.read()) == {"GPU-a": None}
    assert inventory.reason == ""


async def test_a_driver_without_a_card_has_a_reason_and_finds_one_that_joins(
    nvml: SimulatedNvml, open_inventory: OpenInventory, hand: Hand
) -> None:
    inventory = open_inventory()
    assert await inventory.read() == ()
    assert inventory.reason == "the NVIDIA driver finds no GPU"
    nvml.plug("GPU-a")
    assert await inventory.read() == ()
    hand.now += 60
    assert problems(await inventory.read()) == {"GPU-a": None}


async def test_a_driver_that_is_unloaded_takes_no_card_off_the_list(
    nvml: SimulatedNvml, open_inventory: OpenInventory, hand: Hand
) -> None:
    nvml.plug("GPU-a", sm=50)
    inventory = open_inventory()
    (before,) = await inventory.read()
    nvml.unload_driver()
    gone = "the NVIDIA driver is not loaded; nvidia-smi says more"
    assert await inventory.read() == (before.unusable(gone),)
    hand.now += 60
    assert await inventory.read() == (before.unusable(gone),)
    assert inventory.reason == gone
    nvml.change("GPU-a", sm=50)
    hand.now += 60
    assert await inventory.read() == (before,)


async def test_a_library_that_fails_in_its_own_words(nvml: SimulatedNvml, open_inventory: OpenInventory) -> None:
    nvml.plug("GPU-a")
    nvml.fail(count=77)
    inventory = open_inventory()
    assert await inventory.read() == ()
    assert inventory.reason == "NVML: simulated error 77"


async def test_what_happens_to_a_card_is_logged_once(
    nvml: SimulatedNvml, open_inventory: OpenInventory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="workers.gpus")
    nvml.plug("GPU-a")
    inventory = open_inventory()
    await inventory.read()
    for fails in ({"all": GPU_IS_LOST}, {"all": RESET_REQUIRED}, {}, {}):
        nvml.change("GPU-a", fails=fails)
        await inventory.read()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "GPU GPU-a (Simulated GPU T4) must not be used: GPU 1 of 1: GPU is lost"),
        ("INFO", "GPU GPU-a (Simulated GPU T4) may be used again"),
    ]


async def test_listed_cards_are_there_and_what_they_do_is_unknown() -> None:
    gpus = (
        GpuSettings(uuid="GPU-a", memory=24 * GIB, type="fc.gpu.ampere.1", name="Simulated GPU A10"),
        GpuSettings(uuid="GPU-b", memory=16 * GIB, type="g1"),
        GpuSettings(uuid="GPU-c", memory=16 * GIB, name="Simulated GPU T4"),
        GpuSettings(uuid="GPU-d", memory=GIB),
    )
    source = inventory(WorkersSettings(gpus=gpus))
    cards = await source.read()
    assert [card.type for card in cards] == ["fc.gpu.ampere.1", "fc.gpu.tesla.1", "fc.gpu.tesla.1", None]
    known = {"uuid": "GPU-a", "name": "Simulated GPU A10", "type": "fc.gpu.ampere.1", "memory": 24 * GIB}
    unknown = dict.fromkeys(("free", "sm", "encoder", "decoder", "problem"))
    assert asdict(cards[0]) == known | unknown | {"processes": {}, "silent": False}
    assert source.reason == ""
    source.close()
    assert not nvml_threads()


async def test_an_empty_list_means_no_gpu() -> None:
    source = inventory(WorkersSettings(gpus=()))
    assert isinstance(source, StaticInventory)
    assert await source.read() == ()
    assert source.reason == "the setting workers.gpus lists none"


def test_without_a_list_nvml_is_asked_and_not_before_the_first_read() -> None:
    source = inventory(WorkersSettings())
    assert isinstance(source, Inventory)
    assert source.reason == "NVML has not been asked yet"
    assert not nvml_threads()
