"""What one instance has lived, started and been busy, to the very moment."""

from __future__ import annotations

from workers.odometer import Odometer


def figures(odometer: Odometer, now: float) -> tuple[float, float, float, int]:
    return odometer.lived(now), odometer.starting(now), odometer.busy(now), odometer.calls


def test_a_start_lasts_until_it_is_ready() -> None:
    odometer = Odometer(10.0)
    assert figures(odometer, 12.0) == (2.0, 2.0, 0.0, 0)
    odometer.ready(13.0)
    assert figures(odometer, 20.0) == (10.0, 3.0, 0.0, 0)


def test_a_start_that_failed_lasted_until_its_end() -> None:
    odometer = Odometer(0.0)
    odometer.gone(4.0)
    assert figures(odometer, 100.0) == (4.0, 4.0, 0.0, 0)


def test_calls_shorter_than_a_look_are_counted_to_the_moment() -> None:
    odometer = Odometer(0.0)
    for second in range(5):
        odometer.began(second + 0.25)
        odometer.ended(second + 0.5)
    assert odometer.busy(10.0) == 1.25
    assert odometer.calls == 5


def test_calls_at_the_same_time_are_busy_time_once() -> None:
    odometer = Odometer(0.0)
    odometer.began(1.0)
    odometer.began(2.0)
    odometer.ended(3.0)
    assert odometer.busy(4.0) == 3.0, "the other one still runs"
    odometer.ended(5.0)
    assert (odometer.busy(9.0), odometer.calls) == (4.0, 2)


def test_nothing_counts_after_the_end_but_the_calls_that_were_lost_with_it() -> None:
    odometer = Odometer(0.0)
    odometer.ready(1.0)
    odometer.began(2.0)
    odometer.gone(5.0)
    assert figures(odometer, 7.0) == (5.0, 1.0, 3.0, 0)
    odometer.ended(8.0)
    assert figures(odometer, 9.0) == (5.0, 1.0, 3.0, 1)


def test_a_call_that_begins_after_the_end_was_no_busy_time() -> None:
    odometer = Odometer(0.0)
    odometer.gone(1.0)
    odometer.began(2.0)
    assert odometer.busy(3.0) == 0.0
    odometer.ended(3.0)
    assert figures(odometer, 4.0)[2:] == (0.0, 1)
