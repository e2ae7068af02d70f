"""How many instances: tables of cases, and laws that hold for any facts."""

from __future__ import annotations

import re
from dataclasses import replace
from math import ceil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.autoscaler import Decision, Idle, Policy, Snapshot, decide, max_queue_wait
from workers.history import Memory

POLICY = Policy(max=10, concurrency=1, idle_timeout=300.0)
NOTHING = Snapshot(queued=0, held=0, running=0, oldest=None, starting=(), ready=0, idle=(), floor=0, capacity=16)
NOW = 1_000.0


def known(service: float | None = 1.0, cold: float | None = 5.0) -> Memory:
    """Max-queue-wait is 10 s for held calls and 30 s for jobs at its defaults."""
    memory = Memory()
    if service is not None:
        memory.ended(service)
    if cold is not None:
        memory.started(cold)
    return memory


def idle(*seconds: float) -> tuple[Idle, ...]:
    return tuple(Idle(instance=f"i{number}", seconds=one) for number, one in enumerate(seconds))


def instances(count: int) -> tuple[str, ...]:
    return tuple(f"s{number}" for number in range(count))


def look(policy: Policy = POLICY, memory: Memory | None = None, **facts: Any) -> Decision:
    return decide(policy, replace(NOTHING, **facts), memory or known(), NOW)


def desired(policy: Policy = POLICY, memory: Memory | None = None, **facts: Any) -> int:
    return look(policy, memory, **facts).desired


def test_nothing_is_wanted_when_nothing_is_asked() -> None:
    assert look(memory=Memory()) == Decision(desired=0, wanted=0, reason="nothing queued, nothing running")


def test_what_is_not_known_changes_nothing() -> None:
    decision = look(queued=None, ready=3, starting=instances(1), idle=idle(900.0, 900.0), floor=0)
    assert (decision.desired, decision.stop, decision.valid) == (4, (), False)


@pytest.mark.parametrize("service", [None, 1e-6, 1.0, 3600.0])
@pytest.mark.parametrize("held", [0, 1])
def test_one_call_starts_one_instance_from_zero(service: float | None, held: int) -> None:
    assert desired(memory=known(service, None), queued=1, held=held, oldest=0.0) == 1


@pytest.mark.parametrize(
    ("facts", "service", "cold", "wanted"),
    [
        pytest.param({"queued": 60, "held": 60}, 0.5, 40.0, 1, id="burst, slow start"),
        pytest.param({"queued": 60, "held": 60}, 1.0, 5.0, 6, id="10 s for held calls"),
        pytest.param({"queued": 61, "held": 61}, 1.0, 5.0, 7, id="rounded up"),
        pytest.param({"queued": 60, "held": 60}, 1.0, 20.0, 3, id="a cold start if longer"),
        pytest.param({"queued": 60}, 1.0, 5.0, 2, id="30 s for jobs"),
        pytest.param({"queued": 60}, 1.0, 20.0, 2, id="two cold starts for jobs (40 s)"),
        pytest.param({"queued": 60, "held": 1}, 1.0, 5.0, 6, id="one held call hurries"),
        pytest.param({"queued": 60, "held": 60}, None, 5.0, 10, id="unknown service: 5 s, so max"),
        pytest.param({"queued": 6, "held": 6}, None, None, 2, id="nothing known: 6 x 5 s in 15 s"),
        pytest.param({"queued": 2}, 600.0, 5.0, 2, id="never more than calls"),
    ],
)
def test_a_queue_gets_as_many_as_drain_it_in_time(
    facts: dict[str, Any], service: float | None, cold: float | None, wanted: int
) -> None:
    assert desired(memory=known(service, cold), oldest=0.0, **facts) == wanted


