"""When an `at` or a `cron` last fired, by its zone's clock."""

from __future__ import annotations

from datetime import datetime, timedelta
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.schedule import Firing, firing, parse
from penstock.wallclock import zone

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def fired(expression: str, name: str | None, now: str) -> tuple[float | None, float | None]:
    found = firing(expression, zone(name), at(now))
    return found.last, found.next


def test_at_fires_once() -> None:
    expression = "at(2026-06-01T09:00:00)"
    assert fired(expression, None, "2026-06-01T08:59:59Z") == (None, at("2026-06-01T09:00:00Z"))
    assert fired(expression, None, "2026-06-01T09:00:00Z") == (at("2026-06-01T09:00:00Z"), None)
    assert fired(expression, "Asia/Shanghai", "2026-06-01T09:00:00Z") == (at("2026-06-01T01:00:00Z"), None)


def test_without_a_zone_it_is_utc() -> None:
    last, following = fired("cron(0 0 22 * * *)", None, "2026-06-01T22:30:00Z")
    assert (last, following) == (at("2026-06-01T22:00:00Z"), at("2026-06-02T22:00:00Z"))


@pytest.mark.parametrize(
    ("expression", "name", "now", "last", "following"),
    [
        pytest.param(
            "cron(0 30 2 * * *)", BERLIN, "2026-03-29T00:59:59Z", "2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z",
            id="the hour that is skipped lies ahead",
        ),
        pytest.param(
            "cron(0 30 2 * * *)", BERLIN, "2026-03-29T01:00:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z",
            id="what is skipped fires at the jump",
        ),
        pytest.param(
            "cron(0 30 2 * * *)", BERLIN, "2026-10-25T01:40:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z",
            id="what is repeated fires once",
        ),
        pytest.param(
            "cron(0 30 2 * * *)", NEW_YORK, "2026-03-08T07:00:00Z", "2026-03-08T07:00:00Z",
            "2026-03-09T06:30:00Z", id="New York, skipped",
        ),
        pytest.param(
            "cron(0 30 1 * * *)", NEW_YORK, "2026-11-01T06:45:00Z", "2026-11-01T05:30:00Z",
            "2026-11-02T06:30:00Z", id="New York, repeated",
        ),
        pytest.param(
            "cron(0 0 9 * * *)", BERLIN, "2026-10-25T12:00:00Z", "2026-10-25T08:00:00Z", "2026-10-26T08:00:00Z",
            id="by the new offset after it",
        ),
    ],
)  # fmt: skip
def test_summer_time(expression: str, name: str, now: str, last: str, following: str) -> None:
    assert fired(expression, name, now) == (at(last), at(following))


AROUND = [
    (BERLIN, "2026-03-29T01:00:00Z"),
    (BERLIN, "2026-10-25T01:00:00Z"),
    (NEW_YORK, "2026-03-08T07:00:00Z"),
    (NEW_YORK, "2026-11-01T06:00:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
    (None, "2026-03-29T01:00:00Z"),
]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(AROUND),
    st.sampled_from(["*", "0", "30", "15,45", "*/7", "59"]),
    st.sampled_from(["*", "2", "1", "1,2", "0-3", "3"]),
    st.integers(-300, 300),
)
def test_it_fires_when_the_clock_first_reaches_or_jumps_past_a_time(
    place: tuple[str | None, str], minutes: str, hours: str, offset: int
) -> None:
    """By watching the clock each minute: what lies between what it showed so far and what it shows now is due."""
    name, change = place
    expression = f"cron(0 {minutes} {hours} * * *)"
    cron = parse(expression)
    assert not isinstance(cron, datetime)
    tick, end = int(at(change)) - 36_000, int(at(change)) + 36_000
    seen = datetime.fromtimestamp(tick - 60, zone(name)).replace(tzinfo=None)
    firings = []
    for second in range(tick, end, 60):
        now = datetime.fromtimestamp(second, zone(name)).replace(tzinfo=None)
        while seen < now:
            seen += timedelta(minutes=1)
            if seen.hour in cron.clock[0] and seen.minute in cron.clock[1]:
                firings.append(second)
    moment = at(change) + 60 * offset + 0.5
    last = max((one for one in firings if one <= moment), default=None)
    following = min((one for one in firings if one > moment), default=None)
    found = firing(expression, zone(name), moment)
    assert found.last == last if last is not None else (found.last or 0) < tick
    assert found.next == following if following is not None else (found.next or end) >= end


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(AROUND), st.lists(st.integers(-7200, 7200), min_size=2, max_size=20))
def test_what_was_known_gives_the_same_answer(place: tuple[str | None, str], offsets: list[int]) -> None:
    # Also for a clock that goes back.
    known: Firing | None = None
    for offset in offsets:
        now = at(place[1]) + offset
        known = firing("cron(0 */20 * * * *)", zone(place[0]), now, known)
        assert known == firing("cron(0 */20 * * * *)", zone(place[0]), now)


def test_what_was_known_ends_with_the_next_firing() -> None:
    known = firing("cron(0 0 9 * * *)", zone(None), at("2026-06-01T09:00:00Z"))
    assert firing("cron(0 0 9 * * *)", zone(None), at("2026-06-02T08:59:59Z"), known) is known
    later = firing("cron(0 0 9 * * *)", zone(None), at("2026-06-02T09:00:00Z"), known)
    assert (later.last, later.next) == (at("2026-06-02T09:00:00Z"), at("2026-06-03T09:00:00Z"))


def test_looked_at_each_second_it_costs_nothing() -> None:
    known: Firing | None = None
    began = perf_counter()
    for second in range(20_000):
        known = firing("cron(0 0 9 * * *)", zone(BERLIN), 1.78e9 + second, known)
    assert (perf_counter() - began) / 20_000 < 50e-6


ALLOWED = "allowed are at(yyyy-mm-ddThh:mm:ss) and cron(Sec Min Hour DoM Month DoW)"


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("rate(5 minutes)", f"'rate(5 minutes)' is no schedule; {ALLOWED}"),
        ("", f"'' is no schedule; {ALLOWED}"),
        ("0 0 9 * * *", f"'0 0 9 * * *' is no schedule; {ALLOWED}"),
        ("at(2026-06-01T09:00:00Z)", f"'at(2026-06-01T09:00:00Z)' is no schedule; {ALLOWED}"),
        (
            "at(2026-02-30T09:00:00)",
            f"'at(2026-02-30T09:00:00)' is no date and time: day is out of range for month; {ALLOWED}",
        ),
        (
            "cron(0/30 * * * *)",
            "'cron(0/30 * * * *)': it has 5 fields; allowed are six: Sec Min Hour DoM Month DoW",
        ),
    ],
)
def test_a_wrong_one_says_what_is_allowed(expression: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(expression)
    assert str(caught.value) == message
