"""Usage adds up, and days are UTC days."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from penstock.usage import NOTHING, Usage, day_of, last_days, length


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_usage_adds_up_field_by_field() -> None:
    one, other = Usage(calls=1, on_demand=5, gpu=2), Usage(calls=2, provisioned=7)
    assert one + other == Usage(calls=3, on_demand=5, gpu=2, provisioned=7)
    assert one + other - other == one
    assert one + NOTHING == one


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2026-03-01T00:00:00", "2026-03-01"),
        ("2026-03-01T23:59:59.999", "2026-03-01"),
        ("2026-03-02T00:00:00", "2026-03-02"),
    ],
)
def test_a_day_begins_at_midnight_utc(moment: str, day: str) -> None:
    assert day_of(at(moment)) == day


def test_the_last_days_end_today_and_cross_months() -> None:
    assert last_days(at("2024-03-01T12:00:00"), 3) == ["2024-02-28", "2024-02-29", "2024-03-01"]
    assert last_days(at("2024-03-01T12:00:00"), 1) == ["2024-03-01"]


def test_today_is_only_as_long_as_it_has_lasted() -> None:
    assert length(at("2026-03-01T00:00:01"), 1) == 1_000
    assert length(at("2026-03-01T12:00:00"), 2) == 36 * 3_600_000
    assert length(at("2026-03-01T00:00:00"), 1) == 1, "nobody divides by nothing"