def test_running_calls_count_for_half_when_the_queue_is_drained() -> None:
    # (76 + 8 / 2) calls of 1 s, 4 at a time, in 10 s: exactly 2 instances. One call more wants a third.
    policy = replace(POLICY, concurrency=4)
    facts: dict[str, Any] = {"queued": 76, "held": 76, "running": 8, "oldest": 0.0, "ready": 2}
    assert desired(policy, **facts) == 2
    assert desired(policy, **{**facts, "queued": 77, "held": 77}) == 3


def test_the_specs_own_max_queue_wait_rules() -> None:
    policy = replace(POLICY, max_queue_wait=2.0)
    assert desired(policy, queued=10, held=10, oldest=0.0) == 5
    assert desired(policy, queued=10, oldest=0.0) == 5


@pytest.mark.parametrize(
    ("own", "held", "cold", "seconds"),
    [
        (3.0, 1, 100.0, 3.0),
        (None, 1, None, 15.0),
        (None, 1, 4.0, 10.0),
        (None, 1, 40.0, 40.0),
        (None, 0, None, 30.0),
        (None, 0, 4.0, 30.0),
        (None, 0, 40.0, 80.0),
    ],
)
def test_max_queue_wait(own: float | None, held: int, cold: float | None, seconds: float) -> None:
    assert max_queue_wait(replace(POLICY, max_queue_wait=own), held, known(None, cold)) == seconds


def through(memory: Memory, seconds: int, *, rate: float = 0, running: int = 0, held: int = 0) -> Memory:
    """So many seconds of a load, which ends now."""
    for second in range(seconds + 1):
        arrived = 1_000 + round(rate * second)
        memory.observe(NOW - seconds + second, arrived=arrived, waiting=0, running=running, held=held)
    return memory


def test_a_steady_load_gets_what_littles_law_says() -> None:
    # 4 calls/s of 2 s keep 8 busy; jobs fill them wholly, a waiting client finds one in five free.
    memory = through(known(2.0), 60, rate=4, running=8)
    assert desired(replace(POLICY, max=20), memory, running=8, ready=8, queued=4, oldest=1.0) == 8
    facts: dict[str, Any] = {"running": 8, "ready": 8, "queued": 4, "held": 4, "held_running": 8, "oldest": 1.0}
    assert desired(replace(POLICY, max=20), memory, **facts) == 10


@pytest.mark.parametrize("seconds", [60.0, 100.0, 1_000.0])
def test_a_window_longer_than_what_is_kept_is_not_an_empty_one(seconds: float) -> None:
    assert through(known(1.0), 200, rate=4).rate(seconds, NOW) == pytest.approx(4, rel=0.05)


def test_a_rush_counts_at_once() -> None:
    # 20 calls/s of 1 s for the last 6 s, after silence: the mean of a minute would say 2.
    memory = through(through(known(1.0), 0), 6, rate=20)
    facts: dict[str, Any] = {"queued": 120, "held": 120, "oldest": 0.5, "ready": 1}
    assert desired(replace(POLICY, max=40), memory, **facts, capacity=40) == 25  # ceil(20 / 0.8)


def test_a_saturated_closed_loop_grows_though_it_measures_its_own_capacity() -> None:
    # 12 clients, calls of 1 s, 2 instances: 2 arrive each second, and each waits 5 s.
    memory = through(known(1.0, 15.0), 60, rate=2, running=2, held=12)
    for _ in range(12):
        memory.waited(5.0)
    memory.observe(NOW, arrived=1_120, waiting=10, running=2, held=12)
    facts: dict[str, Any] = {"queued": 10, "held": 10, "running": 2, "held_running": 2, "ready": 2, "oldest": 5.0}
    assert desired(replace(POLICY, max=20), memory, **facts) >= 12


