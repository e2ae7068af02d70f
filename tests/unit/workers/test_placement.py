"""Where instances fit: tables of cases, and laws that hold after any sequence of starts, ends and looks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from workers.placement import GIB, SLOTS, Board, Need, Reservation, Room

MIB = 2**20
SLOT = Need()
WHOLE = Need(gpu=True)


def shared(gib: float, **facts: Any) -> Need:
    """One that takes so much of a card, and would share it."""
    return Need(gpu=True, memory=round(gib * GIB), **facts)


def room(card: str, gib: float = 80, **facts: Any) -> Room:
    return Room(card=card, total=round(gib * GIB), **facts)


def board(*rooms: Room, quota: int | None = None, **held: tuple[Need, str]) -> Board:
    """With what is held by name."""
    made = Board(rooms, quota=quota)
    for instance, (need, card) in held.items():
        made.reserve(instance, need, card)
    return made


def fill(made: Board, need: Need) -> list[str]:
    """Reserves as often as it fits; the cards in the order in which they were chosen."""
    cards: list[str] = []
    while len(cards) < 1_000 and (card := made.place(need)) is not None:
        made.reserve(f"fill {len(cards)}", need, card)
        cards.append(card)
    return cards


def test_it_goes_where_the_least_is_left_beside_it() -> None:
    made = board(room("a"), room("b", 24), room("c", 40), one=(shared(19), "c"))
    assert made.place(shared(8)) == "c"
    assert made.place(shared(12)) == "b", "all of b, for half a card is a whole one"
    assert made.place(shared(39)) == "a"


def test_of_two_alike_the_first_by_name_is_taken() -> None:
    assert board(room("b"), room("a")).place(shared(1)) == "a"


@pytest.mark.parametrize(
    ("need", "amount", "exclusive"),
    [
        pytest.param(SLOT, None, None, id="no slot on a card"),
        pytest.param(WHOLE, 80 * GIB, True, id="no amount: a whole card"),
        pytest.param(shared(40), 80 * GIB, True, id="half a card: a whole card"),
        pytest.param(shared(39), 39 * GIB, False, id="less than half: shared"),
        pytest.param(shared(39.01), 80 * GIB, True, id="in steps of 1 GiB"),
        pytest.param(shared(1 / 1024), 1 * GIB, False, id="one step at least"),
        pytest.param(shared(2, mode="exclusive"), 80 * GIB, True, id="exclusive if it says so"),
        pytest.param(shared(60, mode="shared"), 60 * GIB, False, id="shared if it says so"),
    ],
)
def test_what_is_reserved_of_a_card_of_80(need: Need, amount: int | None, exclusive: bool | None) -> None:
    made = board(room("a"))
    card = made.place(need)
    if amount is None or exclusive is None:
        assert card is None
    else:
        assert card == "a"
        assert made.reserve("one", need, card) == Reservation(card="a", amount=amount, exclusive=exclusive)
        assert made.reservations == {"one": Reservation(card="a", amount=amount, exclusive=exclusive)}


def test_half_is_of_the_card_in_question() -> None:
    made = board(room("a", 24), room("b", 80))
    assert made.reserve("one", shared(12), "a").exclusive
    assert not made.reserve("two", shared(12), "b").exclusive


def test_an_exclusive_one_neither_joins_others_nor_is_joined() -> None:
    assert board(room("a"), one=(shared(1), "a")).place(WHOLE) is None
    assert board(room("a"), one=(shared(1, mode="exclusive"), "a")).place(shared(1)) is None


@pytest.mark.parametrize(("gib", "fit"), [(10, 7), (20, 3), (39, 2), (1, 79)])
def test_half_a_gib_of_a_shared_card_stays_free(gib: int, fit: int) -> None:
    assert len(fill(board(room("a")), shared(gib))) == fit


@pytest.mark.parametrize(
    ("free", "fits"), [(None, True), (80 * GIB, True), (10 * GIB + 256 * MIB, True), (10 * GIB + 255 * MIB, False)]
)
def test_the_card_itself_must_have_a_quarter_gib_more(free: int | None, fits: bool) -> None:
    assert (board(room("a", free=free)).place(shared(9.5)) == "a") is fits


def test_the_cards_own_word_does_not_count_for_a_whole_card_nor_for_slots() -> None:
    # Whoever else is on a card closes it; a whole card has no amount to compare.
    assert board(room("a", free=0)).place(WHOLE) == "a"
    assert board(Room(card=SLOTS, total=1, free=0)).place(SLOT) == SLOTS


def test_only_what_leaves_a_card_gives_memory_back_there() -> None:
    # Others use all but 5 GiB of a: that somebody leaves b is no help there.
    made = board(room("a", free=5 * GIB), room("b"), one=(WHOLE, "b"))
    assert made.place(shared(10)) is None
    assert made.place(shared(10), without=["one"]) == "b"
    assert made.place(shared(10), without=["one"], barred=["b"]) is None


@pytest.mark.parametrize(("free", "fits"), [(2 * GIB, False), (2.25 * GIB, True), (30 * GIB, True)])
def test_what_leaves_gives_back_what_it_had_reserved_and_no_more(free: float, fits: bool) -> None:
    made = board(room("a", free=round(free)), one=(shared(8), "a"))
    assert (made.place(shared(10), without=["one"]) == "a") is fits


@pytest.mark.parametrize("mode", [None, "shared", "exclusive"])
def test_a_whole_card_is_exclusive_whatever_its_mode_says(mode: Any) -> None:
    made = board(room("a"))
    assert made.capacity(Need(gpu=True, mode=mode)) == 1
    assert made.place(Need(gpu=True, mode=mode)) == "a"
    assert made.reserve("one", Need(gpu=True, mode=mode), "a").exclusive


def test_what_never_fits_beside_the_overhead_does_not_suit() -> None:
    # 80 GiB of a card of 80 to share: half a GiB of it stays free.
    made = board(room("a"))
    assert made.place(shared(80, mode="shared")) is None
    assert not made.suits(shared(80, mode="shared"), "a")
    assert made.suits(shared(79, mode="shared"), "a")
    assert made.suits(shared(80), "a")
    assert not made.suits(shared(81), "a")


@pytest.mark.parametrize(
    ("asked", "has", "fits"),
    [(None, None, True), (None, "x", True), ("x", None, True), ("x", "x", True), ("x", "y", False)],
)
def test_a_type_that_nobody_knows_suits_whoever_asks(asked: str | None, has: str | None, fits: bool) -> None:
    made = board(room("a", type=has))
    assert (made.place(shared(1, type=asked)) == "a") is fits
    assert made.suits(shared(1, type=asked), "a") is fits
    assert (made.capacity(shared(1, type=asked)) > 0) is fits


def test_nothing_is_placed_on_a_closed_card_nor_on_one_that_is_kept_for_others() -> None:
    made = board(room("a", closed="paused"), room("b"))
    assert made.place(WHOLE) == "b"
    assert made.place(WHOLE, barred=["b"]) is None
    assert not made.suits(WHOLE, "a")
    assert made.capacity(WHOLE) == 1


def test_slots_are_counted_one_each_and_are_no_card() -> None:
    made = board(Room(card=SLOTS, total=3), room("a"))
    assert made.capacity(SLOT) == 3
    assert fill(made, SLOT) == [SLOTS] * 3
    assert made.place(WHOLE) == "a"
    assert board(Room(card=SLOTS, total=3)).place(WHOLE) is None


def test_a_quota_bounds_the_cards_in_use_and_not_what_is_on_them() -> None:
    made = board(
        room("a"), room("b"), Room(card=SLOTS, total=1), quota=1, one=(shared(10), "a"), two=(SLOT, SLOTS)
    )
    assert made.place(WHOLE) is None
    assert made.place(shared(10)) == "a"
    assert made.place(WHOLE, without=["one"]) == "a"
    assert made.place(SLOT) is None, "the slot is in use, and is no card"
    made.release("one")
    assert made.place(WHOLE) == "a"


@pytest.mark.parametrize(
    ("need", "quota", "most"),
    [
        (shared(10), None, 7 + 3 + 1),
        (shared(10), 1, 7),
        (shared(10), 2, 10),
        (shared(10), 0, 0),
        (WHOLE, None, 3),
        (WHOLE, 2, 2),
        (shared(30), None, 3),
        (shared(30, mode="shared"), None, 3),
        (shared(50), None, 1),
        (shared(100), None, 0),
        (shared(10, type="x"), None, 0),
        (SLOT, 0, 16),
    ],
)
def test_capacity_is_what_would_fit_if_nothing_else_were_there(need: Need, quota: int | None, most: int) -> None:
    cards = [room("a", 80, type="y"), room("b", 40, type="y"), room("c", 16, type="y"), room("d", closed="x")]
    made = board(*cards, Room(card=SLOTS, total=16), quota=quota, one=(WHOLE, "a"))
    assert made.capacity(need) == most


def test_without_some_it_looks_as_if_they_were_gone() -> None:
    made = board(room("a"), room("b"), one=(shared(39), "a"), two=(shared(39), "a"), three=(WHOLE, "b"))
    assert made.place(shared(30)) is None
    assert made.place(shared(30), without=["one"]) == "a"
    assert made.place(WHOLE, without=["one"]) is None
    assert made.place(WHOLE, without=["two", "one", "one", "nobody"]) == "a"
    assert made.place(WHOLE, without={"three"}) == "b"
    assert set(made.reservations) == {"one", "two", "three"}, "nothing has changed"


def test_who_vacates_a_card_gives_its_memory_back() -> None:
    made = board(room("a", free=5 * GIB), one=(shared(8), "a"))
    twin = made.copy()
    twin.vacate("one")
    twin.vacate("nobody")
    assert twin.place(shared(12)) == "a"
    assert twin.place(shared(13)) is None
    made.release("one")
    assert made.place(shared(12)) is None, "the card itself has not said so yet"


def test_who_vacates_a_card_that_is_gone_has_nothing_to_give_back() -> None:
    made = board(room("a", free=5 * GIB), one=(shared(8), "a"))
    made.look([])
    made.vacate("one")
    assert made.reservations == {}


def test_a_card_that_vanishes_keeps_what_is_reserved_on_it() -> None:
    made = board(room("a"), room("b"), one=(WHOLE, "a"))
    made.look([room("b")])
    assert made.place(WHOLE) == "b"
    assert made.on("a") == ["one"]
    assert not made.suits(WHOLE, "a")
    made.look([room("a"), room("b")])
    assert made.place(WHOLE, barred=["b"]) is None
    made.release("one")
    assert made.place(WHOLE, barred=["b"]) == "a"


def test_a_copy_is_on_its_own() -> None:
    made = board(room("a"), one=(shared(20), "a"))
    twin = made.copy()
    twin.reserve("two", shared(20), "a")
    twin.release("one")
    assert set(made.reservations) == {"one"}
    assert len(fill(made, shared(20))) == 2
    assert len(fill(twin, shared(20))) == 2


def test_who_reserves_twice_has_what_was_reserved_last() -> None:
    made = board(room("a"), room("b"), one=(WHOLE, "a"))
    made.reserve("one", shared(1), "b")
    assert made.place(WHOLE) == "a"
    made.release("one")
    made.release("one")
    assert made.place(WHOLE, barred=["a"]) == "b"


needs = st.one_of(
    st.just(SLOT),
    st.builds(
        Need,
        gpu=st.just(True),
        memory=st.none() | st.integers(1, 90 * 1024).map(lambda mib: mib * MIB),
        type=st.sampled_from([None, None, "x", "y"]),
        mode=st.sampled_from([None, None, "shared", "exclusive"]),
    ),
)
TOTALS = {"a": 80, "b": 80, "c": 24, "d": 16}
TYPES = {"a": "x", "b": "y", "c": "x", "d": None}


@st.composite
def looks(draw: st.DrawFn) -> list[Room]:
    """The same cards, some of them gone or closed, with more or less of them used by others."""
    rooms = [Room(card=SLOTS, total=3)]
    for card, gib in TOTALS.items():
        if draw(st.integers(0, 4)):
            free = draw(st.none() | st.integers(0, gib).map(lambda free: free * GIB))
            closed = draw(st.sampled_from([None, None, None, "paused"]))
            rooms.append(room(card, gib, type=TYPES[card], free=free, closed=closed))
    return rooms


class Placing(RuleBasedStateMachine):
    """A board through starts, ends, and cards that come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.board = Board([], quota=None)
        self.needs: dict[str, Need] = {}
        self.started = 0

    @rule(rooms=looks(), quota=st.none() | st.integers(0, 4))
    def look(self, rooms: list[Room], quota: int | None) -> None:
        self.board.look(rooms)
        self.board.quota = quota

    @rule(need=needs, count=st.integers(1, 4), data=st.data())
    def start(self, need: Need, count: int, data: st.DataObject) -> None:
        barred = data.draw(st.sets(st.sampled_from([*TOTALS, SLOTS]), max_size=1))
        for _ in range(count):
            card = self.board.place(need, barred=barred)
            assert card == self.board.place(need, barred=barred)
            if card is None:
                assert not any(self.fits(need, one) for one in self.board.rooms if one not in barred)
                return
            assert card not in barred
            assert self.fits(need, card)
            assert self.board.suits(need, card)
            self.started += 1
            self.board.reserve(f"i{self.started}", need, card)
            self.needs[f"i{self.started}"] = need

    def fits(self, need: Need, card: str) -> bool:
        """Written down a second time, the slow way. The quota is looked at on its own."""
        one = self.board.rooms[card]
        there = [made for made in self.board.reservations.values() if made.card == card]
        used = {made.card for made in self.board.reservations.values()} - {SLOTS}
        if one.closed or (card == SLOTS) is need.gpu:
            return False
        if not need.gpu:
            return len(there) < one.total
        if need.type and one.type and need.type != one.type:
            return False
        if self.board.quota is not None and card not in used and len(used) >= self.board.quota:
            return False
        amount = one.total if need.memory is None else -(-need.memory // GIB) * GIB
        if need.memory is not None and one.free is not None and one.free < amount + 256 * MIB:
            return False
        if need.memory is None or (need.mode or ("exclusive" if 2 * amount >= one.total else "")) == "exclusive":
            return not there and amount <= one.total
        taken = sum(made.amount for made in there)
        return not any(made.exclusive for made in there) and taken + amount + 512 * MIB <= one.total

    @precondition(lambda self: self.needs)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        instance = data.draw(st.sampled_from(sorted(self.needs)))
        self.board.release(instance)
        del self.needs[instance]

    @precondition(lambda self: self.needs)
    @rule(data=st.data(), need=needs)
    def imagine(self, data: st.DataObject, need: Need) -> None:
        """As if some were gone is what is there once they are gone, the cards' own word aside."""
        gone = data.draw(st.sets(st.sampled_from(sorted(self.needs))))
        twin = self.board.copy()
        twin.look([replace(one, free=None) for one in twin.rooms.values()])
        imagined = twin.place(need, without=gone)
        for instance in gone:
            twin.release(instance)
        assert imagined == twin.place(need)

    @rule()
    def end_all(self) -> None:
        for instance in list(self.needs):
            self.board.release(instance)
        self.needs.clear()
        fresh = Board(self.board.rooms.values(), quota=self.board.quota)
        assert vars(self.board) == vars(fresh)

    @invariant()
    def no_card_has_more_reserved_than_it_has(self) -> None:
        sizes = {card: gib * GIB for card, gib in TOTALS.items()} | {SLOTS: 3}
        for card, size in sizes.items():
            assert sum(self.board.reservations[one].amount for one in self.board.on(card)) <= size

    @invariant()
    def an_exclusive_one_is_alone(self) -> None:
        for made in self.board.reservations.values():
            assert not made.exclusive or len(self.board.on(made.card)) == 1

    @invariant()
    def no_one_is_forgotten(self) -> None:
        assert set(self.board.reservations) == set(self.needs)


TestPlacing = Placing.TestCase
TestPlacing.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


@settings(max_examples=100, deadline=None)
@given(rooms=looks(), need=needs, quota=st.none() | st.integers(0, 4))
def test_capacity_is_how_often_it_is_placed_on_an_empty_board(
    rooms: list[Room], need: Need, quota: int | None
) -> None:
    rooms = [replace(one, free=None) for one in rooms]
    placed = len(fill(Board(rooms, quota=quota), need))
    if quota is None:
        assert Board(rooms).capacity(need) == placed
    else:
        # Best fit takes the small cards first, so under a quota it may be fewer.
        assert bool(placed) <= placed <= Board(rooms, quota=quota).capacity(need)
