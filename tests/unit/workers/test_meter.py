"""The meter: what counts as what, and that the pace of its ticks makes no difference."""

from __future__ import annotations

from dataclasses import asdict
from functools import reduce
from operator import add

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.billing import Tariff, bill
from penstock.usage import GB, NOTHING, Usage
from workers.meter import Entry, Meter, Rate, Reading, rate
from workers.placement import GIB, Need, Reservation

NOON = 1_772_366_400.0
"""2026-03-01T12:00:00Z."""
MIDNIGHT = NOON + 12 * 3600
QUARTER = Rate(gpu=0.25, gb=4.0)


def reading(name: str = "a", **changes: object) -> Reading:
    plain: dict[str, object] = {
        "instance": name,
        "function": "echo",
        "provisioned": False,
        "rate": QUARTER,
        "lived": 0.0,
        "starting": 0.0,
        "busy": 0.0,
        "calls": 0,
    }
    return Reading(**plain | changes)  # type: ignore[arg-type]


def total(entries: list[Entry]) -> Usage:
    return reduce(add, (entry.usage for entry in entries), NOTHING)


def test_an_on_demand_instance_shows_what_it_ran_and_what_it_held() -> None:
    meter = Meter()
    meter.tick(NOON, [reading(lived=10.0, starting=2.0, busy=1.5, calls=3)])
    assert meter.take() == [
        Entry(
            function="echo",
            day="2026-03-01",
            usage=Usage(
                calls=3,
                on_demand=10_000,
                on_demand_busy=1_500,
                on_demand_gb=40_000,
                on_demand_busy_gb=6_000,
                cold_start=2_000,
                gpu=2_500,
            ),
        )
    ]


def test_a_provisioned_instance_counts_for_as_long_as_it_lives() -> None:
    meter = Meter()
    meter.tick(NOON, [reading(provisioned=True, lived=10.0, busy=1.5, calls=3)])
    assert total(meter.take()) == Usage(
        calls=3, provisioned=10_000, provisioned_busy=1_500, provisioned_gb=40_000, gpu=2_500
    )


def test_a_tick_counts_what_is_new() -> None:
    meter = Meter()
    meter.tick(NOON, [reading(lived=10.0, busy=1.0)])
    meter.take()
    meter.tick(NOON + 1, [reading(lived=11.0, busy=1.25, calls=1)])
    assert total(meter.take()) == Usage(
        calls=1, on_demand=1_000, on_demand_busy=250, on_demand_gb=4_000, on_demand_busy_gb=1_000, gpu=250
    )


def test_one_that_becomes_provisioned_counts_so_from_then_on() -> None:
    meter = Meter()
    meter.tick(NOON, [reading(lived=10.0)])
    meter.tick(NOON + 1, [reading(lived=11.0, provisioned=True)])
    used = total(meter.take())
    assert (used.on_demand, used.provisioned, used.provisioned_gb) == (10_000, 1_000, 4_000)


def test_nothing_new_is_no_entry_so_that_an_idle_function_costs_nothing() -> None:
    meter = Meter()
    assert meter.take() == []
    meter.tick(NOON, [])
    assert meter.take() == []
    meter.tick(NOON, [reading(lived=1.0)])
    meter.take()
    meter.tick(NOON + 1, [reading(lived=1.0)])
    assert meter.take() == []


def test_the_days_of_utc_are_kept_apart() -> None:
    meter = Meter()
    meter.tick(MIDNIGHT - 1, [reading(lived=5.0)])
    meter.tick(MIDNIGHT, [reading(lived=6.0)])
    assert [(entry.day, entry.usage.on_demand) for entry in meter.take()] == [
        ("2026-03-01", 5_000),
        ("2026-03-02", 1_000),
    ]


def test_functions_are_kept_apart_and_their_instances_added() -> None:
    meter = Meter()
    meter.tick(NOON, [reading("a", lived=1.0), reading("b", lived=2.0), reading("c", lived=4.0, function="other")])
    assert {entry.function: entry.usage.on_demand for entry in meter.take()} == {"echo": 3_000, "other": 4_000}


