"""The provisioned floor: which of its rules counts, and laws that hold for any of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from datetime import datetime, timedelta
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.provision import ProvisionConfig
from penstock.provisionfile import read
from penstock.wallclock import zone
from workers.floor import Floor, FloorMemory, Reading, floor, observe

SM = "GPUSmUtilization"
CONCURRENCY = "ProvisionedConcurrencyUtilization"
EXAMPLE: dict[str, Any] = {
    "target": 2,
    "targetTrackingPolicies": [
        {
            "name": "demo",
            "startTime": "2023-01-01T16:00:00.000Z",
            "endTime": "2024-01-01T16:00:00.000Z",
            "metricType": CONCURRENCY,
            "metricTarget": 0.3,
            "minCapacity": 2,
            "maxCapacity": 30,
        }
    ],
}
"""The fields of the vendor's example."""


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def action(name: str, expression: str, target: int, **fields: Any) -> dict[str, Any]:
    return {"name": name, "scheduleExpression": expression, "target": target, **fields}


def tracking(name: str = "p", **fields: Any) -> dict[str, Any]:
    given = {"name": name, "metricType": SM, "metricTarget": 0.5, "minCapacity": 1, "maxCapacity": 100}
    return {**given, **fields}


def config(*, target: int = 0, actions: Any = (), policies: Any = ()) -> ProvisionConfig:
    return read(
        {"defaultTarget": target, "scheduledActions": list(actions), "targetTrackingPolicies": list(policies)}
    )


def now_floor(given: ProvisionConfig, now: str, minimum: int = 0) -> Floor:
    readings = {name: Reading(value=0.0) for name in (SM, CONCURRENCY)}
    return floor(given, minimum, readings, FloorMemory(), at(now))


def run(
    given: ProvisionConfig, memory: FloorMemory, start: float, seconds: int, readings: Mapping[str, Reading]
) -> list[int]:
    """The floor of each second."""
    targets = []
    for second in range(seconds):
        observe(given, readings, memory, start + second)
        targets.append(floor(given, 0, readings, memory, start + second).target)
    return targets


def test_without_rules_it_is_the_default_target() -> None:
    assert now_floor(config(target=2), "2026-06-01T00:00:00Z") == Floor(
        target=2, reason="2: the default target", active=(), pending=(), expired=(), error=None
    )


def test_it_is_never_below_scaling_min() -> None:
    result = now_floor(config(target=2), "2026-06-01T00:00:00Z", minimum=3)
    assert (result.target, result.reason) == (3, "3: scaling.min, above 2 of the default target")
    assert now_floor(config(), "2026-06-01T00:00:00Z").target == 0


def test_the_vendors_example_has_expired() -> None:
    result = now_floor(read(EXAMPLE), "2026-06-01T00:00:00Z")
    assert result == Floor(
        target=2, reason="2: the default target", active=(), pending=(), expired=("demo",), error=None
    )


def test_the_vendors_example_in_its_year() -> None:
    given, memory = read({**EXAMPLE, "target": 1}), FloorMemory()
    start = at("2023-06-01T00:00:00Z")
    first = floor(given, 0, {CONCURRENCY: Reading(value=0.0)}, memory, start)
    assert first == Floor(
        target=2, reason="2: policy demo: it starts from its minCapacity", active=("demo",), pending=(),
        expired=(), error=None,
    )  # fmt: skip
    # 12 calls on two instances of one call each: 12 / 0.3 are wanted, 30 are allowed.
    targets = run(given, memory, start, 61, {CONCURRENCY: Reading(value=1.0, work=12.0)})
    assert targets == [2] * 60 + [30]
    result = floor(given, 0, {CONCURRENCY: Reading(value=1.0, work=12.0)}, memory, start + 60)
    assert result.reason == "30: policy demo: ProvisionedConcurrencyUtilization was 6, above 0.3"


def test_the_vendors_example_before_it_begins() -> None:
    result = now_floor(read(EXAMPLE), "2023-01-01T15:59:59Z")
    assert (result.target, result.active, result.pending, result.expired) == (2, (), ("demo",), ())


