"""When a callback is tried again: ten tries over 75 h, and only where another try may help."""

from __future__ import annotations

import random

import pytest

from workers.retries import Answer, next_delay, settle, worth_retrying

HOUR = 3600.0


def test_there_are_ten_tries() -> None:
    delays = [next_delay(tries) for tries in range(1, 12)]
    assert [delay is None for delay in delays] == [False] * 9 + [True] * 2


def test_they_spread_over_75_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: low)
    delays = [next_delay(tries) for tries in range(1, 10)]
    assert delays == sorted(delay for delay in delays if delay is not None)
    assert 75 * HOUR <= sum(delay for delay in delays if delay is not None) < 76 * HOUR


def test_the_second_try_comes_within_seconds() -> None:
    delay = next_delay(1)
    assert delay is not None
    assert 5.0 <= delay <= 5.5


@pytest.mark.parametrize("tries", range(1, 10))
def test_a_pause_varies_by_a_tenth(tries: int) -> None:
    random.seed(7)
    drawn = [next_delay(tries) or 0.0 for _ in range(200)]
    assert 1.0 < max(drawn) / min(drawn) <= 1.1
    assert max(drawn) / min(drawn) > 1.08


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_a_status_that_says_later_is_worth_another_try(status: int) -> None:
    assert worth_retrying(status)


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 403, 404, 405, 410, 413, 422, 451, 499])
def test_another_status_is_final(status: int) -> None:
    assert not worth_retrying(status)


@pytest.mark.parametrize("what", ["progress", "output"])
def test_an_update_is_soon_given_up(what: str) -> None:
    assert [next_delay(tries, what) is None for tries in (1, 2, 3)] == [False, False, True]


def said(status: int | None, after: float | None = None) -> Answer:
    return Answer(status=status, error=f"answered {status}", retry_after=after)


def test_what_becomes_of_an_answer() -> None:
    assert settle(Answer(status=200), 1, "completed") == ("delivered", 0.0)
    assert settle(said(410), 1, "completed") == ("disabled", 0.0)
    for final in (302, 400, 404, 451):
        assert settle(said(final), 1, "completed") == ("dead", 0.0)
    for later in (None, 429, 500):
        assert settle(said(later), 1, "completed")[0] == "pending"
        assert settle(said(later), 10, "completed") == ("dead", 0.0)


def test_where_nothing_may_be_sent_nothing_is_tried_again() -> None:
    assert settle(Answer(error="leads to 10.0.0.1", refused=True), 1, "completed") == ("dead", 0.0)


def test_who_says_when_is_asked_no_sooner_and_not_for_ever() -> None:
    assert settle(said(429, after=600.0), 1, "completed") == ("pending", 600.0)
    assert settle(said(503, after=10 * 86_400.0), 1, "completed") == ("pending", 86_400.0)
    state, delay = settle(said(429, after=1.0), 1, "completed")
    assert state == "pending"
    assert 5.0 <= delay <= 5.5, "nor sooner than anybody else"


def test_what_speaks_against_an_endpoint() -> None:
    assert [said(status).sick for status in (None, 500, 503)] == [True, True, True]
    assert [said(status).sick for status in (200, 302, 404, 410, 429)] == [False] * 5
    assert not Answer(error="leads to 10.0.0.1", refused=True).sick