# The pace of the ticks

steps = st.lists(
    st.tuples(
        st.floats(0.0, 5.0),  # seconds to the next look
        st.floats(0.0, 1.0),  # the share of them that it was busy
        st.integers(0, 3),  # calls that ended
        st.booleans(),  # whether there is a tick, or only the next one sees it
        st.booleans(),  # whether it is written then
    ),
    min_size=1,
    max_size=30,
)


@given(steps, st.floats(0.0, 1.0), st.floats(0.01, 141.0), st.booleans())
def test_totals_are_the_same_over_any_split_of_ticks(
    steps: list[tuple[float, float, int, bool, bool]], gpu: float, gb: float, provisioned: bool
) -> None:
    split, taken = Meter(), list[Entry]()
    lived, busy, calls = 0.0, 0.0, 0
    held = Rate(gpu=gpu, gb=gb)
    for number, (seconds, share, ended, ticks, takes) in enumerate(steps):
        lived, busy, calls = lived + seconds, busy + seconds * share, calls + ended
        last = reading(rate=held, lived=lived, busy=min(busy, lived), calls=calls, provisioned=provisioned)
        if ticks or number == len(steps) - 1:
            split.tick(NOON + lived, [last])
        if takes:
            taken += split.take()
    once = Meter()
    once.tick(NOON + lived, [last])
    assert total(taken + split.take()) == total(once.take())


@given(steps)
def test_utilization_stays_a_share_however_ticks_and_marks_fall(
    steps: list[tuple[float, float, int, bool, bool]],
) -> None:
    meter, lived, busy = Meter(), 0.0, 0.0
    for seconds, share, _, provisioned, takes in steps:
        lived, busy = lived + seconds, busy + seconds * share
        meter.tick(NOON, [reading(lived=lived, busy=min(busy, lived), provisioned=provisioned)])
        for entry in meter.take() if takes else ():
            assert min(asdict(entry.usage).values()) >= 0
            utilization = bill(entry.usage, Tariff(), 1_000).utilization
            assert utilization is None or 0 <= utilization <= 1


# What an instance holds


@pytest.mark.parametrize(
    ("need", "made", "total", "expected"),
    [
        pytest.param(
            Need(), Reservation(card="slots", amount=1, exclusive=False), 16, Rate(gpu=0, gb=2.0), id="cpu"
        ),
        pytest.param(
            Need(gpu=True, memory=4 * GIB),
            Reservation(card="c", amount=4 * GIB, exclusive=False),
            16 * GIB,
            Rate(gpu=0.25, gb=4.0),
            id="a share of a card",
        ),
        pytest.param(
            Need(gpu=True, memory=10 * GIB),
            Reservation(card="c", amount=16 * GIB, exclusive=True),
            16 * GIB,
            Rate(gpu=1.0, gb=10.0),
            id="half a card and more has it alone, billed is what was asked for",
        ),
        pytest.param(
            Need(gpu=True, memory=4 * 10**9),
            Reservation(card="c", amount=4 * GIB, exclusive=False),
            16 * GIB,
            Rate(gpu=0.25, gb=4.0),
            id="in whole GB",
        ),
        pytest.param(
            Need(gpu=True),
            Reservation(card="c", amount=141 * GIB, exclusive=True),
            141 * GIB,
            Rate(gpu=1.0, gb=141.0),
            id="a whole card",
        ),
        pytest.param(Need(gpu=True, memory=4 * GIB), None, None, Rate(gpu=0.0, gb=4.0), id="a card that is gone"),
        pytest.param(Need(gpu=True), None, None, Rate(gpu=0.0, gb=0.0), id="a whole card that is gone"),
    ],
)
def test_what_an_instance_holds(need: Need, made: Reservation | None, total: int | None, expected: Rate) -> None:
    assert rate(need, made, total, 2 * GB) == expected
