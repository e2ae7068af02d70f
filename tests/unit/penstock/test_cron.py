"""Cron expressions: what they allow, when they fire, and what they say when they are wrong."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.cron import parse


def wall(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("fields", "after", "expected"),
    [
        ("0 0 22 * * *", "2026-01-15T21:59:59", "2026-01-15T22:00:00"),
        ("0 0 22 * * *", "2026-01-15T22:00:00", "2026-01-16T22:00:00"),
        ("* * * * * *", "2026-12-31T23:59:59", "2027-01-01T00:00:00"),
        ("15/20 * * * * ?", "2026-01-15T10:00:35", "2026-01-15T10:00:55"),
        ("0 5/15 9 * * *", "2026-01-15T09:05:00", "2026-01-15T09:20:00"),
        ("0 10-30/10 9 * * *", "2026-01-15T09:30:00", "2026-01-16T09:10:00"),
        ("0 0,30 8,20 * * *", "2026-01-15T08:30:00", "2026-01-15T20:00:00"),
        ("0 0 0 31 * ?", "2026-01-31T00:00:00", "2026-03-31T00:00:00"),
        ("0 0 0 29 2 ?", "2024-02-29T00:00:00", "2028-02-29T00:00:00"),
        ("0 0 0 29 2 ?", "2096-02-29T00:00:00", "2104-02-29T00:00:00"),
        ("0 0 9 1 JAN,jul ?", "2026-01-02T00:00:00", "2026-07-01T09:00:00"),
        ("0 0 22-2/2 * * *", "2026-01-15T22:00:00", "2026-01-16T00:00:00"),
    ],
)
def test_the_next_firing(fields: str, after: str, expected: str) -> None:
    assert parse(fields).following(wall(after)) == wall(expected)


@pytest.mark.parametrize(
    ("fields", "now", "expected"),
    [
        ("0 0 22 * * *", "2026-01-15T22:00:00", "2026-01-15T22:00:00"),
        ("0 0 22 * * *", "2026-01-15T21:59:59", "2026-01-14T22:00:00"),
        ("30 59 23 31 12 ?", "2026-06-01T00:00:00", "2025-12-31T23:59:30"),
    ],
)
def test_the_last_firing(fields: str, now: str, expected: str) -> None:
    assert parse(fields).latest(wall(now)) == wall(expected)


@pytest.mark.parametrize(
    ("weekday", "day"),
    # 2026-06-01 is a Monday.
    [("1", 1), ("MON", 1), ("2", 2), ("5", 5), ("fri", 5), ("6", 6), ("SAT", 6), ("7", 7), ("SUN", 7)],
)
def test_one_is_monday_and_seven_is_sunday(weekday: str, day: int) -> None:
    assert parse(f"0 0 9 ? * {weekday}").following(wall("2026-06-01T00:00:00")) == datetime(2026, 6, day, 9)


def test_weekdays_go_round() -> None:
    cron = parse("0 0 9 ? * SAT-MON")
    assert cron.weekdays == (1, 6, 7)
    assert parse("0 0 9 ? * MON-SUN").weekdays == parse("0 0 9 ? * 1-7").weekdays == (1, 2, 3, 4, 5, 6, 7)


def test_a_day_of_the_month_or_of_the_week_is_enough() -> None:
    # 13 June 2026 is a Saturday; Fridays are 5, 12, 19, 26.
    cron, found = parse("0 0 0 13 6 FRI"), wall("2026-06-01T00:00:00")
    days = []
    while (found := cron.following(found) or wall("2027-01-01T00:00:00")).year == 2026:
        days.append(found.day)
    assert days == [5, 12, 13, 19, 26]


NUMBERS = "'{}' is not understood; allowed are {}, with * , - /"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("0 9 * * *", "it has 5 fields; allowed are six: Sec Min Hour DoM Month DoW"),
        ("0 0 9 * * * 2026", "it has 7 fields; allowed are six: Sec Min Hour DoM Month DoW"),
        ("", "it has 0 fields; allowed are six: Sec Min Hour DoM Month DoW"),
        ("60 0 9 * * *", "seconds: " + NUMBERS.format("60", "0 to 59")),
        ("0 99 9 * * *", "minutes: " + NUMBERS.format("99", "0 to 59")),
        ("0 0 24 * * *", "hours: " + NUMBERS.format("24", "0 to 23")),
        ("0 0 9 0 * *", "day of month: " + NUMBERS.format("0", "1 to 31") + " ?"),
        ("0 0 9 L * *", "day of month: " + NUMBERS.format("L", "1 to 31") + " ?"),
        ("0 0 9 * 13 *", "month: " + NUMBERS.format("13", "1 to 12 or JAN to DEC")),
        ("0 0 9 ? * 0", "day of week: " + NUMBERS.format("0", "1 to 7 or MON to SUN") + " ?"),
        ("0 0 9 ? * MON#2", "day of week: " + NUMBERS.format("MON#2", "1 to 7 or MON to SUN") + " ?"),
        ("? 0 9 * * *", "seconds: " + NUMBERS.format("?", "0 to 59")),
        ("0 */0 9 * * *", "minutes: " + NUMBERS.format("*/0", "0 to 59")),
        ("0 */60 9 * * *", "minutes: " + NUMBERS.format("*/60", "0 to 59")),
        ("0 1,,2 9 * * *", "minutes: " + NUMBERS.format("1,,2", "0 to 59")),
        ("0 *-5 9 * * *", "minutes: " + NUMBERS.format("*-5", "0 to 59")),
        ("0 -5 9 * * *", "minutes: " + NUMBERS.format("-5", "0 to 59")),
        ("0 \u0663 9 * * *", "minutes: " + NUMBERS.format("\u0663", "0 to 59")),
        ("R 0 9 * * *", "seconds: " + NUMBERS.format("R", "0 to 59")),
        ("0 0 9 30 2 ?", "it never fires; none of its months has such a day"),
        ("0 0 9 31 4,6,9,11 ?", "it never fires; none of its months has such a day"),
    ],
)
def test_a_wrong_one_says_where_and_what_is_allowed(fields: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(fields)
    assert str(caught.value) == message


def values(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    item = st.one_of(
        st.just("*"),
        number.map(str),
        st.tuples(number, number).map(lambda ends: f"{ends[0]}-{ends[1]}"),
        st.tuples(number, st.integers(1, high)).map(lambda pair: f"{pair[0]}/{pair[1]}"),
    )
    return st.lists(item, min_size=1, max_size=2).map(",".join)


expressions = st.tuples(
    values(0, 59), values(0, 59), values(0, 23), values(1, 28), st.just("*"), st.sampled_from("?17*")
)


@settings(max_examples=60, deadline=None)
@given(expressions, st.integers(0, 3 * 86_400))
def test_latest_and_following_are_what_counting_finds(fields: tuple[str, ...], offset: int) -> None:
    cron = parse(" ".join(fields))
    now = datetime(2026, 2, 27) + timedelta(seconds=offset)

    def fires(time: datetime) -> bool:
        hours, minutes, seconds = cron.clock
        either = len(cron.days) < 31 and len(cron.weekdays) < 7
        days = time.day in cron.days, time.isoweekday() in cron.weekdays
        clock = time.hour in hours and time.minute in minutes and time.second in seconds
        return clock and (any(days) if either else all(days))

    last = next((t for t in (now - timedelta(seconds=s) for s in range(7200)) if fires(t)), None)
    after = next((t for t in (now + timedelta(seconds=s) for s in range(1, 7200)) if fires(t)), None)
    found, following = cron.latest(now), cron.following(now)
    assert found is not None and following is not None
    assert found == last if last is not None else found <= now - timedelta(seconds=7200)
    assert following == after if after is not None else following >= now + timedelta(seconds=7200)
