"""Durations and sizes: read as people write them, shown so that they read back as the same value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from penstock.units import Duration, Size, format_duration, format_size, parse_duration, parse_size


class Limits(BaseModel):
    wait: Duration
    memory: Size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("90s", 90),
        ("1.5m", 90),
        ("24h", 86_400),
        ("7d", 604_800),
        (" 5 m ", 300),
        ("0s", 0),
        (90, 90),
        (0.5, 0.5),
        (0, 0),
    ],
)
def test_a_duration_is_a_number_and_a_unit_or_seconds(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "90", "s", "90sec", "5M", "1h30m", "-5s", "1e3s", "1.s", ".5s", "90s.", "5 minutes", "∞"],
)
def test_what_is_no_duration_is_refused_with_what_would_be_one(text: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_duration(text)

    assert str(refused.value) == (
        f"{text!r} is not a duration; write a number and ms, s, m, h or d, as in 90s or 5m"
    )


@pytest.mark.parametrize("value", [-1, -0.5, float("inf"), float("nan"), True, None, [], {"s": 5}, b"5s"])
def test_a_value_of_another_kind_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0B", 0),
        ("512B", 512),
        ("1KB", 1_000),
        ("1KiB", 1_024),
        ("16MB", 16_000_000),
        ("16MiB", 16 * 2**20),
        ("1.5GiB", 3 * 2**29),
        ("2GB", 2 * 10**9),
        (" 1 TiB ", 2**40),
        (4_096, 4_096),
    ],
)
def test_a_size_is_a_number_and_a_unit_or_bytes(text: object, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "2", "GiB", "2G", "2gib", "2GIB", "-1B", "1e3B", "2 bytes", "90s"])
def test_what_is_no_size_is_refused_with_what_would_be_one(text: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_size(text)

    assert str(refused.value) == (
        f"{text!r} is not a size; write a number and B, KiB, MiB, GiB, TiB, KB, MB or GB"
    )


@pytest.mark.parametrize("value", [-1, 1.5, float("inf"), True, None, [], b"2GiB"])
def test_a_value_of_another_kind_is_no_size(value: object) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"),
        (0.25, "250ms"),
        (1, "1s"),
        (90, "90s"),
        (300, "5m"),
        (86_400, "1d"),
        (90_000, "25h"),
        (1.5, "1500ms"),
    ],
)
def test_a_duration_is_shown_in_its_largest_whole_unit(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0B"), (1_000, "1000B"), (1_024, "1KiB"), (3 * 2**29, "1536MiB"), (2**31, "2GiB"), (2**40, "1TiB")],
)
def test_a_size_is_shown_in_its_largest_whole_unit(count: int, text: str) -> None:
    assert format_size(count) == text


@given(st.floats(0, 10**9))
def test_every_duration_reads_back_as_the_same_value(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.integers(0, 10**9), st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_a_duration_that_was_written_reads_back_after_it_was_shown(count: int, unit: str) -> None:
    seconds = parse_duration(f"{count}{unit}")

    assert parse_duration(format_duration(seconds)) == seconds


@given(st.integers(0, 2**50))
def test_every_size_reads_back_as_the_same_value(count: int) -> None:
    assert parse_size(format_size(count)) == count


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_duration, parse_size):
        try:
            assert parse(text) >= 0
        except ValueError as refused:
            assert repr(text) in str(refused)


def test_a_model_takes_text_and_shows_text() -> None:
    limits = Limits.model_validate({"wait": "5m", "memory": "2GiB"})

    assert (limits.wait, limits.memory) == (300.0, 2**31)
    assert limits.model_dump(mode="json") == {"wait": "5m", "memory": "2GiB"}
