"""A claim is served once, however often the placer is asked before the scaler looks at the function again."""

from __future__ import annotations

from typing import Any, cast

from tests.unit.workers.samples import SILENT, function
from workers.claims import Claim
from workers.function_pool import FunctionPool
from workers.instances import Instance
from workers.placement import SLOTS, Board, Need, Room
from workers.placer import Placer
from workers.pool import Pool


class Starts:
    """The pool as the placer uses it: it notes what is started, and nothing of it ever serves."""

    def __init__(self, *names: str) -> None:
        self.board = Board([Room(card=SLOTS, total=16)])
        self.functions = {name: FunctionPool(function(name)) for name in names}
        self.started: list[str] = []
        for pool in self.functions.values():
            pool.prepared = True

    def start(self, pool: FunctionPool, card: str, reason: str) -> None:
        instance = Instance(pool.function)
        self.board.reserve(instance.id, Need(), card)
        instance.card = card
        pool.instances[instance.id] = instance
        self.started.append(f"{pool.function.name}: {reason}")


def claim(name: str, **facts: Any) -> Claim:
    return Claim(**{"function": name, "need": Need(), "missing": 1, "have": 0} | facts)


def test_a_start_uses_up_its_claim_although_another_function_is_looked_at_next() -> None:
    pool = Starts("one", "other")
    placer = Placer(cast(Pool, pool), SILENT)
    placer.want(claim("one"), "demand")
    placer.balance()
    placer.want(claim("other"), "demand")
    placer.balance()
    placer.balance()
    assert pool.started == ["one: demand", "other: demand"]


def test_what_is_still_missing_stays_claimed() -> None:
    pool = Starts("one")
    placer = Placer(cast(Pool, pool), SILENT)
    placer.want(claim("one", missing=6, below_floor=1), "a burst")
    placer.balance()
    assert len(pool.started) == 4, "as many as may start at a time"
    for instance in pool.functions["one"].instances.values():
        instance.leave.set()
    placer.balance()
    placer.balance()
    assert len(pool.started) == 6


def test_served_counts_what_it_has_now() -> None:
    left = claim("one", missing=3, have=1, below_floor=1).served().served()
    assert (left.missing, left.have, left.below_floor) == (1, 3, 0)


def test_a_function_that_was_deleted_claims_nothing_and_hinders_nobody() -> None:
    pool = Starts("one", "other")
    placer = Placer(cast(Pool, pool), SILENT)
    placer.want(claim("one"), "demand")
    placer.want(claim("other"), "demand")
    del pool.functions["one"]
    placer.balance()
    assert pool.started == ["other: demand"]
