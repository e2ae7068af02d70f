"""Target tracking: every number of the rule, and laws that hold for any metric."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.provision import TrackingPolicy
from workers.tracking import Tracked, begin, begin_again, mean, step

BEGAN = 1_780_000_000.0


def policy(**fields: Any) -> TrackingPolicy:
    given = {
        "name": "p",
        "metric_type": "GPUSmUtilization",
        "metric_target": 0.5,
        "min_capacity": 1,
        "max_capacity": 100,
    }
    return TrackingPolicy(**{**given, **fields})


def at(tracked: Tracked, count: int) -> Tracked:
    return replace(tracked, count=count)


class Run:
    """One policy over virtual seconds. As the floor does, it drops the samples of another size."""

    def __init__(self, rule: TrackingPolicy, count: int | None = None) -> None:
        self.rule = rule
        self.now = BEGAN
        self.tracked = begin(rule, BEGAN)
        if count is not None:
            self.tracked = at(self.tracked, count)
        self.samples: list[tuple[float, float | None]] = []
        self.counts: list[int] = []

    def feed(self, values: Iterable[float | None]) -> Run:
        for value in values:
            self.samples = [*self.samples, (self.now, value)][-60:]
            after = step(self.rule, self.tracked, self.samples, self.now)
            if after.scaled_out != self.tracked.scaled_out:
                self.samples = []
            self.tracked = after
            self.counts.append(after.count)
            self.now += 1.0
        return self

    def changes(self) -> list[tuple[int, int]]:
        """Second and count, whenever the count became another one."""
        counts = self.counts
        return [(n, count) for n, count in enumerate(counts) if n and count != counts[n - 1]]


def test_it_starts_from_its_min_capacity() -> None:
    tracked = begin(policy(min_capacity=3), BEGAN)
    assert (tracked.count, tracked.why) == (3, "it starts from its minCapacity")


def test_out_after_one_whole_period_and_each_next_after_a_fresh_one() -> None:
    # The target is 0.5 and the metric stays 1, so the count doubles with each period.
    assert Run(policy(), 2).feed([1.0] * 200).changes() == [(60, 4), (120, 8), (180, 16)]


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (0.55, 10),
        pytest.param(0.5501, 12, id="above 1.1"),
        (0.6, 12),
        (0.61, 13),
        (1.0, 20),
        (2.5, 50),
        (0.45, 10),
    ],
)
def test_out_to_as_many_as_bring_the_metric_to_its_target(value: float, count: int) -> None:
    assert Run(policy(), 10).feed([value] * 61).tracked.count == count


@pytest.mark.parametrize(
    ("before", "target", "value", "count"), [(2, 0.35, 0.525, 3), (20, 0.35, 0.42, 24), (3, 0.3, 0.9, 9)]
)
def test_a_float_does_not_round_up(before: int, target: float, value: float, count: int) -> None:
    assert before * value / target > count, "in binary fractions"
    assert Run(policy(metric_target=target), before).feed([value] * 61).tracked.count == count


def test_a_target_near_nothing_wants_all_that_is_allowed() -> None:
    assert Run(policy(metric_target=5e-324), 10).feed([1.0] * 61).tracked.count == 100


def test_a_jump_is_seen_as_soon_as_it_moves_the_mean() -> None:
    # Not at the next full minute: seven seconds of 1 among 53 of 0.5 have a mean of 0.558.
    run = Run(policy(), 10).feed([0.5] * 100).feed([1.0] * 10)
    assert run.changes() == [(106, 12)]
    assert run.tracked.why == "GPUSmUtilization was 0.558, above 0.5"


@pytest.mark.parametrize(
    ("value", "count"),
    [
        pytest.param(0.45, 100, id="0.9 of the target is not below it"),
        (0.44, 94),
        (0.41, 91),
        (0.4, 90),
        (0.2, 70),
        (0.0, 50),
    ],
)
def test_in_gives_half_of_what_is_too_much(value: float, count: int) -> None:
    assert Run(policy(), 100).feed([value] * 180).tracked.count == 100
    assert Run(policy(), 100).feed([value] * 181).tracked.count == count


def test_in_gives_nothing_where_half_of_it_is_less_than_one() -> None:
    assert Run(policy(), 10).feed([0.44] * 400).tracked.count == 10


def test_in_after_three_whole_periods_and_each_next_after_three_more() -> None:
    run = Run(policy(), 16).feed([0.0] * 800)
    assert run.changes() == [(180, 8), (361, 4), (542, 2), (723, 1)]


def test_one_second_that_brings_the_mean_back_begins_the_three_periods_anew() -> None:
    run = Run(policy(), 10).feed([0.44] * 100)
    run.feed([1.0] * 2).feed([0.0] * 170)
    assert run.changes() == []


def test_the_last_one_stays_where_halves_round_to_nothing() -> None:
    assert Run(policy(min_capacity=0), 1).feed([0.0] * 400).tracked.count == 1


def test_a_policy_at_zero_can_leave_it() -> None:
    assert Run(policy(min_capacity=0)).feed([1.0] * 61).tracked.count == 2


def test_never_in_within_120_s_of_a_scale_out() -> None:
    # The three periods are longer than that, so only a state from elsewhere can come near it.
    tracked = replace(begin(policy(), BEGAN - 500), count=10, below=BEGAN - 400, scaled_out=BEGAN - 119)
    samples = [(BEGAN - second, 0.0) for second in range(59, -1, -1)]
    assert step(policy(), tracked, samples, BEGAN).count == 10
    assert step(policy(), replace(tracked, scaled_out=BEGAN - 120), samples, BEGAN).count == 5


def test_capacities_bound_it() -> None:
    assert Run(policy(max_capacity=12), 10).feed([1.0] * 200).changes() == [(60, 12)]
    assert Run(policy(min_capacity=8), 10).feed([0.0] * 400).changes() == [(180, 8)]
    assert Run(policy(min_capacity=5, max_capacity=7), 50).feed([0.5]).tracked.count == 7
    assert Run(policy(min_capacity=5, max_capacity=7), 1).feed([None]).tracked.count == 5


@pytest.mark.parametrize("known", [0.0, 1.0])
def test_a_second_that_is_not_known_holds(known: float) -> None:
    run = Run(policy(), 10).feed([known] * (60 if known else 180))
    assert run.feed([None]).tracked.count == 10
    assert run.feed([known]).tracked.count != 10, "one lost second costs one second"


def test_not_knowing_for_long_begins_the_three_periods_anew() -> None:
    run = Run(policy(), 10).feed([0.0] * 150).feed([None] * 40).feed([0.0] * 100)
    assert run.changes() == []


def test_without_half_of_its_seconds_there_is_no_mean() -> None:
    tracked = begin(policy(), BEGAN - 600)
    samples = [(BEGAN - second, 0.4 if second < 30 else None) for second in range(59, -1, -1)]
    assert mean(tracked, samples, BEGAN) == pytest.approx(0.4)
    assert mean(tracked, samples[:-1], BEGAN) is None
    assert mean(tracked, [], BEGAN) is None


def test_the_mean_is_over_the_last_60_seconds() -> None:
    tracked = begin(policy(), BEGAN - 600)
    samples = [(BEGAN - second, 1.0 if second >= 60 else 0.25) for second in range(100, -1, -1)]
    assert mean(tracked, samples, BEGAN) == 0.25


def test_beginning_again_keeps_the_instances_and_forgets_the_past() -> None:
    tracked = replace(begin(policy(), BEGAN), count=7, below=BEGAN, scaled_out=BEGAN)
    other = policy(metric_type="GPUMemUtilization")
    again = begin_again(other, tracked, BEGAN - 3600)
    assert (again.count, again.metric, again.below) == (7, "GPUMemoryUtilization", None)
    assert (again.since, again.scaled_out) == (BEGAN - 3600, BEGAN - 3600)


shares = st.floats(0, 3, allow_nan=False)
stretches = st.lists(st.tuples(st.none() | shares, st.integers(1, 120)), min_size=1, max_size=8)


@st.composite
def rules(draw: st.DrawFn) -> TrackingPolicy:
    low = draw(st.integers(0, 20))
    return policy(
        metric_target=draw(st.floats(0.01, 1)),
        min_capacity=low,
        max_capacity=draw(st.integers(low, 60)),
    )


quick = settings(max_examples=40, deadline=None)


@quick
@given(rules(), stretches)
def test_laws(rule: TrackingPolicy, load: list[tuple[float | None, int]]) -> None:
    run = Run(rule)
    scaled_out = float("-inf")
    for value in (value for value, seconds in load for _ in range(seconds)):
        before, now = run.tracked, run.now
        run.feed([value])
        assert rule.min_capacity <= run.tracked.count <= rule.max_capacity
        if value is None:
            assert run.tracked.count == before.count, "not known: hold"
        if run.tracked.count < before.count:
            assert now - scaled_out >= 120
            assert now - BEGAN >= 180
        if run.tracked.count > before.count:
            assert now - max(scaled_out, BEGAN) >= 60, "a fresh period"
            scaled_out = now


@quick
@given(rules(), stretches)
def test_the_same_facts_give_the_same_answer(rule: TrackingPolicy, load: list[tuple[float | None, int]]) -> None:
    run = Run(rule).feed(value for value, seconds in load for _ in range(seconds))
    samples = [*run.samples, (run.now, 0.7)]
    assert step(rule, run.tracked, samples, run.now) == step(rule, run.tracked, samples, run.now)