@pytest.mark.parametrize("ready", [0, 1])
def test_a_burst_that_is_over_grows_no_more_for_its_waits(ready: int) -> None:
    # 60 calls of 0.5 s came at once 39 s ago: what starts in 40 s drains them in 30, another would come too late.
    memory = known(0.5, 40.0)
    memory.observe(NOW - 40, arrived=1_000, waiting=0, running=0, held=0)
    memory.observe(NOW - 39, arrived=1_060, waiting=60, running=0, held=60)
    for second in range(-38, 1):
        memory.observe(NOW + second, arrived=1_060, waiting=60 - ready, running=ready, held=60)
    if ready:
        memory.waited(39.0)
        memory.observe(NOW, arrived=1_060, waiting=59, running=1, held=60)
    facts: dict[str, Any] = {"queued": 60 - ready, "held": 60 - ready, "running": ready, "held_running": ready}
    starting = instances(1 - ready)
    assert desired(memory=memory, **facts, oldest=39.0, ready=ready, starting=starting) == 1


def test_calls_that_run_longer_than_any_before_are_believed() -> None:
    facts: dict[str, Any] = {"queued": 10, "running": 1, "oldest": 1.0, "ready": 1}
    assert desired(memory=known(0.1), **facts) == 1
    assert desired(memory=known(0.1), running_age=60.0, **facts) == 10


@pytest.mark.parametrize(("concurrency", "wanted"), [(1, 8), (2, 4), (3, 3), (8, 1), (100, 1)])
def test_running_calls_keep_the_instances_that_they_fill(concurrency: int, wanted: int) -> None:
    memory = through(known(), 60, running=8)
    assert look(replace(POLICY, concurrency=concurrency), memory, running=8, ready=16).wanted == wanted


def test_calls_that_fit_into_one_instance_start_one() -> None:
    assert desired(replace(POLICY, concurrency=8), known(600.0), queued=8, oldest=0.0) == 1
    assert desired(replace(POLICY, concurrency=8), known(600.0), queued=9, oldest=0.0) == 2


def test_a_target_utilization_leaves_slots_free() -> None:
    policy = replace(POLICY, target_utilization=0.5)
    assert look(policy, through(known(), 60, running=4), running=4, ready=4).wanted == 8


def test_spare_instances_are_kept_while_there_is_demand() -> None:
    policy = replace(POLICY, buffer=2)
    assert desired(policy, queued=1, oldest=0.0) == 3
    assert desired(policy) == 0
    assert look(policy, queued=1, oldest=0.0).reason == "1 queued and 0 running need 1, and 2 to spare"


def test_queue_delay_looks_at_nothing_but_the_oldest() -> None:
    policy = replace(POLICY, metric="queue_delay", max_queue_wait=5.0)
    memory = through(known(10.0), 60, rate=10, running=1)
    assert desired(policy, memory, queued=100, running=1, ready=1, oldest=4.9) == 1
    assert desired(policy, memory, queued=100, running=1, ready=1, oldest=5.1) == 2
    memory.remember(NOW, wanted=2, guarded=True, reduced=False)
    assert desired(policy, memory, queued=100, running=1, ready=1, starting=instances(1), oldest=5.1) == 2
    assert (
        decide(policy, replace(NOTHING, queued=99, running=2, ready=2, oldest=9.0), memory, NOW + 4).desired == 2
    )
    assert (
        decide(policy, replace(NOTHING, queued=99, running=2, ready=2, oldest=9.0), memory, NOW + 6).desired == 3
    )


def test_the_floor_is_kept_without_any_demand() -> None:
    decision = look(memory=Memory(), floor=2)
    assert (decision.desired, decision.reason) == (2, "the floor is 2")


def test_the_floor_may_be_above_max() -> None:
    assert desired(replace(POLICY, max=3), floor=5) == 5


def test_demand_above_the_floor_rules() -> None:
    assert desired(floor=2, queued=60, held=60, oldest=0.0) == 6


def test_max_bounds_demand_and_says_so() -> None:
    decision = look(replace(POLICY, max=3), queued=60, held=60, oldest=0.0)
    assert decision.desired == 3
    assert decision.reason == "60 queued and 0 running, within 10 s need 6, max is 3"


