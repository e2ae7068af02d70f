"""When a callback is tried again: ten tries over 75 h, and only where another try may help."""

from __future__ import annotations

import random

import pytest

from workers.callbacks import next_delay, worth_retrying

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
