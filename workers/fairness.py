"""Who gets a place when not all can: floors first, then whoever has none, then in fair shares. Pure.

Without scarcity each claim simply gets its place. With it, idle instances of others go, the cheapest to miss
first; a function that never idles gives up one instance after a residency, and only to one that has none. What
runs is never interrupted: an instance that must go ends its calls first. Its card is kept for whom it goes for,
however long others have waited: else one with load above 1, whose queue is the oldest, took it back at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from workers.placement import SLOTS, Board, Need

_LARGE_WAITS = 2.0
"""Times its own longest wait that a function must have waited to get a card kept for it."""
_STARTS_PER_CARD = 2
_RESIDENCY = 8.0
"""Cold starts that a busy instance stays before it makes room for a function that has none."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A function that should have more instances than it has."""

    function: str
    need: Need
    missing: int
    """Instances that it should have and has not."""
    have: int
    """Those that serve or start."""
    below_floor: int = 0
    """How many of the missing its floor asks for."""
    waited: float = 0.0
    """Seconds that the head of its queue has waited."""
    without: float = float("inf")
    """Seconds since it last had an instance; inf: it never had one."""
    patience: float = 30.0
    """Seconds that it should wait at most (its W)."""
    weight: float = 1.0

    def served(self) -> Claim:
        """What is left of it once one more instance starts: it must not be asked for again."""
        below_floor = max(self.below_floor - 1, 0)
        return replace(self, missing=self.missing - 1, have=self.have + 1, below_floor=below_floor)


@dataclass(frozen=True, kw_only=True)
class Holder:
    """An instance that has a place."""

    instance: str
    function: str
    going: bool = False
    """It ends by itself as soon as its calls have."""
    idle: bool = False
    """It runs nothing."""
    unqueued: bool = False
    """Nothing waits for its function."""
    alone: bool = True
    """It is the only one of its function."""
    outdated: bool = False
    """A newer revision of its function replaces it."""
    spare: bool = True
    """False: the floor of its function needs it."""
    residence: float = 0.0
    """Seconds since it was ready; 0 while it starts."""
    cold_start: float = 15.0
    """Seconds that it takes to have it back."""
    worth: float = 0.0
    """What it would cost to miss it; the least goes first."""


@dataclass(frozen=True)
class Start:
    function: str
    card: str


@dataclass(frozen=True)
class Eviction:
    instance: str
    beneficiary: str
    """The function that gets its place."""
    card: str


@dataclass
class Plan:
    starts: list[Start] = field(default_factory=list)
    evictions: list[Eviction] = field(default_factory=list)
    blocked: dict[str, str] = field(default_factory=dict)
    """Function -> why it does not get what it should have."""
    promises: dict[str, str] = field(default_factory=dict)
    """Card -> the function that others make or made room for there: for the next plan to keep."""


def plan(
    board: Board,
    claims: Iterable[Claim],
    holders: Callable[[], Iterable[Holder]],
    *,
    limits: Mapping[str, int],
    starting: Mapping[str, int] | None = None,
    promises: Mapping[str, str] | None = None,
) -> Plan:
    """`holders` are asked for only when not all can have a place. `limits` bounds the starts per function now,
    `starting` counts those under way by card, `promises` are of the plan before. The board is not changed."""
    return _Planning(board, holders, limits, starting or {}, promises or {}).run(list(claims))


def worth(clock: float, frequency: float, cold_start: float, need: Need) -> float:
    """Greedy-dual: what is used often, starts slowly and takes little room is kept longest. `clock` is the worth
    of the last one that was evicted when this one was last used: what is used no more falls behind."""
    return clock + frequency * cold_start / need.weight


