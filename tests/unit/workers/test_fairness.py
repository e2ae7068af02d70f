"""Who gets a place when not all can: tables of cases, and laws over what happens step by step."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.claims import Claim, Eviction, Holder, Plan, Start, worth
from workers.fairness import plan
from workers.placement import GIB, SLOTS, Board, Need, Room

SLOT = Need()
WHOLE = Need(gpu=True)
LONG = 1e6
"""Seconds after which everything is resident."""


def shared(gib: int, **facts: Any) -> Need:
    return Need(gpu=True, memory=gib * GIB, mode="shared", **facts)


def slots(count: int) -> Room:
    return Room(card=SLOTS, total=count)


def card(name: str, gib: int = 40, **facts: Any) -> Room:
    return Room(card=name, total=gib * GIB, **facts)


def claim(function: str, need: Need = SLOT, **facts: Any) -> Claim:
    return Claim(function=function, need=need, **{"missing": 1, "have": 0, "waited": 1.0, **facts})


class Scene:
    """A board, and those that have a place on it."""

    def __init__(self, *rooms: Room, quota: int | None = None) -> None:
        self.board = Board(rooms, quota=quota)
        self.holders: list[Holder] = []

    def holds(self, instance: str, need: Need = SLOT, where: str = SLOTS, **facts: Any) -> Scene:
        """Instance "a1" is of function "a". Busy, with more waiting, unless it is said to be otherwise."""
        self.board.reserve(instance, need, where)
        self.holders.append(Holder(instance=instance, function=instance.rstrip("0123456789"), **facts))
        return self

    def plan(self, *claims: Claim, starting: dict[str, int] | None = None, **limits: int) -> Plan:
        every = {one.function: 4 for one in claims} | limits
        return plan(self.board, claims, lambda: self.holders, limits=every, starting=starting)


IDLE = {"idle": True, "unqueued": True}


def served(made: Plan) -> list[str]:
    return [start.function for start in made.starts]


def evicted(made: Plan) -> list[str]:
    return [eviction.instance for eviction in made.evictions]


def test_where_there_is_room_all_are_served_and_nobody_is_asked_who_holds_what() -> None:
    def asked() -> Sequence[Holder]:
        raise AssertionError

    claims = [claim("a", missing=2), claim("b")]
    made = plan(Board([slots(3)]), claims, asked, limits={"a": 4, "b": 4})
    assert made == Plan(starts=[Start("a", SLOTS), Start("b", SLOTS), Start("a", SLOTS)])


@pytest.mark.parametrize(
    ("claims", "order"),
    [
        pytest.param([claim("a"), claim("b")], "ab", id="all alike: as they come"),
        pytest.param([claim("a"), claim("b", waited=2.0)], "ba", id="the oldest head first"),
        pytest.param([claim("a"), claim("b", waited=0.5, weight=3.0)], "ba", id="times its weight"),
        pytest.param([claim("a", waited=9.0), claim("b", below_floor=1)], "ba", id="floors before all"),
        pytest.param(
            [claim("a", below_floor=1), claim("b", below_floor=1, waited=2.0)], "ba", id="the oldest of the floors"
        ),
        pytest.param([claim("a", have=1, waited=9.0), claim("b", waited=0.0)], "ba", id="whoever has none first"),
        pytest.param([claim("a", missing=2), claim("b")], "aba", id="one each, then the rest"),
        pytest.param([claim("a", missing=3, below_floor=2), claim("b")], "aaba", id="a floor is served whole"),
        pytest.param([claim("a", missing=4), claim("b", missing=2)], "ababaa", id="the rest in equal shares"),
        pytest.param(
            [claim("a", missing=4, weight=2.0, waited=2.0), claim("b", missing=2)], "abaaba", id="by weight"
        ),
        pytest.param(
            [claim("a", have=3, missing=2), claim("b", have=1, missing=2)], "bbaa", id="with what they have"
        ),
    ],
)
def test_the_order_in_which_they_are_served(claims: list[Claim], order: str) -> None:
    assert "".join(served(Scene(slots(99)).plan(*claims))) == order
    for places in range(len(order)):
        assert "".join(served(Scene(slots(places)).plan(*claims))) == order[:places]


def test_shares_are_of_memory() -> None:
    claims = [claim("a", shared(8), have=1, missing=4), claim("b", shared(2), have=1, missing=4)]
    assert "".join(served(Scene(card("0", 80), card("1", 80)).plan(*claims))) == "bbba"


@pytest.mark.parametrize(("under_way", "starts"), [(0, 2), (1, 1), (2, 0), (3, 0)])
def test_two_at_a_time_start_on_a_card(under_way: int, starts: int) -> None:
    made = Scene(card("0")).plan(claim("a", shared(4), missing=4), starting={"0": under_way})
    assert len(made.starts) == starts
    assert made.blocked == {}, "the rest follow"


def test_what_starts_on_one_card_leaves_the_others_free_to_start_on() -> None:
    made = Scene(card("0"), card("1", 80)).plan(claim("a", shared(4), missing=9, have=1), starting={"0": 1}, a=9)
    assert [start.card for start in made.starts] == ["0", "1", "1"]


def test_slots_start_as_many_at_a_time_as_there_are() -> None:
    assert len(Scene(slots(9)).plan(claim("a", missing=9), starting={SLOTS: 5}, a=9).starts) == 9


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_a_function_starts_as_many_as_it_may(limit: int) -> None:
    made = Scene(slots(9)).plan(claim("a", missing=4), claim("b", missing=4), a=limit)
    assert Counter(served(made)) == Counter({"a": limit, "b": 4})
    assert made.blocked == {}


def test_nothing_starts_where_somebody_still_is() -> None:
    # a1 and a2 go. b waits for a card's worth of room, c would fit where a2 still is.
    scene = Scene(card("0")).holds("a1", shared(15), "0", going=True).holds("a2", shared(15), "0", going=True)
    made = scene.plan(claim("b", shared(20), waited=9.0), claim("c", shared(10), have=1))
    assert made.starts == []
    assert made.blocked == {
        "b": "room is being made for it",
        "c": "room is being made for it",
    }


def test_nobody_takes_the_room_of_those_that_wait_for_others_to_go() -> None:
    scene = Scene(card("0")).holds("a1", shared(30), "0", going=True)
    made = scene.plan(claim("b", shared(35), waited=9.0), claim("c", shared(5)))
    assert made.starts == []
    assert scene.plan(claim("b", shared(30), waited=9.0), claim("c", shared(5))).starts == [Start("c", "0")]


def test_idle_ones_make_room_the_cheapest_first() -> None:
    scene = Scene(slots(3))
    scene.holds("a1", worth=3.0, **IDLE).holds("b1", worth=1.0, **IDLE).holds("c1", worth=2.0, **IDLE)
    made = scene.plan(claim("d"), claim("e"))
    assert made.evictions == [Eviction("b1", "d"), Eviction("c1", "e")]
    assert made.starts == []
    assert set(made.blocked) == {"d", "e"}


def test_of_two_the_one_that_has_a_sibling_goes() -> None:
    scene = Scene(slots(2)).holds("a1", worth=1.0, **IDLE).holds("b1", worth=9.0, alone=False, **IDLE)
    assert evicted(scene.plan(claim("c"))) == ["b1"]


@pytest.mark.parametrize(
    ("sizes", "need", "gone"),
    [
        pytest.param({"a1": 10, "b1": 10, "c1": 10}, 10, ["a1"], id="the cheapest of three alike"),
        pytest.param({"a1": 4, "b1": 4, "c1": 8, "d1": 23}, 8, ["c1"], id="one rather than two that are cheaper"),
        pytest.param({"a1": 4, "b1": 8, "c1": 8, "d1": 8, "e1": 8}, 16, ["b1", "c1"], id="no needless one"),
        pytest.param({"a1": 4, "b1": 12, "c1": 8, "d1": 15}, 12, ["b1"], id="the least that is enough"),
        pytest.param({"a1": 5, "b1": 6, "c1": 14, "d1": 14}, 19, ["a1", "c1"], id="the cheapest two that do"),
        pytest.param({"a1": 10, "b1": 10}, 39, ["a1", "b1"], id="all"),
        pytest.param({"a1": 10, "b1": 10}, 40, [], id="none, for it never fits"),
    ],
)
def test_the_fewest_go_and_of_those_the_cheapest(sizes: dict[str, int], need: int, gone: list[str]) -> None:
    scene = Scene(card("0", 40))
    for price, (instance, gib) in enumerate(sizes.items()):
        scene.holds(instance, shared(gib), "0", worth=float(price), **IDLE)
    assert sorted(evicted(scene.plan(claim("x", shared(need), below_floor=1)))) == gone


def test_the_card_that_the_fewest_leave_is_taken() -> None:
    scene = Scene(card("0"), card("1"))
    scene.holds("a1", shared(20), "0", worth=1.0, **IDLE).holds("b1", shared(19), "0", worth=1.0, **IDLE)
    scene.holds("c1", shared(35), "1", worth=99.0, **IDLE)
    made = scene.plan(claim("d", WHOLE))
    assert made.evictions == [Eviction("c1", "d")]


@pytest.mark.parametrize(
    ("facts", "goes"),
    [
        pytest.param({}, False, id="busy, more waiting"),
        pytest.param(IDLE, True, id="idle"),
        pytest.param({**IDLE, "spare": False}, False, id="provisioned"),
        pytest.param({"idle": True}, False, id="idle, but its function's calls wait"),
        pytest.param({"unqueued": True}, False, id="busy"),
        pytest.param({"residence": LONG}, False, id="resident"),
    ],
)
def test_to_a_function_that_has_one_only_idle_ones_yield(facts: dict[str, Any], goes: bool) -> None:
    scene = Scene(slots(2)).holds("b1").holds("a1", **facts)
    assert evicted(scene.plan(claim("b", have=1))) == ["a1"] * goes


@pytest.mark.parametrize(
    ("facts", "goes"),
    [
        pytest.param({}, False, id="busy, more waiting, just come"),
        pytest.param(IDLE, True, id="idle"),
        pytest.param({"unqueued": True}, True, id="busy, but nothing waits"),
        pytest.param({"unqueued": True, "spare": False}, False, id="provisioned"),
        pytest.param({"residence": 120.0}, True, id="resident for 8 cold starts"),
        pytest.param({"residence": 119.0}, False, id="for less"),
        pytest.param({"residence": 119.0, "cold_start": 14.0}, True, id="its own cold starts count"),
        pytest.param({"residence": LONG, "spare": False}, False, id="provisioned for long"),
        pytest.param({"idle": True, "residence": 9.0}, False, id="idle for a moment"),
    ],
)
def test_to_a_function_that_has_none_busy_ones_yield_too(facts: dict[str, Any], goes: bool) -> None:
    scene = Scene(slots(1)).holds("a1", **facts)
    assert evicted(scene.plan(claim("b"))) == ["a1"] * goes


def test_of_those_that_yield_to_it_idle_ones_go_first() -> None:
    scene = Scene(slots(3)).holds("a1", residence=LONG).holds("b1", unqueued=True).holds("c1", worth=99.0, **IDLE)
    assert evicted(scene.plan(claim("d"), claim("e"), claim("f"))) == ["c1", "b1", "a1"]


def test_one_that_is_going_already_is_waited_for() -> None:
    scene = Scene(slots(2)).holds("a1", going=True).holds("b1", **IDLE)
    assert evicted(scene.plan(claim("c"))) == []
    assert evicted(scene.plan(claim("c"), claim("d"))) == ["b1"]


def test_its_own_outdated_ones_go_first_though_they_are_busy() -> None:
    scene = Scene(slots(2)).holds("a1", outdated=True, spare=False).holds("b1", **IDLE)
    assert evicted(scene.plan(claim("a", have=1))) == ["a1"]


def test_another_functions_outdated_ones_are_like_any_other() -> None:
    assert evicted(Scene(slots(1)).holds("b1", outdated=True).plan(claim("a", have=1))) == []


def test_without_claims_nobody_goes() -> None:
    scene = Scene(slots(2)).holds("a1", residence=LONG, **IDLE).holds("b1", **IDLE)
    assert scene.plan() == Plan()
    assert scene.plan(claim("c", missing=0)) == Plan()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param((0.0, 1.0, 1.0, shared(8)), (0.0, 2.0, 1.0, shared(8)), id="used more often"),
        pytest.param((0.0, 1.0, 1.0, shared(8)), (0.0, 1.0, 3.0, shared(8)), id="slower to start"),
        pytest.param((0.0, 1.0, 1.0, shared(8)), (0.0, 1.0, 1.0, shared(4)), id="smaller"),
        pytest.param((0.0, 9.0, 1.0, SLOT), (9.0, 1.0, 1.0, SLOT), id="used since more was evicted"),
    ],
)
def test_what_is_worth_more(
    first: tuple[float, float, float, Need], second: tuple[float, float, float, Need]
) -> None:
    assert worth(*first) < worth(*second)


def test_nobody_goes_for_a_function_that_may_not_start() -> None:
    # It crashes again and again, is not prepared, or as many of it start as may.
    scene = Scene(slots(2)).holds("a1", **IDLE).holds("a2", **IDLE)
    assert scene.plan(claim("b", missing=2), b=0) == Plan()
    assert evicted(scene.plan(claim("b", missing=2), b=1)) == ["a1"]
    assert evicted(scene.plan(claim("b", missing=2), claim("c", waited=0.5), b=0)) == ["a1"]


def test_for_spare_instances_nobody_goes() -> None:
    # Nothing of it waits: it would like more in reserve. The other would take them back in the next second.
    scene = Scene(slots(3)).holds("a1", idle=False, unqueued=True).holds("b1", **IDLE).holds("b2", **IDLE)
    assert evicted(scene.plan(claim("a", have=1, waited=0.0))) == []
    assert evicted(scene.plan(claim("a", have=1, waited=0.1))) == ["b1"]
    assert evicted(scene.plan(claim("a", have=1, waited=0.0, below_floor=1))) == ["b1"]


def test_the_willing_and_the_idle_make_room_together() -> None:
    scene = Scene(card("0"))
    scene.holds("a1", shared(12), "0", **IDLE).holds("b1", shared(12), "0", unqueued=True)
    scene.holds("c1", shared(12), "0", residence=LONG)
    assert sorted(evicted(scene.plan(claim("d", WHOLE)))) == ["a1", "b1", "c1"]


LARGE = claim("large", WHOLE, waited=61.0)


def test_what_has_waited_for_long_gets_the_best_card_kept() -> None:
    scene = Scene(card("0"), card("1"))
    scene.holds("a1", shared(8), "0").holds("b1", shared(4), "1", spare=False).holds("c1", shared(12), "1")
    small = claim("small", shared(4), waited=60.0)
    assert scene.plan(replace(LARGE, waited=60.0), small).starts == [Start("small", "1")]
    made = scene.plan(LARGE, small, replace(small, function="other"))
    assert made.starts == [Start("small", "1"), Start("other", "1")], "b1 never leaves 1, so 0 is kept"
    assert evicted(made) == []


def test_small_ones_cannot_take_what_is_kept_though_nothing_else_is_left() -> None:
    scene = Scene(card("0")).holds("a1", shared(8), "0")
    made = scene.plan(LARGE, claim("small", shared(4)))
    assert made.starts == []
    assert made.blocked == {"large": "no GPU is free: held by a", "small": "no GPU is free: held by a"}


def test_slots_are_never_kept() -> None:
    scene = Scene(slots(2)).holds("a1").holds("b1", outdated=True)
    made = scene.plan(claim("c", waited=LONG), claim("b", have=1))
    assert evicted(made) == ["b1"], "an update goes on while others wait"


def test_what_is_kept_is_cleared_one_at_a_time() -> None:
    # All of them have more waiting, so never are all of them willing at once for a reason of their own.
    scene = Scene(card("0"), card("1")).holds("x1", WHOLE, "1", spare=False)
    scene.holds("a1", shared(12), "0", residence=LONG, worth=2.0)
    scene.holds("b1", shared(12), "0", residence=LONG, worth=1.0)
    assert evicted(scene.plan(replace(LARGE, waited=60.0))) == []
    assert evicted(scene.plan(replace(LARGE, have=1))) == []
    assert evicted(scene.plan(LARGE)) == ["b1"]
    scene.holders[-1] = replace(scene.holders[-1], going=True)
    assert evicted(scene.plan(LARGE)) == ["a1"], "now one is enough"


def test_nobody_is_asked_to_leave_a_kept_card_before_all_would() -> None:
    scene = (
        Scene(card("0")).holds("a1", shared(12), "0", residence=LONG).holds("b1", shared(12), "0", residence=1.0)
    )
    assert evicted(scene.plan(LARGE)) == []


@dataclass
class Machine:
    """Carries out plans second by second: what starts is ready after a while, what goes ends after its calls.
    Every function has so many calls waiting, all the time, that none of its instances is ever idle."""

    rooms: list[Room]
    needs: dict[str, Need]
    wanted: dict[str, int]
    cold_start: int = 3
    call: int = 2
    floors: dict[str, int] = field(default_factory=dict)
    now: int = 0
    number: int = 0
    ready_at: dict[str, int] = field(default_factory=dict)
    ends_at: dict[str, int] = field(default_factory=dict)
    """Of those that are going."""
    served_at: dict[str, int] = field(default_factory=dict)
    evictions: int = 0

    def __post_init__(self) -> None:
        self.board = Board(self.rooms)

    def instances(self, function: str) -> list[str]:
        return [one for one in self.ready_at if one.rpartition("-")[0] == function and one not in self.ends_at]

    def claims(self) -> list[Claim]:
        made = []
        for function, need in self.needs.items():
            have = len(self.instances(function))
            made.append(
                Claim(
                    function=function,
                    need=need,
                    missing=max(self.wanted[function] - have, 0),
                    have=have,
                    below_floor=max(self.floors.get(function, 0) - have, 0),
                    waited=float(self.now - self.served_at.get(function, 0)) if self.wanted[function] else 0.0,
                    patience=10.0,
                )
            )
        return made

    def holders(self) -> list[Holder]:
        made = []
        for function in self.needs:
            for place, instance in enumerate(here := self.instances(function)):
                residence = max(self.now - self.ready_at[instance], 0)
                wanted = self.wanted[function]
                made.append(
                    Holder(
                        instance=instance,
                        function=function,
                        idle=not wanted and residence > 0,
                        unqueued=not wanted,
                        alone=len(here) == 1,
                        spare=place >= self.floors.get(function, 0),
                        residence=residence,
                        cold_start=self.cold_start,
                    )
                )
        made += [Holder(instance=one, function=one.rpartition("-")[0], going=True) for one in self.ends_at]
        return made

    def step(self) -> Plan:
        starting = Counter(
            self.board.reservations[one].card for one, ready in self.ready_at.items() if ready > self.now
        )
        limits = dict.fromkeys(self.needs, 4)
        made = self.check(self.claims(), self.holders(), limits, starting)
        for eviction in made.evictions:
            self.ends_at[eviction.instance] = self.now + self.call
            self.evictions += 1
        for start in made.starts:
            self.number += 1
            instance = f"{start.function}-{self.number}"
            self.board.reserve(instance, self.needs[start.function], start.card)
            self.ready_at[instance] = self.now + self.cold_start
        self.fits()
        self.now += 1
        for instance in [one for one, end in self.ends_at.items() if end <= self.now]:
            del self.ends_at[instance], self.ready_at[instance]
            self.board.release(instance)
        for instance, ready in self.ready_at.items():
            if ready <= self.now and instance not in self.ends_at:
                self.served_at[instance.rpartition("-")[0]] = self.now
        return made

    def check(
        self, claims: list[Claim], holders: list[Holder], limits: dict[str, int], starting: dict[str, int]
    ) -> Plan:
        """What holds for every plan."""
        before = (dict(self.board.reservations), list(claims), list(holders), dict(limits), dict(starting))
        made = plan(self.board, claims, lambda: holders, limits=limits, starting=starting)
        assert made == plan(self.board, claims, lambda: holders, limits=limits, starting=starting)
        assert before == (self.board.reservations, claims, holders, limits, starting)
        by_name = {one.instance: one for one in holders}
        victims = evicted(made)
        assert len(set(victims)) == len(victims), "nobody goes for two"
        assert not any(by_name[one].going or not by_name[one].spare for one in victims)
        assert all(count <= limits[function] for function, count in Counter(served(made)).items())
        under_way = Counter(starting) + Counter(start.card for start in made.starts)
        begun = {start.card for start in made.starts} - {SLOTS}
        assert all(under_way[one] <= 2 for one in begun)
        for reason in made.blocked.values():
            assert re.fullmatch(r"[^\n]{1,160}", reason), reason
        return made

    def fits(self) -> None:
        for room in self.rooms:
            there = [self.board.reservations[one] for one in self.board.on(room.card)]
            assert sum(made.amount for made in there) <= room.total, "more is reserved than there is"
            assert not any(made.exclusive for made in there) or len(there) == 1


quick = settings(max_examples=15, deadline=None)
sizes = st.sampled_from([shared(4), shared(10), shared(19), shared(30), WHOLE])


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    """Of one or two cards, or some slots; more functions with demand than there is room for."""
    if draw(st.integers(0, 3)):
        rooms = [card(f"{number}") for number in range(draw(st.integers(1, 2)))]
        needs = draw(st.lists(sizes, min_size=2, max_size=6))
    else:
        rooms = [slots(draw(st.integers(1, 3)))]
        needs = [SLOT] * draw(st.integers(2, 6))
    names = [f"f{number}" for number in range(len(needs))]
    wanted = {name: draw(st.integers(1, 4)) for name in names}
    return Machine(rooms, dict(zip(names, needs, strict=True)), wanted, call=draw(st.integers(1, 5)))


@quick
@given(machines())
def test_under_scarcity_every_function_that_fits_at_all_is_served_again_and_again(machine: Machine) -> None:
    # A residency is 24 s here; each of the others may have its turn before.
    patience = len(machine.needs) * 100
    for _ in range(2 * patience):
        machine.step()
        waits = {name: machine.now - machine.served_at.get(name, 0) for name in machine.needs}
        assert max(waits.values()) <= patience, (waits, machine.board.reservations)


@quick
@given(machines(), st.data())
def test_floors_are_kept_and_stay(machine: Machine, data: st.DataObject) -> None:
    first = next(iter(machine.needs))
    machine.floors[first] = 1
    had = False
    for _ in range(200):
        machine.step()
        has = bool(machine.instances(first))
        assert has or not had
        had = has
    assert had


@quick
@given(machines())
def test_without_demand_nothing_moves(machine: Machine) -> None:
    for _ in range(60):
        machine.step()
    machine.wanted = dict.fromkeys(machine.needs, 0)
    for _ in range(30):
        assert machine.step() == Plan()


@quick
@given(machines())
def test_where_all_fits_nobody_goes(machine: Machine) -> None:
    machine.wanted = dict.fromkeys(machine.needs, 1)
    machine.rooms = [card(f"{number}") for number in range(len(machine.needs))] + [slots(9)]
    machine.board = Board(machine.rooms)
    for _ in range(100):
        machine.step()
    assert machine.evictions == 0
    assert all(len(machine.instances(name)) == 1 for name in machine.needs)


@quick
@given(machines())
def test_swaps_are_bounded_by_residence(machine: Machine) -> None:
    # 8 cold starts of 3 s are between two evictions of one place.
    for _ in range(300):
        machine.step()
    places = sum(room.total if room.card == SLOTS else 9 for room in machine.rooms)
    assert machine.evictions <= places * (300 / 24 + 1)


@settings(max_examples=100, deadline=None)
@given(
    held=st.lists(st.tuples(sizes, st.booleans(), st.integers(0, 9)), max_size=12),
    need=sizes,
    have=st.integers(0, 1),
)
def test_no_more_go_than_must(held: list[tuple[Need, bool, int]], need: Need, have: int) -> None:
    scene = Scene(card("0"), card("1"))
    for number, (other, idle, price) in enumerate(held):
        where = scene.board.place(other)
        if where is not None:
            scene.holds(f"a{number}", other, where, idle=idle, unqueued=idle, worth=float(price))
    gone = evicted(scene.plan(claim("x", need, have=have)))
    board, idle = scene.board, [one.instance for one in scene.holders if one.idle]
    if board.place(need) is not None:
        assert gone == []
        return
    enough = [
        (len(some), sum(one.worth for one in scene.holders if one.instance in some))
        for count in range(1, len(idle) + 1)
        for some in combinations(idle, count)
        if board.place(need, without=some) is not None
    ]
    assert bool(gone) is bool(enough)
    if gone:
        assert board.place(need, without=gone) is not None
        assert len(gone) == min(enough)[0]
        assert all(board.place(need, without=set(gone) - {one}) is None for one in gone)


@pytest.mark.parametrize(
    ("rooms", "need", "reason"),
    [
        ([], SLOT, "there are no slots"),
        ([slots(0)], SLOT, "there are no slots"),
        ([slots(1)], WHOLE, "there is no GPU here"),
        ([card("0", 16)], shared(24), "there is no GPU with 24 GiB here"),
        ([card("0", type="x")], replace(WHOLE, type="y"), "there is no GPU of type y here"),
        ([card("0", closed="paused")], WHOLE, "no GPU can be used: 0: paused"),
        ([card("0", closed="paused", type="x")], replace(WHOLE, type="y"), "there is no GPU of type y here"),
        (
            [card(f"{number}", closed="paused") for number in range(5)],
            WHOLE,
            "no GPU can be used: 0: paused, 1: paused, 2: paused and 2 more",
        ),
    ],
)
def test_it_says_why_nothing_suits(rooms: list[Room], need: Need, reason: str) -> None:
    assert Scene(*rooms).plan(claim("a", need)).blocked == {"a": reason}


def test_it_names_some_of_those_that_hold_what_it_waits_for() -> None:
    scene = Scene(slots(5), card("0")).holds("x1", WHOLE, "0")
    for name in "edcb":
        scene.holds(f"{name}1")
    scene.holds("a1")
    assert scene.plan(claim("a", have=1)).blocked == {"a": "no slot is free: held by b, c, d and 1 more"}
    assert scene.plan(claim("b", WHOLE, have=1)).blocked == {"b": "no GPU is free: held by x"}
    assert scene.plan(claim("x", WHOLE, have=1)).blocked == {"x": "no GPU is free"}


def test_it_names_the_quota() -> None:
    scene = Scene(card("0"), card("1"), quota=1).holds("a1", WHOLE, "0")
    assert scene.plan(claim("b", WHOLE)).blocked == {"b": "the quota of GPUs is used (1): held by a"}


def test_a_whole_card_counts_for_all_that_it_has() -> None:
    # a holds 40 GiB, b holds 20 of another card.
    scene = Scene(card("0"), card("1"), card("2")).holds("a1", WHOLE, "0")
    scene.holds("b1", shared(10), "1").holds("b2", shared(10), "1")
    claims = [claim("a", WHOLE, have=1, waited=9.0), claim("b", shared(30), have=2)]
    assert served(scene.plan(*claims)) == ["a"], "b counts for 60, if all of it were of this revision"
    claims[1] = replace(claims[1], have=1)
    assert served(scene.plan(*claims)) == ["b"]
