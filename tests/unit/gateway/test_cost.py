"""Costs over HTTP: the figures of the days asked for, at the prices of the settings or of the request."""

from __future__ import annotations

from typing import Any

import pytest

from penstock import clock
from penstock.usage import Usage, last_days
from tests.unit.gateway.conftest import House

USED = Usage(
    calls=5,
    on_demand=10_000,
    on_demand_busy=1_000,
    on_demand_gb=40_000,
    on_demand_busy_gb=4_000,
    cold_start=2_000,
    gpu=2_500,
)
NOON_MS = 1_772_366_400_000


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """2026-03-01T12:00:00Z."""
    monkeypatch.setattr(clock, "now_ms", lambda: NOON_MS)


async def used(house: House, day: str, usage: Usage, *, batch: str = "1", function: str | None = None) -> None:
    await house.store.meters.add(function or house.function, day, usage, epoch=house.epoch, batch=batch)


async def get(house: House, query: str = "") -> tuple[int, dict[str, Any]]:
    response = await house.client.get(f"/v1/cost{query}")
    return response.status, await response.json()


async def test_today_is_shown_per_function_and_in_total(house: House) -> None:
    await used(house, "2026-03-01", USED)
    status, said = await get(house)
    assert status == 200
    figures = {
        "invocations": 5,
        "on_demand_seconds": 10.0,
        "on_demand_busy_seconds": 1.0,
        "provisioned_seconds": 0.0,
        "provisioned_busy_seconds": 0.0,
        "cold_start_seconds": 2.0,
        "gpu_seconds": 2.5,
        "gb_seconds": 4.0,
        "held_gb_seconds": 40.0,
        "utilization": 0.1,
        "cost": {"on_demand": 0.000072, "provisioned": 0.0, "total": 0.000072},
        "break_even": {"provisioned": 1.0, "card": None},
        "card": None,
    }
    assert said == {
        "days": ["2026-03-01"],
        "price": 0.000018,
        "currency": "USD",
        "discount": 0.0,
        "card_price_per_hour": None,
        "functions": [{"function": house.function, **figures}],
        "total": figures,
    }


async def test_nothing_used_costs_nothing(house: House) -> None:
    status, said = await get(house)
    assert (status, said["functions"], said["total"]["cost"]["total"]) == (200, [], 0.0)
    assert said["total"]["utilization"] is None


async def test_days_are_added_and_the_total_is_of_all_functions(house: House) -> None:
    days = last_days(NOON_MS / 1000, 3)
    for day in days:
        await used(house, day, USED)
    await used(house, days[0], Usage(calls=1), function="deleted-long-ago")
    _, said = await get(house, "?days=3")
    assert said["days"] == ["2026-02-27", "2026-02-28", "2026-03-01"]
    assert {one["function"]: one["invocations"] for one in said["functions"]} == {
        "deleted-long-ago": 1,
        house.function: 15,
    }
    assert said["total"]["invocations"] == 16
    assert (await get(house, "?days=2"))[1]["total"]["invocations"] == 10


async def test_a_request_may_bring_its_own_prices(house: House) -> None:
    await used(house, "2026-03-01", USED + Usage(provisioned=1_000, provisioned_gb=4_000))
    _, said = await get(house, "?price=0.5&card_price=2&discount=0.25")
    assert said["total"]["cost"] == {"on_demand": 2.0, "provisioned": 1.5, "total": 3.5}
    # The card has run since midnight, 12 h ago.
    assert (said["total"]["card"]["cards"], said["total"]["card"]["cost"]) == (1, 24.0)
    assert said["total"]["card"]["saved"] == 20.5
    assert said["total"]["break_even"]["provisioned"] == 0.75
    assert said["card_price_per_hour"] == 2.0


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("days=0", "days='0' is not a number from 1 to 400"),
        ("days=401", "from 1 to 400"),
        ("days=-1", "from 1 to 400"),
        ("days=all", "from 1 to 400"),
        ("days=", "from 1 to 400"),
        ("price=cheap", "price='cheap' is not a number"),
        ("price=0", "the price must be above 0"),
        ("price=nan", "the price must be above 0"),
        ("card_price=-1", "the card price must be above 0"),
        ("card_price=", "card_price='' is not a number"),
        ("discount=1", "the discount must be a share"),
    ],
)
async def test_bad_questions_are_refused(house: House, query: str, says: str) -> None:
    status, said = await get(house, f"?{query}")
    assert (status, said["code"]) == (400, "invalid_request")
    assert says in said["detail"]