def test_capacity_bounds_demand_and_the_floor_and_says_so() -> None:
    decision = look(queued=60, held=60, oldest=0.0, capacity=2)
    assert decision.desired == 2
    assert decision.reason == "60 queued and 0 running, within 10 s need 6; only 2 fit here"
    decision = look(floor=5, capacity=2)
    assert (decision.desired, decision.reason) == (2, "the floor is 5; only 2 fit here")


def test_where_nothing_fits_nothing_is_wanted() -> None:
    assert desired(queued=1, held=1, oldest=0.0, capacity=0) == 0


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        pytest.param({"oldest": 30.1}, 2, id="waited too long: one more"),
        pytest.param({"oldest": 30.0}, 1, id="at the limit: not yet"),
        pytest.param({"oldest": 30.1, "starting": ("s",), "ready": 0}, 1, id="one is on its way"),
        pytest.param({"oldest": 30.1, "queued": 1, "running": 0}, 1, id="no more than there are calls"),
        pytest.param({"oldest": 30.1, "ready": 10, "running": 10}, 10, id="never above max"),
        pytest.param({"oldest": None}, 1, id="nothing waits"),
    ],
)
def test_the_oldest_call_guards_against_a_wrong_estimate(facts: dict[str, Any], wanted: int) -> None:
    # The estimate says that one instance is enough: calls that end in a millisecond. The head waits all the same.
    stuck: dict[str, Any] = {"queued": 5, "running": 1, "ready": 1}
    assert desired(memory=known(0.001), **stuck | facts) == wanted


def test_the_guard_gives_its_reason_and_then_waits_for_what_it_started() -> None:
    memory = known(0.001)
    facts: dict[str, Any] = {"queued": 5, "running": 1, "oldest": 31.25}
    decision = look(memory=memory, ready=1, **facts)
    assert decision.reason == "the oldest has waited 31.2 s, more than 30.0 s need 2"
    assert decision.guarded
    memory.remember(NOW, wanted=2, guarded=True, reduced=False)
    assert decide(POLICY, replace(NOTHING, ready=2, **facts), memory, NOW + 29).desired == 2
    assert decide(POLICY, replace(NOTHING, ready=2, **facts), memory, NOW + 31).desired == 3


@pytest.mark.parametrize(
    ("seconds", "stop"),
    [
        ((), ()),
        ((299.9,), ()),
        ((300.0,), ("i0",)),
        ((59.0, 59.0, 59.0), ()),
        ((61.0, 99.0, 50.0), ("i1",)),
        ((61.0, 99.0, 90.0, 80.0), ("i1", "i2")),
        ((61.0, 999.0), ("i1",)),
    ],
)
def test_idle_ones_go_half_at_a_time_the_longest_idle_first_the_last_after_its_timeout(
    seconds: tuple[float, ...], stop: tuple[str, ...]
) -> None:
    decision = look(ready=len(seconds), idle=idle(*seconds))
    assert decision.stop == stop
    assert decision.desired == len(seconds) - len(stop)


def test_the_next_half_goes_after_a_pause() -> None:
    memory = known()
    memory.remember(NOW, wanted=0, guarded=False, reduced=True)
    facts = replace(NOTHING, ready=4, idle=idle(100.0, 100.0, 100.0, 100.0))
    assert decide(POLICY, facts, memory, NOW + 59).stop == ()
    assert len(decide(POLICY, facts, memory, NOW + 61).stop) == 2


def test_what_was_wanted_in_the_last_minute_stays() -> None:
    memory = known()
    memory.remember(NOW, wanted=3, guarded=False, reduced=False)
    memory.remember(NOW + 10, wanted=1, guarded=False, reduced=False)
    facts = replace(NOTHING, ready=4, idle=idle(100.0, 100.0, 100.0, 100.0))
    assert len(decide(POLICY, facts, memory, NOW + 59).stop) == 1
    assert len(decide(POLICY, facts, memory, NOW + 61).stop) == 2


