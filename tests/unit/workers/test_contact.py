"""How long a process has been in uninterrupted contact with Redis."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.contact import Contact


def after(*answers: float) -> Contact:
    contact = Contact()
    for moment in answers:
        contact.answered(moment)
    return contact


@pytest.mark.parametrize(
    ("answers", "now", "seconds"),
    [
        ([], 100.0, 0.0),
        ([100.0], 100.0, 0.0),
        ([100.0], 103.0, 3.0),
        ([100.0], 103.1, 0.0),
        ([100.0, 103.0, 106.0], 107.0, 7.0),
        ([100.0, 103.1], 104.0, 0.9),
        ([100.0, 101.0, 160.0, 161.0], 162.0, 2.0),
    ],
)
def test_contact_counts_from_the_first_of_answers_that_came_within_three_seconds(
    answers: list[float], now: float, seconds: float
) -> None:
    assert after(*answers).seconds(now) == pytest.approx(seconds)


def test_a_process_that_stood_still_has_no_contact_until_the_next_answer() -> None:
    contact = after(100.0, 102.0)
    assert contact.seconds(160.0) == 0.0
    contact.answered(160.0)
    assert contact.seconds(161.0) == 1.0


def test_an_outage_ends_contact_at_once() -> None:
    contact = after(100.0, 102.0)
    contact.lost()
    assert contact.seconds(102.0) == 0.0
    contact.answered(102.5)
    assert contact.seconds(103.0) == 0.5


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 5), max_size=20), st.floats(0, 5))
def test_it_never_counts_a_time_without_answers(gaps: list[float], ahead: float) -> None:
    now, contact, since = 1000.0, Contact(), None
    for gap in gaps:
        now += gap
        since = now if since is None or gap > 3 else since
        contact.answered(now)
    found = contact.seconds(now + ahead)
    assert found == (0.0 if since is None or (now + ahead) - now > 3 else now + ahead - since)
