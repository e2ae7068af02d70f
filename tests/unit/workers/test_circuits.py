"""An endpoint that fails five times in a row is left alone, asked by one at a time, and trusted after one 2xx."""

from __future__ import annotations

import pytest

from workers.circuits import Circuits

URL, OTHER = "https://example.com/a", "https://example.com/b"


@pytest.fixture
def circuits() -> Circuits:
    circuits = Circuits(probe=15.0)
    for _ in range(5):
        assert circuits.wait(URL, 100.0) is None
        circuits.failed(URL, 100.0)
    return circuits


def test_while_it_is_open_deliveries_wait_until_it_may_be_asked_again_and_spread(circuits: Circuits) -> None:
    waits = [circuits.wait(URL, 110.0) for _ in range(50)]
    assert all(wait is not None and 20.0 <= wait <= 50.0 for wait in waits)
    assert len(set(waits)) > 40


def test_others_are_not_concerned(circuits: Circuits) -> None:
    assert circuits.wait(OTHER, 110.0) is None


def test_one_asks_when_the_time_is_over_and_the_others_wait_for_it(circuits: Circuits) -> None:
    assert circuits.wait(URL, 130.0) is None
    wait = circuits.wait(URL, 130.0)
    assert wait is not None
    assert wait >= 15.0
    assert circuits.wait(URL, 145.0) is None, "a probe that nobody reported on"


def test_a_success_closes_it(circuits: Circuits) -> None:
    assert circuits.wait(URL, 130.0) is None
    circuits.succeeded(URL)
    assert [circuits.wait(URL, 130.0) for _ in range(3)] == [None] * 3


def test_each_failed_probe_doubles_the_pause_up_to_five_minutes(circuits: Circuits) -> None:
    now, pauses = 130.0, []
    for _ in range(6):
        assert circuits.wait(URL, now) is None
        circuits.failed(URL, now)
        until = next(later for later in range(1, 1_000) if later >= (circuits._circuits[URL].open_until - now))
        pauses.append(until)
        now += until
    assert pauses == [60, 120, 240, 300, 300, 300]


def test_failures_of_what_was_under_way_when_it_opened_change_nothing(circuits: Circuits) -> None:
    for _ in range(11):
        circuits.failed(URL, 101.0)
    assert circuits.wait(URL, 130.0) is None


def test_four_failures_or_some_between_successes_open_nothing() -> None:
    circuits = Circuits(probe=15.0)
    for _ in range(3):
        for _ in range(4):
            circuits.failed(URL, 0.0)
        assert circuits.wait(URL, 0.0) is None
        circuits.succeeded(URL)


def test_it_does_not_grow_for_ever() -> None:
    circuits = Circuits(probe=15.0)
    for number in range(25_000):
        circuits.failed(f"https://example.com/{number}", float(number))
    assert len(circuits._circuits) <= 10_000