def test_what_starts_and_is_not_needed_any_more_goes_first() -> None:
    assert look(starting=instances(2), ready=2, idle=idle(100.0, 90.0)).stop == ("s0", "s1")


def test_what_is_kept_for_its_idle_timeout_is_explained() -> None:
    assert look(ready=2, idle=idle(1.0, 2.0)).reason == (
        "nothing queued, nothing running; 2 more until idle for 300 s"
    )
    assert look(running=1, ready=3, idle=idle(1.0, 2.0)).reason == (
        "0 queued and 1 running need 1; 2 more until idle for 300 s"
    )


@pytest.mark.parametrize(("floor", "stop"), [(0, ("i2",)), (1, ("i2",)), (2, ("i2",)), (3, ()), (4, ())])
def test_the_floor_stays_however_long_it_is_idle(floor: int, stop: tuple[str, ...]) -> None:
    assert look(floor=floor, ready=3, idle=idle(1000.0, 2000.0, 3000.0)).stop == stop


def test_a_wanted_instance_stays_although_it_was_idle_for_long() -> None:
    assert look(queued=1, held=1, oldest=0.0, ready=2, idle=idle(1000.0, 2000.0)).stop == ("i1",)


def test_an_idle_timeout_of_zero_stops_at_once() -> None:
    assert look(replace(POLICY, idle_timeout=0.0), ready=1, idle=idle(0.0)).stop == ("i0",)


quick = settings(max_examples=50, deadline=None)
counts = st.integers(0, 500)
seconds = st.floats(0, 1e6, allow_nan=False)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    return Policy(
        max=draw(st.integers(1, 40)),
        concurrency=draw(st.integers(1, 100)),
        idle_timeout=draw(seconds),
        max_queue_wait=draw(st.none() | st.floats(0.001, 1e5)),
        target_utilization=draw(st.none() | st.floats(0.1, 1.0)),
        metric=draw(st.sampled_from(["concurrency", "queue_delay"])),
        buffer=draw(st.integers(0, 3)),
    )


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """What a pool can look like: idle ones are among the ready, a machine holds at least what it has."""
    idle_seconds = draw(st.lists(seconds, max_size=10))
    busy, starting, queued = draw(st.integers(0, 20)), draw(st.integers(0, 10)), draw(counts)
    ready = busy + len(idle_seconds)
    running = draw(counts)
    return Snapshot(
        queued=queued,
        held=draw(st.integers(0, queued)),
        running=running,
        held_running=draw(st.integers(0, running)),
        running_age=draw(st.floats(0, 1e4)),
        oldest=draw(seconds) if queued else None,
        starting=instances(starting),
        ready=ready,
        idle=idle(*idle_seconds),
        floor=draw(st.integers(0, 20)),
        capacity=starting + ready + draw(st.integers(0, 20)),
    )


@st.composite
def memories(draw: st.DrawFn) -> Memory:
    """Of any past that ends now."""
    memory = known(draw(st.none() | st.floats(0, 1e5)), draw(st.none() | st.floats(0, 1e4)))
    arrived = 0
    for ago in range(draw(st.integers(0, 8)), 0, -1):
        arrived += draw(st.integers(0, 50))
        waiting, running = draw(st.integers(0, arrived)), draw(st.integers(0, 20))
        held = draw(st.integers(0, 20))
        memory.observe(NOW - ago * 7, arrived=arrived, waiting=waiting, running=running, held=held)
        if draw(st.booleans()):
            memory.waited(draw(st.floats(0, 100)))
        memory.remember(
            NOW - ago * 7,
            wanted=draw(st.integers(0, 20)),
            guarded=draw(st.booleans()),
            reduced=draw(st.booleans()),
        )
    return memory


facts_of_anything = (policies(), snapshots(), memories())


@quick
@given(*facts_of_anything)
def test_deciding_twice_on_the_same_facts_is_equal(policy: Policy, facts: Snapshot, memory: Memory) -> None:
    assert decide(policy, facts, memory, NOW) == decide(policy, facts, memory, NOW)


