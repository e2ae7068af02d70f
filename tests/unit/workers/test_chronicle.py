"""Which points the leader writes, and which it leaves out."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

from penstock.instance import InstanceState
from penstock.series import Point
from penstock.store import Store, Sweep
from penstock.telemetry.metrics import Metrics
from tests.unit.workers.conftest import Deployed, Hand
from tests.unit.workers.samples import function
from workers.cards import Card
from workers.chronicle import Chronicle
from workers.dispatcher import Dispatcher, Runs
from workers.figures import Figures
from workers.function_pool import FunctionPool
from workers.instances import Instance
from workers.pool import Pool
from workers.rooms import Rooms
from workers.scaler import Scaler

QUIET = Sweep(queued=0, held=0, running=0, delayed=0, oldest_ms=None, expired=0, requeued=0, failed=0)


class Leader:
    """What the chronicle looks at, in the hand of the test."""

    def __init__(self, hand: Hand, store: Store | None = None) -> None:
        self.hand = hand
        self.functions: dict[str, FunctionPool] = {"chat": FunctionPool(function("chat"))}
        self.deployed = {"chat"}
        self.queue = QUIET
        self.running = 0
        self.cards: dict[str, Card] = {}
        self.figures = Figures(Metrics(), most=10)
        pool = SimpleNamespace(functions=self.functions, knows=lambda name: name in self.deployed)
        dispatcher = SimpleNamespace(runs=lambda name: Runs(calls=self.running, held=0, age=0.0))
        scaler = SimpleNamespace(queue=lambda name: self.queue)
        rooms = SimpleNamespace(cards=self.cards)
        self.chronicle = Chronicle(
            cast(Store, store),
            cast(Pool, pool),
            cast(Dispatcher, dispatcher),
            cast(Scaler, scaler),
            cast(Rooms, rooms),
            self.figures,
            epoch=1,
        )

    def instance(self, *, provisioned: bool = False, card: str | None = None) -> Instance:
        one = Instance(function("chat"))
        for state in (InstanceState.STARTING, InstanceState.INITIALIZING, InstanceState.IDLE):
            one.move(state)
        one.provisioned, one.card = provisioned, card
        self.functions["chat"].instances[one.id] = one
        return one

    def seconds(self, count: int) -> list[Point | None]:
        """What is told of chat in each of so many seconds."""
        points = []
        for _ in range(count):
            self.hand.now += 1
            points.append(self.chronicle.tick().get("chat"))
        return points


def test_what_nothing_happens_to_is_not_told(hand: Hand) -> None:
    leader = Leader(hand)
    assert leader.seconds(200) == [None] * 200


def test_what_happened_is_told_once_and_then_that_nothing_does(hand: Hand) -> None:
    leader = Leader(hand)
    leader.figures.of("chat").ran(0.01, provisioned=False)
    first, *rest = leader.seconds(200)
    assert first is not None
    assert (first["s"], first["r"], first["t"]) == (1, 1, 0.01)
    assert [point for point in rest if point] == [{"s": 1}], "one point closes its last minute"
    assert rest.index({"s": 1}) == 59


def test_a_warm_instance_is_told_once_a_minute(hand: Hand) -> None:
    leader = Leader(hand)
    leader.instance(provisioned=True)
    told = leader.seconds(181)
    assert [place for place, point in enumerate(told) if point] == [0, 60, 120, 180]
    assert told[60] == {"s": 1, "pr": 1}
    leader.functions["chat"].instances.clear()
    assert leader.seconds(130)[0] == {"s": 1}, "that it has gone is told at once"


def test_an_on_demand_instance_counts_in_the_seconds_that_it_works_in(hand: Hand) -> None:
    leader = Leader(hand)
    one = leader.instance()
    one.begin(one.occupy())
    one.vacate(0)
    told = leader.seconds(3)
    assert told[:2] == [{"s": 1, "od": 1}, {"s": 1}]
    assert told[2] is None


def test_jobs_that_wait_and_runs_that_last_are_told(hand: Hand) -> None:
    leader = Leader(hand)
    leader.queue, leader.running = replace(QUIET, queued=5, held=2), 4
    assert leader.seconds(1) == [{"s": 1, "b": 3, "c": 4}]


def test_cards_are_told_with_it(hand: Hand) -> None:
    leader = Leader(hand)
    leader.cards |= {
        "GPU-1": Card(uuid="GPU-1", name="T4", memory=1000, free=250, sm=0.5),
        "GPU-2": Card(uuid="GPU-2", name="T4", memory=1000, free=750),
    }
    leader.instance(provisioned=True, card="GPU-1")
    leader.instance(provisioned=True, card="GPU-2")
    assert leader.seconds(1) == [{"s": 1, "pr": 2, "gm": 1.0, "gmn": 2, "gs": 0.5, "gsn": 1}]


def test_a_deleted_function_is_told_of_no_more(hand: Hand) -> None:
    leader = Leader(hand)
    leader.figures.of("chat").retried()
    leader.deployed.clear()
    leader.seconds(1)
    assert leader.figures.functions == {}


async def test_the_next_leader_closes_what_the_last_one_left_open(deployed: Deployed, hand: Hand) -> None:
    await deployed.store.series.add("chat", {"s": 1, "pr": 2}, epoch=deployed.epoch)
    leader = Leader(hand, deployed.store)
    await leader.chronicle.resume()
    assert leader.seconds(100)[:2] == [{"s": 1}, None]
