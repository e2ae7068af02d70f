"""The bill: the examples of Function Compute's documents, break-even, and what holds for every usage."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.billing import Tariff, bill, break_even_card, estimate
from penstock.usage import NOTHING, Usage

T4 = Tariff(card_price=2.0)
DAY = 86_400_000

amounts = st.integers(0, 10**12)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Of instances whose busy time is part of their lifetime."""
    provisioned, on_demand = draw(amounts), draw(amounts)
    busy = draw(st.integers(0, provisioned)), draw(st.integers(0, on_demand))
    gb = draw(st.integers(1, 141))
    return Usage(
        calls=draw(st.integers(0, 10**6)),
        provisioned=provisioned,
        provisioned_busy=busy[0],
        provisioned_gb=provisioned * gb,
        on_demand=on_demand,
        on_demand_busy=busy[1],
        on_demand_gb=on_demand * gb,
        on_demand_busy_gb=busy[1] * gb,
    )


def test_example_1_of_the_documents() -> None:
    found = estimate(T4, calls=3_600, seconds=1.0, gb=4.0)
    assert found.on_demand == pytest.approx(0.2592)
    assert found.utilization == pytest.approx(0.0416667, abs=1e-6)
    assert found.card is not None
    assert (found.card.cards, found.card.cost) == (1, 48.0)
    assert found.card.share > 0.99


def test_example_2_of_the_documents() -> None:
    found = estimate(T4, calls=50_000, seconds=1.0, gb=4.0)
    assert found.on_demand == pytest.approx(3.6)
    assert found.utilization == pytest.approx(0.5787, abs=1e-4)
    assert found.card is not None
    assert found.card.cost == 48.0
    assert 0.90 < found.card.share < 0.99


def test_the_examples_as_a_day_of_usage() -> None:
    used = Usage(calls=3_600, on_demand=DAY, on_demand_busy=3_600_000, on_demand_busy_gb=14_400_000)
    billed = bill(used, T4, DAY)
    assert billed.total == pytest.approx(0.2592)
    assert billed.utilization == pytest.approx(3_600 / 86_400)
    assert billed.card is not None
    assert billed.card.cost == 48.0
    assert billed.card.saved == pytest.approx(47.7408)


def test_provisioned_is_billed_by_lifetime_and_on_demand_by_busy_time() -> None:
    used = Usage(
        provisioned=100_000,
        provisioned_busy=1_000,
        provisioned_gb=400_000,
        on_demand=100_000,
        on_demand_busy=1_000,
        on_demand_gb=400_000,
        on_demand_busy_gb=4_000,
    )
    billed = bill(used, Tariff(price=0.5), DAY)
    assert (billed.provisioned, billed.on_demand, billed.total) == (200.0, 2.0, 202.0)
    assert billed.utilization == pytest.approx(0.01)
    assert bill(used, Tariff(price=0.5, discount=0.25), DAY).provisioned == pytest.approx(150.0)


def test_who_used_nothing_pays_nothing_and_has_no_utilization() -> None:
    billed = bill(NOTHING, Tariff(), DAY)
    assert (billed.total, billed.utilization, billed.card, billed.break_even_card) == (0.0, None, None, None)


@pytest.mark.parametrize(
    ("gb", "card_price", "share"),
    [
        (4.0, 2.0, 7.716),  # above 1: busy all day, it still costs less than the card
        (48.0, 2.0, 0.643),
        (48.0, 1.0, 0.3215),
        (48.0, None, None),
        (None, 2.0, None),
    ],
)
def test_where_a_card_of_ones_own_breaks_even(
    gb: float | None, card_price: float | None, share: float | None
) -> None:
    found = break_even_card(Tariff(card_price=card_price), gb)
    assert found == (None if share is None else pytest.approx(share, abs=1e-3))


@given(st.floats(0, 0.99), st.floats(0.1, 141.0), st.floats(1e-6, 1e-3), st.floats(0.01, 100.0))
def test_at_break_even_both_ways_cost_the_same(
    discount: float, gb: float, price: float, card_price: float
) -> None:
    tariff = Tariff(price=price, discount=discount, card_price=card_price)
    hour = gb * 3_600 * price
    found = estimate(tariff, calls=1, seconds=1.0, gb=gb)
    assert hour * found.break_even_provisioned == pytest.approx(hour * (1 - discount))
    assert found.break_even_card is not None
    assert hour * found.break_even_card == pytest.approx(card_price)


def test_more_busy_hours_than_a_card_has_need_more_cards() -> None:
    used = Usage(on_demand=3 * DAY, on_demand_busy=2 * DAY + 1)
    billed = bill(used, T4, DAY)
    assert billed.card is not None
    assert (billed.card.cards, billed.card.cost) == (3, 144.0)
    found = estimate(T4, calls=100_000, seconds=1.0, gb=4.0)
    assert found.card is not None
    assert found.card.cards == 2
    assert found.utilization == pytest.approx(100_000 / 172_800)


@given(usages(), st.integers(1, 400 * DAY))
def test_utilization_is_a_share(used: Usage, period: int) -> None:
    share = bill(used, Tariff(), period).utilization
    assert (share is None) == (used.lifetime == 0)
    assert share is None or 0 <= share <= 1


@given(usages(), usages(), st.integers(1, 50))
def test_money_is_linear(one: Usage, other: Usage, times: int) -> None:
    tariff = Tariff(discount=0.2)
    single = bill(one, tariff, DAY).total
    assert bill(one + other, tariff, DAY).total == pytest.approx(single + bill(other, tariff, DAY).total)
    many = Usage(**{name: amount * times for name, amount in asdict(one).items()})
    assert bill(many, tariff, DAY).total == pytest.approx(times * single)
    dearer = Tariff(price=tariff.price * times, discount=0.2)
    assert bill(one, dearer, DAY).total == pytest.approx(times * single)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"price": 0.0}, "the price must be above 0"),
        ({"price": float("nan")}, "got nan"),
        ({"price": float("inf")}, "got inf"),
        ({"price": 1e-300}, "the price"),
        ({"card_price": -2.0}, "the card price must be above 0 and at most 1e\\+09 \\(got -2\\)"),
        ({"discount": 1.0}, "the discount must be a share from 0 to below 1"),
        ({"discount": float("nan")}, "the discount"),
    ],
)
def test_a_price_that_is_none_is_refused(fields: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Tariff(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("calls", "seconds", "gb", "says"),
    [
        (0, 1.0, 4.0, "invocations must be above 0"),
        (1, -1.0, 4.0, "seconds must be above 0"),
        (1, 1.0, float("nan"), "gb must be above 0"),
        (10, 1e300, 1e300, "more than can be estimated"),
    ],
)
def test_an_estimate_of_nothing_is_refused(calls: int, seconds: float, gb: float, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        estimate(Tariff(), calls=calls, seconds=seconds, gb=gb)
