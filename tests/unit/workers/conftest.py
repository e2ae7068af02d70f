"""What the tests of the workers share: a guard against blocking calls, a queue, a Redis that a test may break,
an inventory of simulated GPUs."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from blockbuster import blockbuster_ctx

from penstock import clock
from penstock.function import FunctionSpec
from penstock.invocation import Invocation, Request, State, Submission
from penstock.store import Store
from tests.conftest import RedisServer
from tests.nvml import SimulatedNvml
from tests.unit.workers.samples import MINT
from tests.unit.workers.waiting import until
from workers.cards import Card
from workers.gpus import Inventory

MAY_BLOCK = {
    # Once, when a process constructs its parts.
    "penstock/store/scripts.py": {"load"},
    # Once for each leader: its socket.
    "workers/inner.py": {"open", "close"},
    # Said in pyproject.toml: a stat on a local path costs less than a thread. `__aexit__` removes a partial file.
    "penstock/blobs.py": {"_path", "__aexit__"},
    # The thread that forks must live as long as the process, so it is the loop's.
    "workers/engines/processes.py": {"start", "spawn", "end", "exit_code"},
    "workers/engines/process.py": {"_free_port", "prepare"},
}


@pytest.fixture(autouse=True)
def no_blocking_call() -> Iterator[None]:
    """A blocking call of the product on the event loop fails the test."""
    with blockbuster_ctx(["penstock", "workers"]) as blockbuster:
        for function in blockbuster.functions.values():
            for file, names in MAY_BLOCK.items():
                function.can_block_in(file, names)
        yield


class Hand:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    """The monotonic clock of this process, in the hand of the test."""
    hand = Hand()
    monkeypatch.setattr(clock, "monotonic", hand)
    return hand


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """One deployed function on an empty Redis, and the leader's epoch."""

    store: Store
    function: str
    epoch: int
    open_store: Callable[[int], Store]
    """A store whose clock goes before by this many milliseconds."""

    async def submit(self, **changes: Any) -> str:
        plain: dict[str, Any] = {
            "function": self.function,
            "id": MINT.new(self.function),
            "kind": "job",
            "request": Request(size=4),
            "body": b"body",
            "max_age_ms": 86_400_000,
            "timeout_ms": 600_000,
        }
        submission = Submission(**plain | changes)
        await self.store.queue.submit(submission, depth=1_000)
        return submission.id

    async def run(self) -> Invocation:
        """A new job that runs."""
        await self.submit()
        run = await self.store.queue.take(
            self.function, epoch=self.epoch, slot="s", nonce=MINT.new("n"), instance="i"
        )
        assert run is not None
        return run.invocation

    async def state(self, invocation_id: str) -> State:
        record = await self.store.invocations.get(self.function, invocation_id)
        assert record is not None
        return record.state


@pytest.fixture
async def deployed(redis_server: RedisServer, store: Store, unique: str) -> AsyncIterator[Deployed]:
    async with AsyncExitStack() as stack:

        def open_store(offset: int) -> Store:
            opened = Store(redis_server.url, clock_offset=offset)
            stack.push_async_callback(opened.close)
            return opened

        await store.catalog.deploy(unique, FunctionSpec(command=("server",)))
        epoch = await store.leadership.lead("leader")
        assert epoch is not None
        yield Deployed(store=store, function=unique, epoch=epoch, open_store=open_store)


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """A Redis for one test, which may kill it."""
    with tempfile.TemporaryDirectory(prefix="ps-") as folder:
        server = RedisServer(Path(folder))
        server.start()
        yield server
        server.kill()


OpenInventory = Callable[..., Inventory]


@pytest.fixture
async def open_inventory(nvml: SimulatedNvml) -> AsyncIterator[OpenInventory]:
    """Makes an inventory. Its thread has ended when the test has, or the next one would share its NVML."""
    made: list[Inventory] = []

    def open_inventory(**options: float) -> Inventory:
        made.append(Inventory(**options))
        return made[-1]

    yield open_inventory
    nvml.hang(0)
    for inventory in made:
        inventory.close()

    async def ended() -> bool:
        return not nvml_threads()

    await until(ended, "the end of the NVML thread")


def nvml_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "nvml"]


def problems(cards: tuple[Card, ...]) -> dict[str, str | None]:
    return {card.uuid: card.problem for card in cards}
