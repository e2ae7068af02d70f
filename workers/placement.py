"""Where instances fit: cards, what is reserved on each, and who goes to make room. Pure.

What is reserved counts from the moment a start is decided until the instance is gone, so that two starts never
share the same room. The CPU slots of a machine are one more card, of which every instance without a GPU takes 1.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

GIB = 2**30
_OVERHEAD = 512 * 2**20
"""Bytes of a shared card that stay free: each process has a context of its own beside what it asked for."""
_MARGIN = 256 * 2**20
"""Bytes that must be free beside a reservation when it starts: others may hold some of the card."""
SLOTS = "slots"
"""The name of the card that stands for the CPU slots of a machine."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """What one instance takes."""

    gpu: bool = False
    """False: a CPU slot, and nothing of the below."""
    memory: int | None = None
    """Bytes of GPU memory; None: a whole card."""
    type: str | None = None
    """Card type; None: any."""
    mode: Literal["exclusive", "shared"] | None = None
    """None: exclusive from half a card on."""

    @cached_property
    def reserved(self) -> int | None:
        """Bytes, in whole GiB; None: a whole card."""
        return None if self.memory is None else -(-self.memory // GIB) * GIB

    @property
    def weight(self) -> float:
        """GiB, for comparing who holds how much; a slot, or a card of unknown size, counts as 1."""
        return (self.reserved or GIB) / GIB if self.gpu else 1.0


@dataclass(frozen=True, kw_only=True)
class Room:
    """One card as placement sees it."""

    card: str
    total: int
    """Bytes; of `SLOTS`, how many."""
    type: str | None = None
    free: int | None = None
    """Bytes that the card itself says are free; None: not known."""
    closed: str | None = None
    """Why nothing is started there: unhealthy, paused, used by others; None: something may be."""


@dataclass(frozen=True, kw_only=True)
class Reservation:
    card: str
    amount: int
    """Bytes; of `SLOTS`, 1; an exclusive one has all of its card."""
    exclusive: bool


@dataclass
class _Use:
    """What is reserved on one card, summed up."""

    count: int = 0
    amount: int = 0
    exclusive: int = 0

    def add(self, made: Reservation, sign: int = 1) -> None:
        self.count += sign
        self.amount += sign * made.amount
        self.exclusive += sign * made.exclusive


_UNUSED = _Use()


class Board:
    """The cards, and who has reserved what. Changed by `look`, `reserve` and `release` alone."""

    def __init__(self, rooms: Iterable[Room] = (), *, quota: int | None = None) -> None:
        """`quota` bounds the cards in use at a time; None: as many as there are."""
        self.rooms: Mapping[str, Room] = {room.card: room for room in rooms}
        self.quota = quota
        self.reservations: dict[str, Reservation] = {}
        """By instance."""
        self._uses: dict[str, _Use] = {}
        """By card that has something reserved: summing up for each look would make a plan quadratic."""

    def look(self, rooms: Iterable[Room]) -> None:
        """What the cards look like now; reservations stay, also on a card that is gone."""
        self.rooms = {room.card: room for room in rooms}

    def reserve(self, instance: str, need: Need, card: str) -> Reservation:
        # A card that does not answer just now may still hold what an earlier leader started there.
        made = self._reservation(need, self.rooms.get(card) or Room(card=card, total=need.reserved or GIB))
        self.release(instance)
        self.reservations[instance] = made
        self._uses.setdefault(card, _Use()).add(made)
        return made

    def release(self, instance: str) -> None:
        made = self.reservations.pop(instance, None)
        if made is None:
            return
        use = self._uses[made.card]
        use.add(made, -1)
        if not use.count:
            del self._uses[made.card]

    def vacate(self, instance: str) -> None:
        """As if it were gone, and had given its memory back to the card: for trying out."""
        made = self.reservations.get(instance)
        if made is None:
            return
        self.release(instance)
        room = self.rooms.get(made.card)
        if room is not None and room.free is not None:
            self.rooms = {**self.rooms, room.card: replace(room, free=room.free + made.amount)}

    def copy(self) -> Board:
        """For trying out what a plan would do."""
        twin = Board(self.rooms.values(), quota=self.quota)
        twin.reservations = dict(self.reservations)
        twin._uses = {card: replace(use) for card, use in self._uses.items()}
        return twin

    def place(self, need: Need, *, without: Collection[str] = (), barred: Collection[str] = ()) -> str | None:
        """The card that it fits on best, as if the instances in `without` were gone; None: it fits on none.
        Cards in `barred` are kept for others."""
        return best(self.fitting(need, without=without, barred=barred))

    def fitting(
        self, need: Need, *, without: Collection[str] = (), barred: Collection[str] = ()
    ) -> dict[str, int]:
        """The cards that it fits on, each with what would be left beside it; the rest is as for `place`."""
        gone = self._sum(without)
        left = {room.card: self._left(need, room, gone) for room in self.rooms.values() if room.card not in barred}
        return {card: amount for card, amount in left.items() if amount is not None}

    def capacity(self, need: Need) -> int:
        """How many would fit if nothing else were there."""
        each = [self._most(need, room) for room in self.rooms.values() if self._could(need, room)]
        if need.gpu and self.quota is not None:
            each = sorted(each, reverse=True)[: self.quota]
        return sum(each)

    def on(self, card: str) -> list[str]:
        """Instances that have something reserved there."""
        return [instance for instance, made in self.reservations.items() if made.card == card]

    def suits(self, need: Need, card: str) -> bool:
        """Whether an instance could be there if nothing else were."""
        room = self.rooms.get(card)
        return room is not None and self._could(need, room)

    def closed(self, need: Need) -> list[Room]:
        """The cards that would suit if they were not closed."""
        closed = [room for room in self.rooms.values() if room.closed]
        return [room for room in closed if self._could(need, replace(room, closed=None))]

    def takes(self, need: Need) -> float:
        """GiB of a card that one instance takes, where it takes the least; a slot counts as 1."""
        rooms = [room for room in self.rooms.values() if need.gpu and self._could(need, room)]
        return min((self._reservation(need, room).amount / GIB for room in rooms), default=need.weight)

    @property
    def quota_used(self) -> bool:
        """Whether as many cards are in use as may be."""
        return self._over_quota({})

    def _left(self, need: Need, room: Room, gone: Mapping[str, _Use]) -> int | None:
        """What would be left of the card beside it; None: it does not fit."""
        if not self._could(need, room):
            return None
        use, going = self._uses.get(room.card, _UNUSED), gone.get(room.card, _UNUSED)
        empty = use.count == going.count
        if empty and need.gpu and self._over_quota(gone):
            return None
        wanted = self._reservation(need, room)
        if use.exclusive > going.exclusive or (wanted.exclusive and not empty):
            return None
        overhead = _OVERHEAD if need.gpu and not wanted.exclusive else 0
        left = room.total - (use.amount - going.amount) - overhead - wanted.amount
        return None if left < 0 or self._tight(need, room, going) else left

    @staticmethod
    def _tight(need: Need, room: Room, going: _Use) -> bool:
        """Whether the card itself has too little: its word is about now, and what goes gives back what it had."""
        if room.free is None or need.reserved is None:
            return False
        return room.free + going.amount < need.reserved + _MARGIN

    def _over_quota(self, gone: Mapping[str, _Use]) -> bool:
        if self.quota is None:
            return False
        used = sum(card != SLOTS and use.count > gone.get(card, _UNUSED).count for card, use in self._uses.items())
        return used >= self.quota

    def _sum(self, instances: Collection[str]) -> Mapping[str, _Use]:
        """What these have reserved, by card."""
        uses: dict[str, _Use] = {}
        for instance in set(instances):
            made = self.reservations.get(instance)
            if made is not None:
                uses.setdefault(made.card, _Use()).add(made)
        return uses

    def _reservation(self, need: Need, room: Room) -> Reservation:
        if not need.gpu:
            return Reservation(card=room.card, amount=1, exclusive=False)
        exclusive = self._exclusive(need, room)
        amount = room.total if exclusive or need.reserved is None else need.reserved
        return Reservation(card=room.card, amount=amount, exclusive=exclusive)

    def _could(self, need: Need, room: Room) -> bool:
        """Whether it fits on this card if nothing else is there."""
        return not room.closed and self._suits(need, room) and self._most(need, room) > 0

    @staticmethod
    def _suits(need: Need, room: Room) -> bool:
        """A card whose type nobody knows suits whoever asks for one."""
        if need.gpu is (room.card == SLOTS):
            return False
        return need.type is None or room.type is None or need.type == room.type

    @staticmethod
    def _exclusive(need: Need, room: Room) -> bool:
        """Without an amount it is a whole card whatever the mode: there would be nothing left to share."""
        if need.mode is not None and need.reserved is not None:
            return need.mode == "exclusive"
        return need.reserved is None or 2 * need.reserved >= room.total

    def _most(self, need: Need, room: Room) -> int:
        """How many the card has room for."""
        if not need.gpu:
            return room.total
        if need.reserved is None or self._exclusive(need, room):
            return int(need.reserved is None or need.reserved <= room.total)
        return max(room.total - _OVERHEAD, 0) // need.reserved


def best(fitting: Mapping[str, int]) -> str | None:
    """The card on which the least is left; None: there is none."""
    return min(fitting, key=lambda card: (fitting[card], card), default=None)
