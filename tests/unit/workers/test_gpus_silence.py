"""NVML that does not answer: nothing waits for it longer than it may, and nothing waits for it on the loop."""

from __future__ import annotations

import asyncio

import pytest

from tests.nvml import SimulatedNvml
from tests.unit.workers.conftest import Hand, OpenInventory, nvml_threads, problems
from tests.unit.workers.waiting import until, until_now
from workers.cards import Card
from workers.gpus import Inventory


async def until_it_hangs(nvml: SimulatedNvml) -> None:
    async def look() -> bool:
        return nvml.hangs

    await until(look, "NVML to hang")


def without_waiting(inventory: Inventory) -> tuple[Card, ...]:
    """A read that does not give way to the loop even once."""
    with pytest.raises(StopIteration) as ended:
        inventory.read().send(None)
    cards: tuple[Card, ...] = ended.value.value
    return cards


async def healthy(inventory: Inventory) -> tuple[Card, ...]:
    """The cards as soon as all of them may be used."""

    async def look() -> tuple[Card, ...] | None:
        cards = await inventory.read()
        return cards if cards and all(card.problem is None for card in cards) else None

    found = await until(look, "healthy cards")
    assert found is not None
    return found


async def test_while_nvml_hangs_the_loop_goes_on(nvml: SimulatedNvml, open_inventory: OpenInventory) -> None:
    nvml.plug("GPU-a")
    inventory = open_inventory(timeout=60)
    nvml.hang(60)
    reading = asyncio.create_task(inventory.read())
    await until_it_hangs(nvml)
    for _ in range(1000):
        await asyncio.sleep(0)
    assert not reading.done()
    nvml.hang(0)
    assert problems(await reading) == {"GPU-a": None}


async def test_after_the_timeout_every_card_has_a_problem_and_reads_are_answered_at_once(
    nvml: SimulatedNvml, open_inventory: OpenInventory
) -> None:
    nvml.plug("GPU-a", sm=50)
    nvml.plug("GPU-b")
    inventory = open_inventory(timeout=0.1)
    before = await inventory.read()
    nvml.hang(60)
    silent = await inventory.read()
    for card, known in zip(silent, before, strict=True):
        assert card.problem is not None
        assert card.problem.startswith("NVML has not answered for ")
        assert card == known.unusable(card.problem, silent=True)
    for _ in range(3):
        assert all(card.problem is not None for card in without_waiting(inventory))
    assert inventory.reason.startswith("NVML has not answered for ")
    assert len(nvml_threads()) == 1
    nvml.hang(0)
    assert await healthy(inventory) == before
    assert inventory.reason == ""


async def test_a_silence_says_how_long_it_lasts(
    nvml: SimulatedNvml, open_inventory: OpenInventory, hand: Hand
) -> None:
    nvml.plug("GPU-a")
    inventory = open_inventory(timeout=5)
    await inventory.read()
    nvml.hang(60)
    reading = asyncio.create_task(inventory.read())
    await until_it_hangs(nvml)
    hand.now += 42
    (card,) = without_waiting(inventory)
    assert card.problem == "NVML has not answered for 42.0 s"
    nvml.hang(0)
    assert problems(await reading) == {"GPU-a": None}


async def test_nvml_that_hangs_from_the_start_has_a_reason_and_recovers(
    nvml: SimulatedNvml, open_inventory: OpenInventory
) -> None:
    nvml.plug("GPU-a")
    nvml.hang(60)
    inventory = open_inventory(timeout=0.05)
    assert await inventory.read() == ()
    assert inventory.reason.startswith("NVML has not answered for ")
    nvml.hang(0)
    assert problems(await healthy(inventory)) == {"GPU-a": None}


async def test_readers_at_the_same_time_share_one_answer(
    nvml: SimulatedNvml, open_inventory: OpenInventory
) -> None:
    nvml.plug("GPU-a")
    inventory = open_inventory()
    answers = await asyncio.gather(*(inventory.read() for _ in range(20)))
    assert len({id(cards[0]) for cards in answers}) == 1
    assert len(nvml_threads()) == 1


async def test_a_reader_that_gives_up_takes_no_answer_from_another(
    nvml: SimulatedNvml, open_inventory: OpenInventory
) -> None:
    nvml.plug("GPU-a")
    inventory = open_inventory()
    nvml.hang(60)
    one, other = (asyncio.create_task(inventory.read()) for _ in range(2))
    await until_it_hangs(nvml)
    one.cancel()
    nvml.hang(0)
    assert problems(await other) == {"GPU-a": None}


async def test_closing_waits_for_nothing_and_ends_the_thread(
    nvml: SimulatedNvml, open_inventory: OpenInventory
) -> None:
    nvml.plug("GPU-a")
    open_inventory().close()  # one that was never read
    inventory = open_inventory(timeout=0.05)
    nvml.hang(60)
    await inventory.read()
    inventory.close()
    inventory.close()
    assert len(nvml_threads()) == 1, "it is still in NVML, and nobody waits for it"
    nvml.hang(0)


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_answer_that_comes_after_the_end_of_the_loop_harms_nobody(nvml: SimulatedNvml) -> None:
    nvml.plug("GPU-a")
    nvml.hang(60)
    inventory = Inventory(timeout=0.05)
    asyncio.run(inventory.read())
    inventory.close()
    nvml.hang(0)
    until_now(lambda: not nvml_threads(), "the end of the NVML thread")
