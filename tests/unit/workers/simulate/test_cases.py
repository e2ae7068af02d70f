"""Synthetic traffic: the same seed gives the same, and rates are what they say."""

from __future__ import annotations

import pytest

from workers.simulate import cases


@pytest.mark.parametrize("name", cases.NAMES)
def test_the_same_seed_gives_the_same_requests_by_time(name: str) -> None:
    first = cases.build(name, seed=7)
    assert first == cases.build(name, seed=7)
    times = [request.at for request in first.requests]
    assert times == sorted(times)
    assert all(0 <= at < first.length for at in times)
    called = {request.function for request in first.requests} or {"loop"}
    assert called == set(first.profiles)


@pytest.mark.parametrize(
    ("name", "expected"), [("A", 60), ("B", 3_300), ("C", 60), ("D", 480), ("E", 10_800), ("one-card", 5_904)]
)
def test_as_many_requests_as_the_rates_say(name: str, expected: int) -> None:
    mean = sum(len(cases.build(name, seed=seed).requests) for seed in range(10)) / 10
    assert mean == pytest.approx(expected, rel=0.1)


def test_another_seed_is_another_trace_and_a_length_is_kept() -> None:
    assert cases.build("A", seed=1) != cases.build("A", seed=2)
    assert cases.build("B", length=300.0).length == 300.0
    assert {request.at for request in cases.build("D", length=300.0).requests} == {1.0}
