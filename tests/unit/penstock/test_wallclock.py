"""Wall time to instants and back, at the hours that summer time skips and repeats."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.wallclock import instant, shown, zone

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"
CHANGES = {
    # instants at which the clock changes; in Lord Howe it changes by half an hour
    BERLIN: ("2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z"),
    NEW_YORK: ("2026-03-08T07:00:00Z", "2026-11-01T06:00:00Z"),
    LORD_HOWE: ("2026-10-03T15:30:00Z", "2026-04-04T15:00:00Z"),
}


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def wall(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("name", "local", "expected"),
    [
        (BERLIN, "2026-01-15T09:00:00", "2026-01-15T08:00:00Z"),
        (BERLIN, "2026-07-15T09:00:00", "2026-07-15T07:00:00Z"),
        pytest.param(BERLIN, "2026-03-29T01:59:59", "2026-03-29T00:59:59Z", id="last before the gap"),
        pytest.param(BERLIN, "2026-03-29T02:00:00", "2026-03-29T01:00:00Z", id="first skipped: at the jump"),
        pytest.param(BERLIN, "2026-03-29T02:30:00", "2026-03-29T01:00:00Z", id="skipped: at the jump"),
        pytest.param(BERLIN, "2026-03-29T03:00:00", "2026-03-29T01:00:00Z", id="first after the gap"),
        pytest.param(BERLIN, "2026-10-25T02:30:00", "2026-10-25T00:30:00Z", id="repeated: the first pass"),
        pytest.param(BERLIN, "2026-10-25T03:00:00", "2026-10-25T02:00:00Z", id="after both passes"),
        (NEW_YORK, "2026-03-08T02:30:00", "2026-03-08T07:00:00Z"),
        (NEW_YORK, "2026-11-01T01:30:00", "2026-11-01T05:30:00Z"),
        (NEW_YORK, "2026-11-01T02:00:00", "2026-11-01T07:00:00Z"),
        (LORD_HOWE, "2026-10-04T02:15:00", "2026-10-03T15:30:00Z"),
        (None, "2026-03-29T02:30:00", "2026-03-29T02:30:00Z"),
    ],
)
def test_a_wall_time_is_one_instant(name: str | None, local: str, expected: str) -> None:
    assert instant(wall(local), zone(name)) == at(expected)


@pytest.mark.parametrize(
    ("name", "now", "expected"),
    [
        (BERLIN, "2026-03-29T00:59:59Z", "2026-03-29T01:59:59"),
        (BERLIN, "2026-03-29T01:00:00Z", "2026-03-29T03:00:00"),
        (BERLIN, "2026-10-25T00:59:59Z", "2026-10-25T02:59:59"),
        pytest.param(
            BERLIN, "2026-10-25T01:00:00Z", "2026-10-25T02:59:59", id="the second pass shows nothing new"
        ),
        pytest.param(BERLIN, "2026-10-25T01:59:59Z", "2026-10-25T02:59:59", id="to its end"),
        (BERLIN, "2026-10-25T02:00:00Z", "2026-10-25T03:00:00"),
        (NEW_YORK, "2026-11-01T06:20:00Z", "2026-11-01T01:59:59"),
        (LORD_HOWE, "2026-04-04T15:10:00Z", "2026-04-05T01:59:59"),
    ],
)
def test_what_a_clock_has_shown(name: str, now: str, expected: str) -> None:
    assert shown(at(now), zone(name)) == wall(expected)
    assert shown(at(now) + 0.999, zone(name)) == wall(expected), "whole seconds"


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([(name, change) for name, changes in CHANGES.items() for change in changes]),
    st.integers(-9000, 9000),
    st.integers(0, 9000),
)
def test_later_on_the_wall_is_never_earlier_and_is_shown_then(
    place: tuple[str, str], offset: int, later: int
) -> None:
    name, change = place
    around = datetime.fromisoformat(change).astimezone(zone(name)).replace(tzinfo=None)
    one = around + timedelta(seconds=offset)
    other = one + timedelta(seconds=later)
    assert instant(one, zone(name)) <= instant(other, zone(name))
    happens = instant(one, zone(name))
    assert shown(happens - 1, zone(name)) < one <= shown(happens, zone(name))


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "Europe", "../etc/passwd", "/etc/localtime", "x" * 300])
def test_an_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError) as caught:
        zone(name)
    assert str(caught.value) == f"{name!r} is not a time zone; allowed are IANA names such as Europe/Berlin"


def test_no_zone_is_utc() -> None:
    assert datetime(2026, 1, 1, tzinfo=zone(None)) == datetime(2026, 1, 1, tzinfo=UTC)
