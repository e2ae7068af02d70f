"""What the autoscaler knows of a function's past, held against a list of all that happened."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.history import COLD_START_PRIOR, SERVICE_PRIOR, Memory, Totals


def observed(*looks: tuple[float, int, int, int], waiting: int = 0) -> Memory:
    """By when, arrived, running, held."""
    memory = Memory()
    for now, arrived, running, held in looks:
        memory.observe(now, arrived=arrived, waiting=waiting, running=running, held=held)
    return memory


def test_nothing_is_known_at_first() -> None:
    memory = Memory()
    assert memory.service is None
    assert memory.service_time(0.0) == SERVICE_PRIOR
    assert memory.cold_start == COLD_START_PRIOR
    assert memory.rate(60.0, 0.0) == 0.0
    assert memory.running(0.0) == 0.0
    assert memory.held(6.0, 0.0) == (0.0, None)
    assert memory.peak(60.0, 0.0) == 0


def test_service_time_follows_slowly_and_long_runs_are_believed() -> None:
    memory = Memory()
    memory.ended(10.0)
    assert memory.service_time(0.0) == 10.0
    memory.ended(20.0)
    assert memory.service_time(0.0) == pytest.approx(12.0)
    assert memory.service_time(100.0) == 100.0


@pytest.mark.parametrize(
    ("starts", "seconds"),
    [
        ([7], 7),
        ([1, 9], 9),
        (range(1, 20), 19),
        (range(1, 21), 19),
        ([*range(20, 0, -1)], 19),
        ([100, *range(1, 21)], 19),
        ([100, 100, *[1] * 18], 100),
        ([100, *[1] * 19], 1),
    ],
)
def test_a_cold_start_takes_the_95th_percentile_of_the_last_20(starts: list[int], seconds: float) -> None:
    memory = Memory()
    for one in starts:
        memory.started(float(one))
    assert memory.cold_start == seconds


def test_what_is_there_at_the_first_look_counts_and_what_was_before_does_not() -> None:
    memory = Memory()
    memory.observe(100.0, arrived=1_000_000, waiting=4, running=2, held=0)
    assert memory.rate(60.0, 100.0) == pytest.approx(6 / 60)
    assert memory.rate(60.0, 161.0) == 0.0
    assert memory.running(100.0) == 0.0


def test_a_count_that_goes_backwards_starts_anew() -> None:
    memory = observed((0.0, 50, 0, 0), (10.0, 53, 0, 0))
    memory.observe(20.0, arrived=2, waiting=1, running=0, held=0)
    assert memory.rate(60.0, 20.0) == pytest.approx((3 + 1) / 60)
    memory.observe(30.0, arrived=7, waiting=1, running=0, held=0)
    assert memory.rate(60.0, 30.0) == pytest.approx((3 + 1 + 5) / 60)


def test_what_ran_before_a_long_silence_does_not_count_for_now() -> None:
    # The store did not answer for 5 minutes; 4 calls ran all the time.
    memory = observed((0.0, 4, 4, 4), (1.0, 4, 4, 4), (301.0, 4, 4, 4))
    assert memory.running(301.0) == pytest.approx(4.0)
    assert memory.held(6.0, 301.0)[0] == pytest.approx(4.0)


def test_what_arrived_in_a_silence_is_spread_over_it() -> None:
    memory = observed((0.0, 0, 0, 0), (1.0, 0, 0, 0), (301.0, 3_000, 0, 0))
    assert memory.rate(60.0, 301.0) == pytest.approx(10.0)


def test_a_long_window_has_no_gap_from_the_time_when_calls_were_short() -> None:
    memory = Memory()
    memory.ended(100.0)
    memory.observe(0.0, arrived=0, waiting=0, running=0, held=0)
    for _ in range(30):
        memory.ended(0.1)
    for second in range(1, 3_600):
        memory.observe(float(second), arrived=10 * second, waiting=0, running=0, held=0)
    for _ in range(30):
        memory.ended(100.0)
    memory.observe(3_600.0, arrived=36_000, waiting=0, running=0, held=0)
    assert 0 < memory.rate(300.0, 3_600.0) <= 10.1


def test_the_peak_is_of_the_window_that_is_asked_for() -> None:
    memory = Memory()
    for now, wanted in [(0.0, 5), (10.0, 2), (20.0, 3), (30.0, 1)]:
        memory.remember(now, wanted=wanted, guarded=False, reduced=False)
    assert [memory.peak(one, 30.0) for one in (60.0, 30.0, 29.0, 10.0, 9.0, 0.0)] == [5, 5, 3, 3, 1, 1]
    assert memory.peak(60.0, 200.0) == 0


def test_it_remembers_when_it_guarded_and_reduced() -> None:
    memory = Memory()
    memory.remember(1.0, wanted=0, guarded=True, reduced=False)
    memory.remember(2.0, wanted=0, guarded=False, reduced=True)
    memory.remember(3.0, wanted=0, guarded=False, reduced=False)
    assert (memory.guarded, memory.reduced) == (1.0, 2.0)


quick = settings(max_examples=50, deadline=None)
steps = st.lists(
    st.tuples(
        st.floats(0.01, 10.0),
        st.integers(0, 20),
        st.integers(0, 8),
        st.integers(0, 8),
        st.lists(st.floats(0.0, 30.0), max_size=3),
    ),
    min_size=1,
    max_size=60,
)


@quick
@given(steps)
def test_windows_are_as_a_list_of_all_events_says(
    looks: list[tuple[float, int, int, int, list[float]]],
) -> None:
    """But for the resolution of half a second: what was just before the window may count, or not."""
    memory, now, count = Memory(), 0.0, 0
    arrivals: list[tuple[float, float, int]] = []
    spans: list[tuple[float, float, int, int]] = []
    waits: list[tuple[float, float]] = []
    ran = held = 0
    memory.observe(now, arrived=0, waiting=0, running=0, held=0)
    for gap, came, runs, holds, waited in looks:
        arrivals.append((now, now + gap, came))
        spans.append((now, now + gap, ran, held))
        now, count, ran, held = now + gap, count + came, runs, holds
        for one in waited:
            memory.waited(one)
            waits.append((now, one))
        memory.observe(now, arrived=count, waiting=0, running=ran, held=held)
    for seconds in (6.0, 60.0):
        # Between two looks they are taken to have come evenly.
        least = sum(came for begin, _, came in arrivals if begin > now - seconds + 1)
        most = sum(came for _, end, came in arrivals if end >= now - seconds - 1)
        assert least - 1e-6 <= memory.rate(seconds, now) * seconds <= most + 1e-6
    for place, seconds, value in ((2, 60.0, memory.running(now)), (3, 6.0, memory.held(6.0, now)[0])):
        exact = sum(max(0.0, end - max(begin, now - seconds)) * span[place - 2] for begin, end, *span in spans)
        assert value * seconds == pytest.approx(exact, abs=8.0)
    recent = [one for when, one in waits if when >= now - 5.0]
    mean = memory.held(6.0, now)[1]
    assert mean is not None or not recent
    assert mean is None or 0.0 <= mean <= 30.001


@quick
@given(st.lists(st.tuples(st.floats(0.0, 30.0), st.integers(0, 9)), min_size=1, max_size=60), st.floats(0, 60))
def test_the_peak_is_the_most_of_all_in_its_window(wanted: list[tuple[float, int]], seconds: float) -> None:
    memory, now, all_of_them = Memory(), 0.0, []
    for gap, one in wanted:
        now += gap
        memory.remember(now, wanted=one, guarded=False, reduced=False)
        all_of_them.append((now, one))
        assert memory.peak(seconds, now) == max(most for when, most in all_of_them if when >= now - seconds)


@quick
@given(st.lists(st.tuples(st.floats(0.0, 5.0), st.floats(1.0, 5_000.0)), max_size=300), st.floats(0.001, 3.0))
def test_it_grows_with_no_time(calls: list[tuple[float, float]], gap: float) -> None:
    memory, now = Memory(), 0.0
    for number in range(1_500):
        now += gap + (calls[number][0] if number < len(calls) else 0.0)
        memory.ended(calls[number % len(calls)][1] if calls else 1.0)
        memory.started(1.0)
        memory.observe(now, arrived=number, waiting=0, running=1, held=1)
        memory.remember(now, wanted=number % 50, guarded=False, reduced=False)
    kept = [vars(one) for one in vars(memory).values() if isinstance(one, Totals)]
    sizes = [len(one) for every in [vars(memory), *kept] for one in every.values() if hasattr(one, "__len__")]
    assert max(sizes) <= 500, sizes
