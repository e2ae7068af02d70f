"""Rates as people write them, and what limits come to."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from penstock.limits import Limits, format_rate, parse_rate


@pytest.mark.parametrize(
    ("text", "rate", "shown"),
    [
        ("100/s", 100.0, "100/s"),
        ("60/m", 1.0, "1/s"),
        ("30/m", 0.5, "30/m"),
        ("1/h", 1 / 3600, "1/h"),
        ("5000/d", 5000 / 86_400, "5000/d"),
        ("0.5/s", 0.5, "30/m"),
        (" 2 / s ", 2.0, "2/s"),
        (20, 20.0, "20/s"),
    ],
)
def test_a_rate_is_read_and_shown(text: object, rate: float, shown: str) -> None:
    assert parse_rate(text) == rate
    assert format_rate(rate) == shown
    assert parse_rate(shown) == rate


@pytest.mark.parametrize(
    "text", ["", "100", "100/", "/s", "100/w", "-1/s", "0/s", "0.1/d", "9999999/s", True, None]
)
def test_what_is_no_rate_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="is not"):
        parse_rate(text)


def test_a_burst_is_a_second_of_the_rate_unless_it_is_given() -> None:
    assert Limits(rate=100.0).at_once == 100
    assert Limits(rate=0.1).at_once == 1
    assert Limits(rate=100.0, burst=5).at_once == 5
    assert Limits(rate=0.5).interval_ms == 2000


def test_no_limits_limit_nothing() -> None:
    assert not Limits().some
    assert not Limits(burst=3).some
    assert Limits(rate=1.0).some
    assert Limits(in_flight=1).some


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(ValidationError):
        Limits(in_flight=0)
    with pytest.raises(ValidationError):
        Limits.model_validate({"rates": "1/s"})
