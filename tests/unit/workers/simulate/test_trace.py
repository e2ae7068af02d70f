"""A request log: what is read, and what is said about a line that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.errors import ConfigurationError
from workers.simulate.trace import Request, parse, read


def test_seconds_with_a_header_begin_at_zero_and_are_sorted() -> None:
    found = parse(["time,function,duration", "12,b,0.5", "", "10,a,2"], "log")
    assert found == (Request(at=0, function="a", duration=2), Request(at=2, function="b", duration=0.5))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:01.5Z"),
        ("2026-01-31T12:00:00+00:00", "2026-01-31T13:00:01.5+01:00"),
        ("2026-01-31 12:00:00Z", "2026-01-31 12:00:01.5Z"),
    ],
)
def test_times_may_be_dates(first: str, second: str) -> None:
    assert [one.at for one in parse([f"{first},a,1", f"{second},a,1"], "log")] == [0.0, 1.5]


def test_a_fourth_field_says_whether_a_client_waits() -> None:
    lines = ["time,function,duration,held", "0,a,1,true", "1,a,1,False", "2,a,1,"]
    assert [one.held for one in parse(lines, "log")] == [True, False, False]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("1,a", "log:3: 2 fields; expected time,function,duration"),
        ("1,a,1,true,x", "log:3: 5 fields"),
        ("noon,a,1", "log:3: time 'noon'; expected seconds (12.5) or RFC 3339 (2026-01-31T12:00:00Z)"),
        ("2026-01-31,a,1", "log:3: time '2026-01-31'; expected seconds"),
        ("inf,a,1", "log:3: time 'inf'; expected a finite number"),
        ("1, ,1", "log:3: no function"),
        ("1,a,-1", "log:3: duration '-1'; expected seconds, 0 or more"),
        ("1,a,nan", "log:3: duration 'nan'"),
        ("1,a,1,perhaps", "log:3: held 'perhaps'; expected true or false"),
        ("2026-01-31T12:00:00Z,a,1", "log:3: '2026-01-31T12:00:00Z'; all times must be seconds, or all RFC 3339"),
    ],
)
def test_a_bad_line_is_named_with_what_is_expected(line: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(["time,function,duration", "0,a,1", line], "log")
    assert str(caught.value).startswith(complaint)


def test_a_log_without_requests_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "empty.csv"
    file.write_text("time,function,duration\n")
    with pytest.raises(ConfigurationError, match=r"empty\.csv: no requests"):
        read(file)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read(tmp_path / "nowhere.csv")


def test_a_log_names_its_functions(tmp_path: Path) -> None:
    file = tmp_path / "day.csv"
    file.write_text("\ufefftime,function,duration\r\n5,b,1\r\n0,a,1\r\n")
    found = read(file, cards=3)
    assert (found.name, sorted(found.profiles), found.length, found.cards) == ("day", ["a", "b"], 5.0, 3)