@quick
@given(*facts_of_anything)
def test_what_is_wanted_lies_between_floor_and_max_and_capacity(
    policy: Policy, facts: Snapshot, memory: Memory
) -> None:
    current = len(facts.starting) + facts.ready
    decision = decide(policy, facts, memory, NOW)
    assert min(facts.floor, facts.capacity) <= decision.wanted <= facts.capacity
    assert decision.wanted <= max(policy.max, facts.floor)
    assert decision.desired <= max(policy.max, facts.floor, current), "max bounds what is started, not what runs"


@quick
@given(*facts_of_anything)
def test_no_busy_instance_ever_goes(policy: Policy, facts: Snapshot, memory: Memory) -> None:
    stop = decide(policy, facts, memory, NOW).stop
    since = {one.instance: one.seconds for one in facts.idle}
    assert len(set(stop)) == len(stop)
    assert set(stop) <= set(since) | set(facts.starting), "a busy one is in neither"
    gone = [one for one in stop if one in since]
    assert all(since[one] >= min(60.0, policy.idle_timeout) for one in gone)
    assert not gone or all(one in stop for one in facts.starting), "what starts goes first"


@quick
@given(*facts_of_anything)
def test_stopping_never_undercuts_the_floor_nor_what_is_needed(
    policy: Policy, facts: Snapshot, memory: Memory
) -> None:
    current = len(facts.starting) + facts.ready
    decision = decide(policy, facts, memory, NOW)
    left = current - len(decision.stop)
    assert left >= min(current, max(facts.floor, decision.wanted))
    assert decision.desired >= left, "what is kept is part of what is wanted, or it would be started again"
    assert not decision.stop or left >= current - current // 2 - 1, "half at a time, and the last one"


@quick
@given(*facts_of_anything)
def test_what_is_not_known_never_scales_in(policy: Policy, facts: Snapshot, memory: Memory) -> None:
    decision = decide(policy, replace(facts, queued=None), memory, NOW)
    assert decision.stop == ()
    assert decision.desired == len(facts.starting) + facts.ready


@quick
@given(*facts_of_anything)
def test_nothing_is_started_and_stopped_at_once(policy: Policy, facts: Snapshot, memory: Memory) -> None:
    decision = decide(policy, facts, memory, NOW)
    assert not decision.stop or decision.desired <= len(facts.starting) + facts.ready


@quick
@given(*facts_of_anything)
def test_without_demand_nothing_above_the_floor_is_started(
    policy: Policy, facts: Snapshot, memory: Memory
) -> None:
    quiet = replace(facts, queued=0, held=0, running=0, held_running=0, oldest=None)
    current = len(facts.starting) + facts.ready
    assert decide(policy, quiet, memory, NOW).desired <= max(current, facts.floor)


@quick
@given(*facts_of_anything)
def test_queued_work_never_starves(policy: Policy, facts: Snapshot, memory: Memory) -> None:
    if facts.queued and facts.capacity:
        assert decide(policy, facts, memory, NOW).wanted >= 1


@quick
@given(*facts_of_anything)
def test_no_more_are_started_than_there_are_calls_for(policy: Policy, facts: Snapshot, memory: Memory) -> None:
    calls = ceil(((facts.queued or 0) + facts.running) / policy.concurrency / (policy.target_utilization or 0.7))
    current = len(facts.starting) + facts.ready
    assert decide(policy, facts, memory, NOW).desired <= max(calls + policy.buffer, facts.floor, current)


@quick
@given(*facts_of_anything)
def test_a_reason_is_one_short_line_for_people(policy: Policy, facts: Snapshot, memory: Memory) -> None:
    reason = decide(policy, facts, memory, NOW).reason
    assert re.fullmatch(r"[a-z0-9][\w ,;/.+-]*", reason), reason
    assert len(reason) < 160
    assert not re.search(r"None|nan|inf", reason), reason