@pytest.mark.parametrize(
    ("now", "target"),
    [
        pytest.param("2026-01-01T07:59:59Z", 1, id="not begun"),
        pytest.param("2026-01-01T08:00:00Z", 1, id="begun, not fired in its window: yesterday's does not count"),
        pytest.param("2026-01-01T08:59:59Z", 1, id="a second before"),
        pytest.param("2026-01-01T09:00:00Z", 5, id="fires"),
        pytest.param("2026-01-02T08:59:59Z", 5, id="until the next"),
        pytest.param("2026-01-03T18:00:00Z", 5, id="the last second of its window"),
        pytest.param("2026-01-03T18:00:01Z", 1, id="past its window"),
    ],
)
def test_an_action_counts_from_its_firing_to_the_end_of_its_window(now: str, target: int) -> None:
    one = action("a", "cron(0 0 9 * * *)", 5, startTime="2026-01-01T08:00:00Z", endTime="2026-01-03T18:00:00Z")
    assert now_floor(config(target=1, actions=[one]), now).target == target


def test_an_action_that_fires_as_its_window_begins_counts() -> None:
    one = action("a", "at(2026-01-01T09:00:00)", 5, startTime="2026-01-01T09:00:00Z")
    assert now_floor(config(actions=[one]), "2026-01-01T09:00:00Z").target == 5


DAY_AND_NIGHT = config(
    target=1,
    actions=[
        action("day", "cron(0 0 8 ? * MON-FRI)", 10, timeZone="Europe/Berlin"),
        action("night", "cron(0 0 20 * * *)", 2, timeZone="Europe/Berlin"),
    ],
)


@pytest.mark.parametrize(
    ("now", "target", "active"),
    [
        ("2026-06-01T05:59:59Z", 2, "night"),  # a Monday
        ("2026-06-01T06:00:00Z", 10, "day"),
        ("2026-06-01T18:00:00Z", 2, "night"),
        ("2026-06-06T12:00:00Z", 2, "night"),  # a Saturday
        pytest.param("2026-03-30T05:59:59Z", 2, "night", id="summer time has begun: an hour earlier"),
        pytest.param("2026-03-30T06:00:00Z", 10, "day", id="and not at seven"),
        pytest.param("2026-10-26T06:59:59Z", 2, "night", id="summer time is over"),
        pytest.param("2026-10-26T07:00:00Z", 10, "day", id="and an hour later"),
    ],
)
def test_the_action_that_fired_last_counts(now: str, target: int, active: str) -> None:
    result = now_floor(DAY_AND_NIGHT, now)
    assert (result.target, result.active) == (target, (active,))
    assert result.reason == f"{target}: action {active} fired last"


