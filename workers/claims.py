"""What fairness is asked and what it answers: claims, who holds places, starts and evictions. Pure values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from workers.placement import Need

RESIDENCY = 8.0
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
    patience: float = 30.0
    """Seconds that it should wait at most (its W)."""
    weight: float = 1.0
    without: float = float("inf")
    """Seconds since it last had an instance; inf: it never had one."""
    yielded: bool = False
    """It has made room for a function that has not got its place yet: that one comes first."""

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
    ends_in: float | None = 0.0
    """Seconds until what it runs will likely have ended; None: not known."""
    worth: float = 0.0
    """What it would cost to miss it; the least goes first."""

    @property
    def yields_in(self) -> float | None:
        """Seconds until it may make room for a function that has none; None: it does not, or that is not known."""
        if not self.spare or self.ends_in is None:
            return None
        stays = 0.0 if self.unqueued else max(RESIDENCY * self.cold_start - self.residence, 0.0)
        return stays + self.ends_in


@dataclass(frozen=True)
class Start:
    function: str
    card: str


@dataclass(frozen=True)
class Eviction:
    instance: str
    beneficiary: str
    """The function that gets its place."""


@dataclass
class Plan:
    starts: list[Start] = field(default_factory=list)
    evictions: list[Eviction] = field(default_factory=list)
    blocked: dict[str, str] = field(default_factory=dict)
    """Function -> why it does not get what it should have."""


class Debts:
    """Who made room for whom: else a function with the older queue would take back the place that it gave."""

    def __init__(self) -> None:
        self._owed: dict[str, set[str]] = {}
        """By function that has a place coming: those that made room for it."""

    def owe(self, beneficiary: str, function: str) -> None:
        """An instance of `function` goes for the beneficiary."""
        if function != beneficiary:
            self._owed.setdefault(beneficiary, set()).add(function)

    def settle(self, beneficiary: str) -> None:
        """It has its place, or wants none any more."""
        self._owed.pop(beneficiary, None)

    def mark(self, claims: Iterable[Claim]) -> list[Claim]:
        """The claims, with those that have yielded told apart."""
        yielded = set[str]().union(*self._owed.values())
        return [replace(claim, yielded=claim.function in yielded) for claim in claims]


def worth(clock: float, frequency: float, cold_start: float, need: Need) -> float:
    """Greedy-dual: what is used often, starts slowly and takes little room is kept longest. `clock` is the worth
    of the last one that was evicted when this one was last used: what is used no more falls behind."""
    return clock + frequency * cold_start / need.weight
