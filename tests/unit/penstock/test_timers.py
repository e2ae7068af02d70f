"""When timers are due: counted from their beginning, or by a clock on the wall that jumps twice a year."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.timers import around, parse


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def test_every_counts_from_the_beginning() -> None:
    begun = 1_000_123
    first = around("@every 90s", None, since_ms=begun, now_ms=begun)
    assert (first.last, first.next) == (None, begun + 90_000)
    at_due = around("@every 90s", None, since_ms=begun, now_ms=begun + 90_000)
    assert (at_due.last, at_due.next) == (begun + 90_000, begun + 180_000)
    assert around("@every 90s", None, since_ms=begun, now_ms=begun - 5).last is None, "a clock that was set back"


@pytest.mark.parametrize(
    ("text", "seconds"), [("@every 1m", 60), ("@every 1h30m", 5400), (" @every  90s ", 90), ("@every 7d", 604_800)]
)
def test_spellings_of_every(text: str, seconds: int) -> None:
    assert parse(text) == seconds


@pytest.mark.parametrize("text", ["@every", "@every 0s", "@every 1.5m", "@hourly", "@every 1m 30s", "@every 400d"])
def test_what_is_no_schedule(text: str) -> None:
    with pytest.raises(ValueError, match="@every"):
        parse(text)


def test_cron_in_its_zone() -> None:
    dues = around("0 30 4 * * *", "Europe/Berlin", since_ms=0, now_ms=ms("2026-07-01T03:00:00"))
    assert (dues.last, dues.next) == (ms("2026-07-01T02:30:00"), ms("2026-07-02T02:30:00"))
    winter = around("0 30 4 * * *", "Europe/Berlin", since_ms=0, now_ms=ms("2026-12-01T03:00:00"))
    assert winter.next == ms("2026-12-01T03:30:00")


def test_what_was_due_before_the_beginning_is_not_owed() -> None:
    since = ms("2026-07-01T00:00:30")
    assert around("0 * * * * *", None, since_ms=since, now_ms=since + 10).last is None
    assert around("0 * * * * *", None, since_ms=since, now_ms=since + 30_000).last == ms("2026-07-01T00:01:00")


def walk(schedule: str, zone: str | None, since: int, until: int) -> list[int]:
    """Every due time, one after the other as a timer takes them."""
    found: list[int] = []
    due = around(schedule, zone, since_ms=since, now_ms=since).next
    while due is not None and due <= until:
        found.append(due)
        due = around(schedule, zone, since_ms=since, now_ms=due).next
    return found


def test_each_hour_of_the_days_on_which_the_clock_jumps_comes_once() -> None:
    spring = walk("0 30 * * * *", "Europe/Berlin", ms("2026-03-28T22:00:00"), ms("2026-03-29T04:00:00"))
    assert len(spring) == len(set(spring))
    # 02:30 is skipped there, and comes at the jump.
    assert ms("2026-03-29T01:00:00") in spring
    autumn = walk("0 30 2 * * *", "Europe/Berlin", ms("2026-10-24T22:00:00"), ms("2026-10-25T22:00:00"))
    assert autumn == [ms("2026-10-25T00:30:00")], "the first of the two"


@given(
    since=st.integers(0, 2**41),
    later=st.integers(0, 10**10),
    schedule=st.sampled_from(["@every 1s", "@every 7m", "0 0 4 ? * MON", "*/5 * * * * *"]),
    zone=st.sampled_from([None, "Europe/Berlin", "Australia/Lord_Howe"]),
)
def test_now_is_always_between_the_last_and_the_next(
    since: int, later: int, schedule: str, zone: str | None
) -> None:
    now = since + later
    dues = around(schedule, zone, since_ms=since, now_ms=now)
    assert dues.next is not None
    assert dues.next > now
    assert dues.last is None or since < dues.last <= now
