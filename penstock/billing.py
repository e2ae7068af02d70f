"""What usage costs, as Function Compute bills it, and when another way would be cheaper. Pure.

On demand an instance costs what it runs for, provisioned what it lives for; GB-seconds are the measure of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from penstock.usage import Usage

_DAY = 86_400
_HOUR_MS = 3_600_000
_LEAST, _MOST = 1e-12, 1e9
"""Prices, so that no sum or ratio of theirs overflows."""


@dataclass(frozen=True, kw_only=True)
class Tariff:
    """Raises ValueError for a price that is none."""

    price: float = 0.000018
    """Of a GB-second."""
    currency: str = "USD"
    discount: float = 0.0
    """Share that provisioned GB-seconds are cheaper by, 0 to below 1."""
    card_price: float | None = None
    """Of an hour of a whole card elsewhere, on a cloud or of one's own; None: no comparison."""

    def __post_init__(self) -> None:
        for name, price in (("price", self.price), ("card price", self.card_price)):
            if price is not None and not _LEAST <= price <= _MOST:
                raise ValueError(f"the {name} must be above 0 and at most {_MOST:g} (got {price:g})")
        if not 0 <= self.discount < 1:
            raise ValueError(f"the discount must be a share from 0 to below 1 (got {self.discount:g})")


@dataclass(frozen=True, kw_only=True)
class CardBill:
    """The same work on cards that run all the time."""

    cards: int
    """The fewest that have that many busy hours; at least 1."""
    cost: float
    saved: float
    """Money that our bill is lower by; below 0: it is higher."""

    @property
    def share(self) -> float:
        """Of the cards' cost that is saved; below 0: ours is higher."""
        return self.saved / self.cost


@dataclass(frozen=True, kw_only=True)
class Bill:
    """Money in the tariff's currency."""

    on_demand: float
    """For the busy time of on-demand instances."""
    provisioned: float
    """For the lifetime of provisioned instances."""
    utilization: float | None
    """Busy time over lifetime, 0 to 1; None: nothing lived."""
    break_even_provisioned: float
    """Utilization of an instance from which it is cheaper provisioned than on demand."""
    break_even_card: float | None
    """The same of a card of one's own; above 1: never. None: no card price, or nothing lived."""
    card: CardBill | None
    """None: no card price."""

    @property
    def total(self) -> float:
        return self.on_demand + self.provisioned


def bill(usage: Usage, tariff: Tariff, period: int) -> Bill:
    """What was used within a period, in thousandths of seconds."""
    on_demand = tariff.price * usage.on_demand_busy_gb / 1000
    provisioned = tariff.price * (1 - tariff.discount) * usage.provisioned_gb / 1000
    lifetime = usage.lifetime
    gb = (usage.provisioned_gb + usage.on_demand_gb) / lifetime if lifetime else None
    return Bill(
        on_demand=on_demand,
        provisioned=provisioned,
        # Both are rounded down to whole milliseconds, tick by tick: the part can seem longer than the whole.
        utilization=min(usage.busy / lifetime, 1.0) if lifetime else None,
        break_even_provisioned=1 - tariff.discount,
        break_even_card=break_even_card(tariff, gb),
        card=_card(usage.busy, tariff, period, on_demand + provisioned),
    )


def break_even_card(tariff: Tariff, gb: float | None) -> float | None:
    """The share of the time that on-demand instances with so many GB must be busy to cost as much as a card that
    runs all the time; above 1: they never do. None: not known, or no card price."""
    if tariff.card_price is None or not gb:
        return None
    return tariff.card_price / 3600 / (tariff.price * gb)


def _card(busy: int, tariff: Tariff, period: int, ours: float) -> CardBill | None:
    if tariff.card_price is None:
        return None
    cards = max(-(-busy // period), 1)
    cost = cards * tariff.card_price * period / _HOUR_MS
    return CardBill(cards=cards, cost=cost, saved=cost - ours)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A day of calls that nobody has made yet. Money in the tariff's currency."""

    gb_seconds: float
    on_demand: float
    provisioned: float
    """For as many instances as must live all day to run them."""
    utilization: float
    """Busy time over the day of the fewest cards that have room for it, 0 to 1: as Function Compute's examples
    reckon it, which leave the instance's lifetime aside."""
    break_even_provisioned: float
    break_even_card: float | None
    """As in `Bill`."""
    card: CardBill | None
    """None: no card price."""


def estimate(tariff: Tariff, *, calls: int, seconds: float, gb: float) -> Estimate:
    """Of so many calls a day, each of so many seconds on an instance with so many GB. Raises ValueError."""
    for name, value in (("invocations", calls), ("seconds", seconds), ("gb", gb)):
        if not (isfinite(value) and value > 0):
            raise ValueError(f"{name} must be above 0 (got {value:g})")
    busy = calls * seconds
    if not isfinite(busy * gb) or busy > 1e12:
        raise ValueError(f"{calls} invocations of {seconds:g} s are more than can be estimated")
    cards = max(-(-round(busy * 1000) // (_DAY * 1000)), 1)
    on_demand = busy * gb * tariff.price
    return Estimate(
        gb_seconds=busy * gb,
        on_demand=on_demand,
        provisioned=cards * _DAY * gb * tariff.price * (1 - tariff.discount),
        utilization=min(busy / (cards * _DAY), 1.0),
        break_even_provisioned=1 - tariff.discount,
        break_even_card=break_even_card(tariff, gb),
        card=_card(round(busy * 1000), tariff, _DAY * 1000, on_demand),
    )