class _Planning:
    def __init__(
        self,
        board: Board,
        holders: Callable[[], Iterable[Holder]],
        limits: Mapping[str, int],
        starting: Mapping[str, int],
        promises: Mapping[str, str],
    ) -> None:
        self._board = board.copy()
        self._ask = holders
        self._limits = dict(limits)
        self._starting = dict(starting)
        self._kept: dict[str, str] = {}
        """Card -> the function that has waited so long that it is kept for it."""
        self._plan = Plan(promises=dict(promises))

    @cached_property
    def _holders(self) -> Mapping[str, Holder]:
        return {holder.instance: holder for holder in self._ask()}

    @cached_property
    def _going(self) -> set[str]:
        return {holder.instance for holder in self._holders.values() if holder.going}

    def run(self, claims: list[Claim]) -> Plan:
        left = {claim.function: claim.missing for claim in claims}
        for card, function in list(self._plan.promises.items()):
            if left.get(function, 0) <= 0 or self._limits.get(function, 0) <= 0:
                del self._plan.promises[card]
        have = {claim.function: claim.have for claim in claims}
        waiting = [claim for claim in claims if claim.missing > 0]
        while waiting:
            claim = min(waiting, key=lambda one: self._turn(one, have[one.function]))
            if self._serve(claim, have[claim.function]):
                have[claim.function] += 1
                left[claim.function] -= 1
            else:
                left[claim.function] = 0
            waiting = [one for one in waiting if left[one.function] > 0]
        return self._plan

    @staticmethod
    def _turn(claim: Claim, have: int) -> tuple[int, float, float]:
        """The lowest is served next: floors, then whoever has none, then by what each holds for its weight."""
        # Who had an instance till now has not waited for one, however old its queue.
        urgency = -(claim.waited if have else min(claim.waited, claim.without)) * claim.weight
        if have - claim.have < claim.below_floor:
            return 0, urgency, 0.0
        if not have:
            return 1, urgency, 0.0
        return 2, have * claim.need.weight / claim.weight, urgency

    def _serve(self, claim: Claim, have: int) -> bool:
        """One more instance for it, now or as soon as there is room. False: it gets none."""
        if self._limits.get(claim.function, 0) <= 0:
            return False  # as many start as may; the rest follow, and nobody makes room before that
        kept = self._kept | self._plan.promises
        barred = {card for card, function in kept.items() if function != claim.function}
        card = self._board.place(claim.need, barred=barred)
        if card is not None:
            card = self._board.place(claim.need, barred=barred | self._busy_starting())
            if card is not None:  # else as many start there as may
                self._start(claim, card)
            return card is not None
        making = self._board.place(claim.need, without=self._going, barred=barred)
        card = making or self._make_room(claim, have, barred)
        if card is None:
            self._plan.blocked[claim.function] = self._why(claim)
            if claim.waited > _LARGE_WAITS * claim.patience:
                self._keep_best(claim, barred)
            return False
        self._plan.blocked[claim.function] = "an instance of another function makes room for it"
        for instance in self._board.on(card):
            if instance in self._going:
                self._board.release(instance)
                self._going.discard(instance)
        self._board.reserve(f"soon {claim.function} {have}", claim.need, card)
        return True

    def _start(self, claim: Claim, card: str) -> None:
        self._limits[claim.function] -= 1
        self._starting[card] = self._starting.get(card, 0) + 1
        self._plan.starts.append(Start(claim.function, card))
        if self._plan.promises.get(card) == claim.function:
            del self._plan.promises[card]
        self._board.reserve(f"start {len(self._plan.starts)}", claim.need, card)

    def _busy_starting(self) -> set[str]:
        """Cards on which as many start as may: loading weights side by side makes each slower."""
        return {card for card, count in self._starting.items() if card != SLOTS and count >= _STARTS_PER_CARD}

    def _make_room(self, claim: Claim, have: int, barred: set[str]) -> str | None:
        """Tells others to go. The card that they leave; None: nobody can be asked to."""
        staying = [one for one in self._holders.values() if one.instance not in self._going]
        outdated = [one for one in staying if one.function == claim.function and one.outdated]
        others = [one for one in staying if one.function != claim.function and one.spare]
        idle = [one for one in others if one.idle and one.unqueued]
        found = self._cheapest(claim, outdated, barred) or self._cheapest(claim, idle, barred)
        if found is None and not have:
            # It has none, so even what is busy yields: at once if nothing waits for it, else after a while.
            found = self._cheapest(claim, [one for one in others if one.unqueued], barred)
        if found is None and not have:
            resident = [one for one in others if one.residence >= _RESIDENCY * one.cold_start]
            found = self._cheapest(claim, resident, barred, most=1)
        if found is None:
            return None
        card, victims = found
        for victim in victims:
            self._plan.evictions.append(Eviction(victim.instance, claim.function, card))
            self._going.add(victim.instance)
        self._plan.promises[card] = claim.function
        return card

    def _cheapest(
        self, claim: Claim, victims: Sequence[Holder], barred: set[str], *, most: int | None = None
    ) -> tuple[str, list[Holder]] | None:
        """The card where the fewest, and of those the cheapest, make room."""
        by_card: dict[str, list[Holder]] = {}
        for one in sorted(victims, key=lambda one: (not one.idle, one.alone, one.worth)):
            made = self._board.reservations.get(one.instance)
            if made is not None and made.card not in barred and self._board.suits(claim.need, made.card):
                by_card.setdefault(made.card, []).append(one)
        found = []
        for card, there in by_card.items():
            chosen = self._enough(claim.need, card, there)
            if chosen and (most is None or len(chosen) <= most):
                found.append((len(chosen), sum(one.worth for one in chosen), card, chosen))
        _, _, card, chosen = min(found, key=lambda one: one[:3], default=(0, 0.0, "", []))
        return (card, chosen) if chosen else None

    def _enough(self, need: Need, card: str, there: Sequence[Holder]) -> list[Holder]:
        """The cheapest of these without which it fits on the card, none of them needless; empty: it never does."""
        others = [name for name in self._board.rooms if name != card]

        def fits(chosen: Sequence[Holder]) -> bool:
            gone = {one.instance for one in chosen} | self._going
            return self._board.place(need, without=gone, barred=others) is not None

        chosen: list[Holder] = []
        for one in there:
            chosen.append(one)
            if fits(chosen):
                break
        else:
            return []
        for one in reversed(chosen[:-1]):
            fewer = [other for other in chosen if other is not one]
            if fits(fewer):
                chosen = fewer
        return chosen

    def _keep_best(self, claim: Claim, barred: set[str]) -> None:
        """It has waited long enough to get a card kept for it: the one where the least is in its way."""
        cards = [card for card in self._board.rooms if card not in barred and self._board.suits(claim.need, card)]
        reserved = self._board.reservations
        in_use = {card: sum(reserved[one].amount for one in self._board.on(card)) for card in cards}
        if cards:
            self._kept.setdefault(min(cards, key=lambda card: in_use[card]), claim.function)

    def _why(self, claim: Claim) -> str:
        cards = [card for card in self._board.rooms if self._board.suits(claim.need, card)]
        if not cards:
            return _nothing_suits(self._board, claim.need)
        there = {
            self._holders[one].function for card in cards for one in self._board.on(card) if one in self._holders
        }
        what = "no GPU is free" if claim.need.gpu else "no slot is free"
        others = ", ".join(sorted(there - {claim.function}))
        return f"{what}: held by {others}" if others else what


def _nothing_suits(board: Board, need: Need) -> str:
    if not need.gpu:
        return "there are no slots"
    closed = [f"{room.card}: {room.closed}" for room in board.rooms.values() if room.closed]
    if closed:
        return "no GPU can be used: " + "; ".join(closed)
    of_type = f" of type {need.type}" if need.type else ""
    memory = f" with {need.reserved // 2**30} GiB" if need.reserved else ""
    return f"there is no GPU{of_type}{memory} here"
