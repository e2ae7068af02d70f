"""Who gets a place when not all can: floors first, then whoever has none, then in fair shares. Pure.

Without scarcity each claim simply gets its place. With it, idle instances of others go, the cheapest to miss
first; a function that never idles gives up one instance after a residency, and only to one that has none. What
runs is never interrupted: an instance that must go ends its calls first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from heapq import heapify, heappop, heappush
from itertools import islice

from workers.claims import RESIDENCY, Claim, Eviction, Holder, Plan, Start
from workers.placement import GIB, SLOTS, Board, Need, best

_LARGE_WAITS = 2.0
"""Times its own longest wait that a function must have waited to get a card kept for it."""
_STARTS_PER_CARD = 2
_NAMED = 3
"""Of those that hold what another waits for, so many are named."""


def plan(
    board: Board,
    claims: Iterable[Claim],
    holders: Callable[[], Iterable[Holder]],
    *,
    limits: Mapping[str, int],
    starting: Mapping[str, int] | None = None,
    wall: float | None = None,
) -> Plan:
    """`holders` are asked for only when not all can have a place. `limits` bounds the starts per function that may
    be decided now, `starting` counts those under way by card. `wall` is the time in seconds since 1970,
    for reasons that name one. The board is not changed."""
    return _Planning(board, holders, limits, starting or {}, wall).run(list(claims))


class _Planning:
    def __init__(
        self,
        board: Board,
        holders: Callable[[], Iterable[Holder]],
        limits: Mapping[str, int],
        starting: Mapping[str, int],
        wall: float | None,
    ) -> None:
        self._now = board.copy()
        """With what is decided to start."""
        self._ask = holders
        self._limits = dict(limits)
        self._starting = dict(starting)
        self._wall = wall
        self._scarce = False
        """True once not all can have a place at once: then what will be counts as well."""
        self._hopeless: set[Need] = set()
        """Nobody makes room for these, though the function has none: nor will anybody for the next such one."""
        self._kept: set[str] = set()
        """Cards that are kept for a function that could not be served; it has had its turn."""
        self._sizes: dict[Need, float] = {}
        self._known: dict[Need, Mapping[str, float | None] | None] = {}
        self._plan = Plan()

    @cached_property
    def _holders(self) -> Mapping[str, Holder]:
        return {holder.instance: holder for holder in self._ask()}

    @cached_property
    def _idle(self) -> Sequence[Holder]:
        return [one for one in self._holders.values() if one.idle and one.unqueued and one.spare]

    @cached_property
    def _outdated(self) -> Mapping[str, Sequence[Holder]]:
        """By function."""
        found: dict[str, list[Holder]] = {}
        for one in self._holders.values():
            if one.outdated:
                found.setdefault(one.function, []).append(one)
        return found

    @cached_property
    def _later(self) -> Board:
        """As it will be once all that go have gone: also with what waits for that, and then starts."""
        board = self._now.copy()
        for holder in self._holders.values():
            if holder.going:
                board.vacate(holder.instance)
        return board

    def run(self, claims: Sequence[Claim]) -> Plan:
        have = [claim.have for claim in claims]
        turns = [(self._turn(claim, claim.have), index) for index, claim in enumerate(claims) if claim.missing > 0]
        heapify(turns)
        while turns:
            _, index = heappop(turns)
            claim = claims[index]
            if self._serve(claim, have[index]):
                have[index] += 1
                if have[index] - claim.have < claim.missing:
                    heappush(turns, (self._turn(claim, have[index]), index))
        return self._plan

    def _turn(self, claim: Claim, have: int) -> tuple[int, float, float]:
        """The lowest is served next: floors, then whoever has none, then by what each holds for its weight."""
        # Who had an instance till now has not waited for one, however old its queue.
        urgency = -(claim.waited if have else min(claim.waited, claim.without)) * claim.weight
        if have - claim.have < claim.below_floor:
            return 0, urgency, 0.0
        if not have and not claim.yielded:
            return 1, urgency, 0.0
        return 2, max(have, 1) * self._takes(claim.need) / claim.weight, urgency

    def _takes(self, need: Need) -> float:
        if need not in self._sizes:
            self._sizes[need] = self._now.takes(need)
        return self._sizes[need]

    def _serve(self, claim: Claim, have: int) -> bool:
        """One more instance for it, now or as soon as there is room. False: it gets none."""
        if self._limits.get(claim.function, 0) <= 0:
            return False  # as many start as may, and nobody makes room for what may not; the rest follow
        hopeless = claim.need in self._hopeless and not have
        free = {} if hopeless else self._free(claim.need)
        if free:
            busy = self._busy_starting()
            card = best({card: left for card, left in free.items() if card not in busy})
            if card is None:
                return False
            self._start(claim, card, have)
            return True
        card = None if hopeless else self._soon(claim, have)
        if card is None:
            self._plan.blocked[claim.function] = self._why(claim)
            if not have:
                self._hopeless.add(claim.need)
            if claim.waited > _LARGE_WAITS * claim.patience:
                self._keep_best(claim, have)
            return False
        self._limits[claim.function] -= 1
        self._plan.blocked[claim.function] = "room is being made for it"
        self._later.reserve(_name(claim, have), claim.need, card)
        return True

    def _free(self, need: Need) -> Mapping[str, int]:
        """Where it can start at once, without taking the room of those that wait for others to go."""
        now = self._now.fitting(need, barred=self._kept)
        if not now or not self._scarce:
            return now
        later = self._later.fitting(need, barred=self._kept)
        return {card: left for card, left in now.items() if card in later}

    def _soon(self, claim: Claim, have: int) -> str | None:
        """Where there will be room for it, if others are told to go."""
        self._scarce = True
        card = self._later.place(claim.need, barred=self._kept)
        if card is None and self._make_room(claim, have):
            card = self._later.place(claim.need, barred=self._kept)
        return card

    def _start(self, claim: Claim, card: str, have: int) -> None:
        self._limits[claim.function] -= 1
        self._starting[card] = self._starting.get(card, 0) + 1
        self._plan.starts.append(Start(claim.function, card))
        self._now.reserve(_name(claim, have), claim.need, card)
        if self._scarce:
            self._later.reserve(_name(claim, have), claim.need, card)

    def _busy_starting(self) -> set[str]:
        """Cards on which as many start as may: loading weights side by side makes each slower."""
        return {card for card, count in self._starting.items() if card != SLOTS and count >= _STARTS_PER_CARD}

    def _make_room(self, claim: Claim, have: int) -> bool:
        """Tells others to go; False: nobody can be asked to."""
        may = list(self._outdated.get(claim.function, ()))
        found = self._cheapest(claim, may)
        if not found and (not have or claim.waited or have - claim.have < claim.below_floor):
            # For spare ones alone nobody goes: two functions would take each other's in turn.
            may += [one for one in self._idle if one.function != claim.function]
            found = self._cheapest(claim, may)
        if not found and not have:
            # It has none, so even what is busy yields: at once if nothing waits for it, else after a while.
            others = [one for one in self._holders.values() if one.function != claim.function and one.spare]
            may += [one for one in others if one.unqueued and not one.idle]
            found = self._cheapest(claim, may) or self._cheapest(claim, may + _resident(others), most=1)
        for victim in found:
            self._evict(victim, claim)
        return bool(found)

    def _evict(self, victim: Holder, claim: Claim) -> None:
        self._plan.evictions.append(Eviction(victim.instance, claim.function))
        self._later.vacate(victim.instance)

    def _cheapest(self, claim: Claim, victims: Sequence[Holder], *, most: int | None = None) -> list[Holder]:
        """The fewest, and of those the cheapest, that make room by leaving one card; `most` bounds how many of
        them have more waiting."""
        by_card: dict[str, list[Holder]] = {}
        for one in sorted(victims, key=_reluctance):
            made = self._later.reservations.get(one.instance)
            if made is not None and made.card not in self._kept and self._later.suits(claim.need, made.card):
                by_card.setdefault(made.card, []).append(one)
        found = []
        for card, there in by_card.items():
            chosen = self._enough(claim.need, card, there)
            if chosen and (most is None or sum(not one.unqueued for one in chosen) <= most):
                found.append((len(chosen), sum(one.worth for one in chosen), card, chosen))
        return min(found, key=lambda one: one[:3])[3] if found else []

    def _enough(self, need: Need, card: str, there: Sequence[Holder]) -> list[Holder]:
        """The fewest of these without which it fits on the card, and of those the first; empty: it never does."""
        others = self._later.rooms.keys() - {card}

        def fits(chosen: Sequence[Holder]) -> bool:
            gone = [one.instance for one in chosen]
            return self._later.place(need, without=gone, barred=others) is not None

        if not fits(there):
            return []
        reserved = self._later.reservations
        largest = sorted(there, key=lambda one: -reserved[one.instance].amount)
        count = next(count for count in range(1, len(there) + 1) if fits(largest[:count]))
        chosen: list[Holder] = []
        for one in there:
            rest = [other for other in largest if other is not one and other not in chosen]
            if len(chosen) < count and fits([*chosen, one, *rest[: count - len(chosen) - 1]]):
                chosen.append(one)
        return chosen

    def _keep_best(self, claim: Claim, have: int) -> None:
        """It has waited long enough to get a card kept for it: the one where the least is in its way, and no floor
        is. If it has none, the others leave it one at a time: all of them would never idle at once."""
        kept = {*self._kept, SLOTS}
        if not any(self._later.suits(claim.need, card) for card in self._later.rooms.keys() - kept):
            return
        others = [one for one in self._holders.values() if one.function != claim.function or one.outdated]
        spare = {one.instance: one for one in others if one.spare or one.function == claim.function}
        fitting = self._later.fitting(claim.need, without=spare.keys(), barred=kept)
        reserved = self._later.reservations
        card = best({card: sum(reserved[one].amount for one in self._later.on(card)) for card in fitting})
        if card is None:
            return
        self._kept.add(card)
        there = set(self._later.on(card))
        leaving = any(one in self._holders for one in set(self._now.on(card)) - there)
        if not have and not leaving:
            staying = [spare[one] for one in sorted(there & spare.keys())]
            willing = [one for one in staying if one.unqueued] + _resident(staying)
            for victim in sorted(self._enough(claim.need, card, willing), key=_reluctance)[:1]:
                self._evict(victim, claim)

    def _why(self, claim: Claim) -> str:
        there = self._there(claim.need)
        if there is None:
            return _nothing_suits(self._now, claim.need)
        what = "no GPU is free" if claim.need.gpu else "no slot is free"
        if claim.need.gpu and self._now.quota_used:
            what = f"the quota of GPUs is used ({self._now.quota})"
        count = len(there) - (claim.function in there)
        others = (self._until(*one) for one in there.items() if one[0] != claim.function)
        return f"{what}: held by {_some(others, count)}" if count else what

    def _until(self, function: str, yields_in: float | None) -> str:
        if self._wall is None or yields_in is None:
            return function
        return f"{function} until about {datetime.fromtimestamp(self._wall + yields_in, UTC):%H:%M:%SZ}"

    def _there(self, need: Need) -> Mapping[str, float | None] | None:
        """The functions on the cards that suit, and in how many seconds the first of each may yield, as far as
        that is known; None: no card suits."""
        if need not in self._known:
            cards = {card for card in self._now.rooms if self._now.suits(need, card)}
            on = {one for one, made in self._now.reservations.items() if made.card in cards}
            found: dict[str, float | None] = {}
            for one in sorted((self._holders[one] for one in on & self._holders.keys()), key=_by_function):
                found.setdefault(one.function, one.yields_in)
            self._known[need] = found if cards else None
        return self._known[need]


def _by_function(one: Holder) -> tuple[str, float]:
    """The first to yield of each function comes first."""
    return one.function, float("inf") if one.yields_in is None else one.yields_in


def _reluctance(one: Holder) -> tuple[bool, bool, float]:
    """Who goes first is the lowest."""
    return not one.idle, one.alone, one.worth


def _resident(holders: Sequence[Holder]) -> list[Holder]:
    """Those with more waiting that have been there long enough to yield."""
    return [one for one in holders if not one.unqueued and one.residence >= RESIDENCY * one.cold_start]


def _name(claim: Claim, have: int) -> str:
    """Of what is to come: no instance is called so."""
    return f"{claim.function} {have + 1}"


def _nothing_suits(board: Board, need: Need) -> str:
    if not need.gpu:
        return "there are no slots"
    closed = board.closed(need)
    if closed:
        return "no GPU can be used: " + _some((f"{room.card}: {room.closed}" for room in closed), len(closed))
    of_type = f" of type {need.type}" if need.type else ""
    memory = f" with {need.reserved // GIB} GiB" if need.reserved else ""
    return f"there is no GPU{of_type}{memory} here"


def _some(names: Iterable[str], count: int) -> str:
    """One short line, however many they are."""
    more = count - _NAMED
    return ", ".join(islice(names, _NAMED)) + (f" and {more} more" if more > 0 else "")
