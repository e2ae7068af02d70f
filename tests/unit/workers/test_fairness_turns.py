"""A queue that never empties is always the oldest, and must not have every place for that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from workers.claims import Claim, Debts, Eviction, Holder, Plan, Start
from workers.fairness import plan
from workers.placement import GIB, Board, Need, Room

NEED = Need(gpu=True)
LIMITS = {"heavy": 4, "light": 4}


def board(*instances: str) -> Board:
    made = Board([Room(card="gpu0", total=16 * GIB)])
    for instance in instances:
        made.reserve(instance, NEED, "gpu0")
    return made


def claim(function: str, **facts: Any) -> Claim:
    return Claim(**{"function": function, "need": NEED, "missing": 1, "have": 0, "waited": 200.0} | facts)


def decide(there: Board, claims: list[Claim], holders: list[Holder], **more: Any) -> Plan:
    return plan(there, claims, lambda: holders, **{"limits": LIMITS} | more)


RESIDENT = Holder(instance="heavy-1", function="heavy", residence=1_000.0, cold_start=15.0)
GOING = Holder(instance="heavy-1", function="heavy", going=True, residence=1_000.0, cold_start=15.0)
HEAVY, LIGHT = claim("heavy", waited=3_000.0), claim("light", waited=20.0)
YIELDED = claim("heavy", waited=3_000.0, yielded=True)


def test_an_eviction_owes_the_place() -> None:
    debts = Debts()
    (eviction,) = decide(board("heavy-1"), [LIGHT], [RESIDENT]).evictions
    assert eviction == Eviction("heavy-1", "light")
    debts.owe(eviction.beneficiary, "heavy")
    assert [one.yielded for one in debts.mark([HEAVY, LIGHT])] == [True, False]
    debts.settle("light")
    assert [one.yielded for one in debts.mark([HEAVY, LIGHT])] == [False, False]


def test_while_the_evicted_one_ends_its_calls_nobody_else_goes() -> None:
    found = decide(board("heavy-1"), [YIELDED, LIGHT], [GOING])
    assert found.evictions == []
    assert found.blocked["light"] == "room is being made for it"


def test_the_free_card_goes_to_whom_it_was_vacated_for_and_not_to_the_oldest() -> None:
    assert decide(board(), [YIELDED, LIGHT], []).starts == [Start("light", "gpu0")]


def test_who_yielded_nothing_goes_first_if_it_is_the_oldest() -> None:
    assert decide(board(), [HEAVY, LIGHT], []).starts == [Start("heavy", "gpu0")]


def test_who_may_not_start_keeps_nobody_waiting() -> None:
    stuck = decide(board(), [YIELDED, LIGHT], [], limits={"heavy": 4, "light": 0})
    assert stuck.starts == [Start("heavy", "gpu0")]


def test_nobody_makes_room_for_a_function_that_may_not_start() -> None:
    assert decide(board("heavy-1"), [LIGHT], [RESIDENT], limits={"light": 0}).evictions == []


def test_who_had_an_instance_till_now_has_not_waited_for_one() -> None:
    had = claim("heavy", waited=3_000.0, without=5.0)
    assert decide(board(), [had, LIGHT], []).starts == [Start("light", "gpu0")]
    long_ago = claim("heavy", waited=3_000.0, without=60.0)
    assert decide(board(), [long_ago, LIGHT], []).starts == [Start("heavy", "gpu0")]


def test_a_new_function_waits_from_when_its_work_came() -> None:
    assert decide(board(), [claim("heavy", waited=30.0, without=40.0), LIGHT], []).starts[0].function == "heavy"
    assert decide(board(), [claim("heavy", waited=10.0, without=40.0), LIGHT], []).starts[0].function == "light"


def test_the_reason_says_until_about_when_a_place_is_held() -> None:
    noon = 1_445_428_800.0
    busy = Holder(instance="heavy-1", function="heavy", residence=60.0, cold_start=15.0, ends_in=5.0)
    found = decide(board("heavy-1"), [LIGHT], [busy], wall=noon)
    assert found.blocked["light"] == "no GPU is free: held by heavy until about 12:01:05Z"
    provisioned = replace(busy, spare=False)
    assert decide(board("heavy-1"), [LIGHT], [provisioned], wall=noon).blocked["light"] == (
        "no GPU is free: held by heavy"
    )