@pytest.mark.parametrize("name", ["Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize("turned", [False, True])
def test_of_two_that_a_clock_skips_the_later_on_the_wall_counts(name: str, turned: bool) -> None:
    # Both fire at the jump; the order in the document must not make the night's target the day's.
    actions = [
        action("first", "cron(0 15 2 * * *)", 5, timeZone=name),
        action("second", "cron(0 45 2 * * *)", 1, timeZone=name),
    ]
    jump = {"Europe/Berlin": "2026-03-29T01:00:00Z", "America/New_York": "2026-03-08T07:00:00Z"}[name]
    given = config(actions=actions[::-1] if turned else actions)
    assert floor(given, 0, {}, FloorMemory(), at(jump)).active == ("second",)


@pytest.mark.parametrize(
    ("name", "first_pass"),
    [("Europe/Berlin", "2026-10-25T00:00:00Z"), ("America/New_York", "2026-11-01T05:00:00Z")],
)
def test_in_an_hour_that_is_repeated_nothing_fires_again(name: str, first_pass: str) -> None:
    hour = datetime.fromtimestamp(at(first_pass), zone(name)).hour
    given = config(
        actions=[
            action("up", f"cron(0 15 {hour} * * *)", 5, timeZone=name),
            action("down", f"cron(0 45 {hour} * * *)", 1, timeZone=name),
        ]
    )
    targets = [floor(given, 0, {}, FloorMemory(), at(first_pass) + 60 * minute).target for minute in range(120)]
    assert targets == [1] * 15 + [5] * 30 + [1] * 75


def test_of_two_at_the_same_time_the_one_further_down_counts() -> None:
    given = config(actions=[action(name, "cron(0 0 9 * * *)", 9 - n) for n, name in enumerate("abc")])
    assert now_floor(given, "2026-06-01T09:00:00Z").active == ("c",)


def test_the_largest_of_action_and_policies_counts() -> None:
    policies = [tracking("low", minCapacity=3), tracking("high", minCapacity=7)]
    given = config(target=50, actions=[action("a", "at(2026-01-01T00:00:00)", 5)], policies=policies)
    result = now_floor(given, "2026-06-01T00:00:00Z")
    assert (result.target, result.active) == (7, ("a", "low", "high")), "and not the default target"
    given = config(actions=[action("a", "at(2026-01-01T00:00:00)", 9)], policies=policies)
    assert now_floor(given, "2026-06-01T00:00:00Z").reason == "9: action a fired last"


@pytest.mark.parametrize(
    ("now", "target"),
    [("2026-01-01T07:59:59Z", 1), ("2026-01-01T08:00:00Z", 4), ("2026-01-02T08:00:00Z", 4),
     ("2026-01-02T08:00:01Z", 1)],
)  # fmt: skip
def test_a_policy_acts_inside_its_window(now: str, target: int) -> None:
    one = tracking(
        minCapacity=4, startTime="2026-01-01T16:00:00", endTime="2026-01-02T16:00:00", timeZone="Asia/Shanghai"
    )
    assert now_floor(config(target=1, policies=[one]), now).target == target


def test_a_policy_that_ended_starts_from_its_min_capacity_when_it_is_prolonged() -> None:
    start = at("2026-01-01T00:00:00Z")
    ends = config(policies=[tracking(endTime="2026-01-01T00:02:00Z")])
    memory = FloorMemory()
    assert run(ends, memory, start, 122, {SM: Reading(value=1.0)})[-2:] == [4, 0]
    assert (memory.tracked, memory.samples) == ({}, {})
    assert run(config(policies=[tracking()]), memory, start + 122, 1, {SM: Reading(value=1.0)}) == [1]


def test_a_memory_keeps_nothing_of_what_is_no_longer_configured() -> None:
    memory = FloorMemory()
    given = config(actions=[action("a", "cron(0 0 9 * * *)", 1)], policies=[tracking()])
    run(given, memory, at("2026-01-01T00:00:00Z"), 2, {SM: Reading(value=1.0)})
    assert (len(memory.tracked), len(memory.samples), len(memory.firings)) == (1, 1, 1)
    run(config(), memory, at("2026-01-01T00:00:02Z"), 1, {})
    assert (memory.tracked, memory.samples, memory.firings) == ({}, {}, {})


def test_new_capacities_bound_at_once_what_was_tracked() -> None:
    memory, start = FloorMemory(), at("2026-01-01T00:00:00Z")
    assert run(config(policies=[tracking()]), memory, start, 121, {SM: Reading(value=1.0)})[-1] == 4
    narrower = config(policies=[tracking(maxCapacity=3)])
    assert floor(narrower, 0, {SM: Reading(value=1.0)}, memory, start + 121).target == 3


def test_a_policy_whose_metric_changes_keeps_its_instances_and_begins_a_new_period() -> None:
    memory, start = FloorMemory(), at("2026-01-01T00:00:00Z")
    readings = {SM: Reading(value=1.0), "GPUMemoryUtilization": Reading(value=1.0)}
    run(config(policies=[tracking()]), memory, start, 121, readings)
    other = config(policies=[tracking(metricType="GPUMemUtilization")])
    assert run(other, memory, start + 121, 61, readings) == [4] * 60 + [8]


def test_samples_of_another_size_do_not_count() -> None:
    # Out in second 60; from the next on nothing is used, and three periods later half goes.
    given, memory = config(policies=[tracking(minCapacity=4)]), FloorMemory()
    assert run(given, memory, 1.7e9, 61, {SM: Reading(value=1.0)}) == [4] * 60 + [8]
    assert run(given, memory, 1.7e9 + 61, 181, {SM: Reading(value=0.0)}) == [8] * 180 + [4]


def test_full_instances_are_reckoned_by_all_work() -> None:
    # Ten calls wait for or run on two full instances, so v is 5, and 20 instances are at half load.
    given, memory, start = config(policies=[tracking(metricType=CONCURRENCY, minCapacity=2)]), FloorMemory(), 1.7e9
    readings = {CONCURRENCY: Reading(value=1.0, work=10.0)}
    assert run(given, memory, start, 61, readings)[-1] == 20
    # While the new ones start, the two old ones stay full: the work is no more than what is already on its way.
    assert run(given, memory, start + 61, 170, readings) == [20] * 170


def test_instances_with_room_are_reckoned_by_what_they_read() -> None:
    reading = Reading(value=0.4, work=10.0)
    assert (reading.of(2), Reading(value=1.0, work=10.0).of(2), Reading(value=1.0).of(2)) == (0.4, 5.0, 1.0)
    assert (Reading(value=None, work=10.0).of(2), Reading(value=1.0, work=3.0).of(0)) == (None, 3.0)


def test_a_metric_that_is_not_known_holds_and_says_so() -> None:
    given, memory, start = config(policies=[tracking()]), FloorMemory(), 1.7e9
    assert run(given, memory, start, 121, {SM: Reading(value=1.0)})[-1] == 4
    unknown = {SM: Reading(value=None, problem="no card reports it")}
    assert run(given, memory, start + 121, 600, unknown) == [4] * 600
    error = floor(given, 0, unknown, memory, start + 721).error
    assert error == "policy p holds at 4: GPUSmUtilization is not known (no card reports it)"
    assert floor(given, 0, {}, memory, start + 721).error == "policy p holds at 4: GPUSmUtilization is not known"
    run(given, memory, start + 721, 1, {SM: Reading(value=0.5)})
    error = floor(given, 0, {SM: Reading(value=0.5)}, memory, start + 721).error
    assert error == "policy p holds at 4: GPUSmUtilization was known in less than half of the last 60 s"
    run(given, memory, start + 722, 30, {SM: Reading(value=0.5)})
    assert floor(given, 0, {SM: Reading(value=0.5)}, memory, start + 751).error is None


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_not_known(value: float) -> None:
    memory = FloorMemory()
    assert run(config(policies=[tracking()]), memory, 1.7e9, 200, {SM: Reading(value=value)}) == [1] * 200
    assert {known for _, known in memory.samples["p"]} == {None}


def test_many_errors_are_counted() -> None:
    given = config(policies=[tracking(f"p{number}") for number in range(5)])
    error = floor(given, 0, {}, FloorMemory(), 1.7e9).error
    assert error is not None
    assert error.endswith("policy p2 holds at 1: GPUSmUtilization is not known; and 2 more")


def test_a_second_step_at_the_same_instant_changes_nothing() -> None:
    given, memory, readings = config(policies=[tracking()]), FloorMemory(), {SM: Reading(value=1.0)}
    run(given, memory, 1.7e9, 61, readings)
    before = deepcopy(memory)
    observe(given, readings, memory, 1.7e9 + 60)
    assert memory == before


def test_a_clock_that_is_set_back_begins_the_periods_anew() -> None:
    given, memory, readings = config(policies=[tracking()]), FloorMemory(), {SM: Reading(value=1.0)}
    assert run(given, memory, 1.7e9, 121, readings)[-1] == 4
    assert run(given, memory, 1.7e9 - 3600, 61, readings) == [4] * 60 + [8]


def test_looked_at_each_second_an_action_costs_little() -> None:
    actions = [action(f"a{n}", f"cron(0 {n % 60} 9 * * *)", n, timeZone="Europe/Berlin") for n in range(100)]
    given, memory = config(actions=actions), FloorMemory()
    began = perf_counter()
    run(given, memory, 1.78e9, 100, {})
    assert (perf_counter() - began) / 100 / 100 < 50e-6


expressions = st.one_of(
    st.builds(
        "cron(0 {} {} * * *)".format, st.sampled_from(["0", "*/20", "45"]), st.sampled_from(["*", "1,2", "3"])
    ),
    st.builds(
        "at(2026-{}:00)".format, st.sampled_from(["03-29T02:30", "10-25T02:30", "03-28T23:00", "11-01T01:30"])
    ),
)
zones = st.sampled_from([None, "Europe/Berlin", "America/New_York"])
starts = st.sampled_from([None, "2026-03-29T00:50:00Z", "2026-10-25T00:50:00Z"])
moments = st.builds(
    lambda day, offset: at(day) + offset,
    st.sampled_from(["2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z", "2026-11-01T06:00:00Z"]),
    st.integers(-7200, 7200),
)


@st.composite
def configs(draw: st.DrawFn) -> ProvisionConfig:
    actions = [
        action(f"a{n}", draw(expressions), draw(st.integers(0, 9)), timeZone=draw(zones), startTime=draw(starts))
        for n in range(draw(st.integers(0, 3)))
    ]
    policies = [
        tracking(
            f"p{n}",
            metricType=draw(st.sampled_from([SM, CONCURRENCY])),
            metricTarget=draw(st.floats(0.05, 1)),
            minCapacity=draw(st.integers(0, 5)),
            maxCapacity=draw(st.integers(5, 40)),
            startTime=draw(starts),
        )
        for n in range(draw(st.integers(0, 3)))
    ]
    return config(target=draw(st.integers(0, 9)), actions=actions, policies=policies)


shares = st.none() | st.floats(0, 1)
readings = st.builds(
    lambda sm, busy, work: {SM: Reading(value=sm), CONCURRENCY: Reading(value=busy, work=work)},
    shares, shares, st.none() | st.floats(0, 100),
)  # fmt: skip
loads = st.lists(st.tuples(readings, st.integers(1, 100)), max_size=4)


@settings(max_examples=40, deadline=None)
@given(configs(), loads, moments, st.integers(0, 12), readings)
def test_deciding_twice_is_equal_and_changes_nothing(
    given: ProvisionConfig, load: list[Any], start: float, minimum: int, last: Mapping[str, Reading]
) -> None:
    memory, now = FloorMemory(), start
    for one, seconds in load:
        run(given, memory, now, seconds, one)
        now += seconds
    before = deepcopy(memory)
    result = floor(given, minimum, last, memory, now)
    assert result == floor(given, minimum, last, memory, now)
    assert memory == before
    assert result.target >= minimum
    assert re.fullmatch(r"\d+: [^\n]{,150}", result.reason)
    assert not re.search(r"None|nan|inf", result.reason)


@settings(max_examples=40, deadline=None)
@given(configs(), moments)
def test_the_last_fired_is_the_one_that_a_watcher_of_the_clocks_saw(given: ProvisionConfig, now: float) -> None:
    """By watching the clocks each minute for a day and a half."""
    last: dict[str, tuple[int, datetime, int]] = {}
    seen: dict[str, datetime] = {}
    for second in range(int(now) // 60 * 60 - 129_600, int(now) + 1, 60):
        for place, one in enumerate(given.scheduled_actions):
            shown = datetime.fromtimestamp(second, zone(one.time_zone)).replace(tzinfo=None)
            before = seen.get(one.name, shown)
            due = [before] if before == shown else []
            while before < shown:
                before += timedelta(minutes=1)
                due.append(before)
            seen[one.name] = max(shown, seen.get(one.name, shown))
            for wall in due:
                if _fires(one.schedule_expression, wall) and one.window[0] <= second:
                    last[one.name] = max((second, wall, place), last.get(one.name, (0, wall, 0)))
    older = [one for one in given.scheduled_actions if one.name not in last]
    result = floor(given, 0, {}, FloorMemory(), now)
    names = {one.name for one in given.scheduled_actions}
    fired = [name for name in result.active if name in names]
    if last:
        assert fired == [max(last, key=lambda name: last[name])]
    else:
        assert not fired or fired[0] in {one.name for one in older}


def _fires(expression: str, wall: datetime) -> bool:
    if expression.startswith("at("):
        return f"at({wall.isoformat()})" == expression
    _, minutes, hours, *_ = expression[5:].split()
    every = {"*/20": (0, 20, 40), "*": range(24), "1,2": (1, 2)}
    return wall.minute in every.get(minutes, (_int(minutes),)) and wall.hour in every.get(hours, (_int(hours),))


def _int(text: str) -> int:
    return int(text) if text.isdigit() else -1


@settings(max_examples=30, deadline=None)
@given(configs(), loads, moments)
def test_what_a_policy_wants_lies_between_its_capacities(
    given: ProvisionConfig, load: list[Any], start: float
) -> None:
    memory, now = FloorMemory(), start
    for one, seconds in load:
        for second in range(seconds):
            before = {name: tracked.count for name, tracked in memory.tracked.items()}
            observe(given, one, memory, now + second)
            for policy in given.target_tracking_policies:
                if (tracked := memory.tracked.get(policy.name)) is None:
                    continue
                assert policy.min_capacity <= tracked.count <= policy.max_capacity
                if one[policy.metric].value is None:
                    assert tracked.count == before.get(policy.name, policy.min_capacity)
        now += seconds
