"""Points of a function's series: added up in any order, and read as steps."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.series import FIELDS, FIGURES, PEAKS, Point, bucket, merge, quantile, steps

MINUTE = 60_000

points = st.fixed_dictionaries(
    {},
    optional={
        **{name: st.integers(0, 1000) for name in FIELDS if name != "d"},
        "d": st.dictionaries(st.integers(-50, 200).map(str), st.integers(1, 50), max_size=5),
    },
)


@given(st.lists(points, max_size=8), st.integers(0, 8))
def test_parts_add_up_to_the_whole(parts: list[Point], cut: int) -> None:
    assert merge([merge(parts[:cut]), merge(parts[cut:])]) == merge(parts)


@given(st.lists(points, max_size=5))
def test_nothing_that_is_merged_changes(parts: list[Point]) -> None:
    before = [dict(one, d=dict(one.get("d", {}))) for one in parts]
    merge(parts)
    assert [dict(one, d=dict(one.get("d", {}))) for one in parts] == before


def test_counts_are_added_and_peaks_are_not() -> None:
    whole = merge([{"n": 2, "pr": 3, "d": {"5": 1}}, {"n": 1, "pr": 2, "d": {"5": 1, "6": 4}}])
    assert whole == {"n": 3, "pr": 3, "d": {"5": 2, "6": 4}}
    assert set(PEAKS) <= set(FIELDS)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_a_percentile_of_many_seconds_is_that_of_all_runs(share: float) -> None:
    chance = random.Random(7)
    runs = [chance.lognormvariate(-3, 1.5) for _ in range(5_000)]
    seconds: list[Point] = []
    for begin in range(0, len(runs), 50):
        buckets: dict[str, int] = {}
        for run in runs[begin : begin + 50]:
            buckets[bucket(run)] = buckets.get(bucket(run), 0) + 1
        seconds.append({"d": buckets})
    true = sorted(runs)[int(share * len(runs)) - 1] * 1000
    assert quantile(merge(seconds), share) == pytest.approx(true, rel=0.04)


def test_nothing_has_no_percentile() -> None:
    assert quantile({}, 0.9) is None
    assert FIGURES["FunctionAvgDuration"].of({}) is None
    assert FIGURES["FunctionTotalInvocations"].of({}) == 0


@pytest.mark.parametrize("seconds", [0.0, 1e-7, 0.003, 1.0, 7 * 86_400.0])
def test_every_duration_has_a_bucket(seconds: float) -> None:
    found = quantile({"d": {bucket(seconds): 1}}, 1.0)
    assert found is not None
    assert found == pytest.approx(max(seconds * 1000, 0.01), rel=0.04)


def test_a_state_holds_until_another_is_told() -> None:
    told = [(1_000, {"s": 1, "pr": 2}), (4_000, {"s": 1, "pr": 1, "n": 1})]
    found = steps(told, 0, 7_000, 1, held_ms=65_000)
    assert [point.get("pr", 0) for _, point in found] == [0, 2, 2, 2, 1, 1, 1]
    assert [point.get("n", 0) for _, point in found] == [0, 0, 0, 0, 1, 0, 0]


def test_a_state_that_nobody_tells_any_more_ends() -> None:
    found = steps([(0, {"s": 1, "pr": 2})], 0, 90_000, 1, held_ms=65_000)
    assert [point.get("pr", 0) for _, point in found] == [2] * 65 + [0] * 25


def test_what_was_so_at_the_start_was_told_before() -> None:
    told = [(-30_000, {"s": 1, "pr": 2})]
    assert [point["pr"] for _, point in steps(told, 0, 2_000, 1, held_ms=65_000)] == [2, 2]
    assert [point.get("pr", 0) for _, point in steps(told, 0, MINUTE, 60, held_ms=0)] == [0]


def test_a_gateways_point_tells_no_state() -> None:
    told = [(0, {"s": 1, "pr": 2}), (1_500, {"n": 3, "ce": 3})]
    found = steps(told, 0, 3_000, 1, held_ms=65_000)
    assert [point.get("pr", 0) for _, point in found] == [2, 2, 2]
    assert found[1][1]["ce"] == 3


def test_a_long_step_has_the_highest_state() -> None:
    told = [(0, {"s": 1, "pr": 5}), (12_000, {"s": 1}), (15_000, {"s": 1, "pr": 1})]
    assert [point.get("pr", 0) for _, point in steps(told, 0, 30_000, 10, held_ms=65_000)] == [5, 5, 1]
