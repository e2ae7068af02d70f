"""How many instances: tables of cases, and laws that hold for any facts."""

from __future__ import annotations

import re
from dataclasses import replace
from math import ceil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.autoscaler import Decision, Idle, Memory, Policy, Snapshot, decide, max_queue_wait

POLICY = Policy(min=0, max=10, concurrency=1, idle_timeout=300.0, max_queue_wait=None)
NOTHING = Snapshot(queued=0, held=0, running=0, oldest=None, starting=0, ready=0, idle=(), capacity=16)
UNKNOWN = Memory()
KNOWN = Memory(service=1.0, cold_start=5.0)
"""Max-queue-wait is 10 s for held calls and 30 s for jobs then."""


def idle(*seconds: float) -> tuple[Idle, ...]:
    return tuple(Idle(instance=f"i{number}", seconds=one) for number, one in enumerate(seconds))


def desired(policy: Policy = POLICY, memory: Memory = KNOWN, **facts: Any) -> int:
    return decide(policy, replace(NOTHING, **facts), memory).desired


def test_nothing_is_wanted_when_nothing_is_asked() -> None:
    assert decide(POLICY, NOTHING, UNKNOWN) == Decision(
        desired=0, stop=(), reason="nothing queued, nothing running"
    )


@pytest.mark.parametrize("memory", [UNKNOWN, KNOWN, Memory(service=1e-6), Memory(service=3600.0, cold_start=60.0)])
@pytest.mark.parametrize("held", [0, 1])
def test_one_call_starts_one_instance_from_zero(memory: Memory, held: int) -> None:
    assert desired(memory=memory, queued=1, held=held, oldest=0.0) == 1


@pytest.mark.parametrize(
    ("facts", "memory", "wanted"),
    [
        pytest.param({"queued": 60, "held": 60}, Memory(service=0.5, cold_start=40.0), 1, id="burst, slow start"),
        pytest.param({"queued": 60, "held": 60}, Memory(service=1.0, cold_start=5.0), 6, id="10 s for held calls"),
        pytest.param({"queued": 61, "held": 61}, Memory(service=1.0, cold_start=5.0), 7, id="rounded up"),
        pytest.param(
            {"queued": 60, "held": 60}, Memory(service=1.0, cold_start=20.0), 3, id="a cold start if longer"
        ),
        pytest.param({"queued": 60}, Memory(service=1.0, cold_start=5.0), 2, id="30 s for jobs"),
        pytest.param(
            {"queued": 60}, Memory(service=1.0, cold_start=20.0), 2, id="two cold starts for jobs (40 s)"
        ),
        pytest.param(
            {"queued": 60, "held": 1}, Memory(service=1.0, cold_start=5.0), 6, id="one held call hurries"
        ),
        pytest.param({"queued": 60, "held": 60}, Memory(cold_start=5.0), 10, id="unknown service: 5 s, so max"),
        pytest.param({"queued": 6, "held": 6}, Memory(), 2, id="nothing known: 6 x 5 s in 15 s"),
        pytest.param({"queued": 2}, Memory(service=600.0, cold_start=5.0), 2, id="never more than calls"),
    ],
)
def test_a_queue_gets_as_many_as_drain_it_in_time(facts: dict[str, Any], memory: Memory, wanted: int) -> None:
    assert desired(memory=memory, oldest=0.0, **facts) == wanted


def test_running_calls_count_for_half_when_the_queue_is_drained() -> None:
    # (76 + 8 / 2) calls of 1 s, 4 at a time, in 10 s: exactly 2 instances. One call more wants a third.
    policy = replace(POLICY, concurrency=4)
    facts: dict[str, Any] = {"queued": 76, "held": 76, "running": 8, "oldest": 0.0, "ready": 2}
    assert desired(policy, memory=KNOWN, **facts) == 2
    assert desired(policy, memory=KNOWN, **{**facts, "queued": 77, "held": 77}) == 3


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
    assert max_queue_wait(replace(POLICY, max_queue_wait=own), held, Memory(cold_start=cold)) == seconds


@pytest.mark.parametrize(("concurrency", "wanted"), [(1, 8), (2, 4), (3, 3), (8, 1), (100, 1)])
def test_running_calls_keep_the_instances_that_they_fill(concurrency: int, wanted: int) -> None:
    policy = replace(POLICY, concurrency=concurrency, idle_timeout=0.0)
    # Everything beyond the busy ones has been idle for ever, so only what is wanted stays.
    facts: dict[str, Any] = {"running": 8, "ready": 16, "idle": idle(*[9.0] * (16 - ceil(8 / concurrency)))}
    decision = decide(policy, replace(NOTHING, **facts), KNOWN)
    assert (decision.desired, len(decision.stop)) == (wanted, 16 - wanted)


def test_calls_that_fit_into_one_instance_start_one() -> None:
    assert desired(replace(POLICY, concurrency=8), Memory(service=600.0), queued=8, oldest=0.0) == 1
    assert desired(replace(POLICY, concurrency=8), Memory(service=600.0), queued=9, oldest=0.0) == 2


def test_the_floor_is_kept_without_any_demand() -> None:
    decision = decide(replace(POLICY, min=2), NOTHING, UNKNOWN)
    assert (decision.desired, decision.reason) == (2, "the floor is 2")


def test_demand_above_the_floor_rules() -> None:
    assert desired(replace(POLICY, min=2), queued=60, held=60, oldest=0.0) == 6


def test_max_bounds_demand_and_says_so() -> None:
    decision = decide(replace(POLICY, max=3), replace(NOTHING, queued=60, held=60, oldest=0.0), KNOWN)
    assert decision.desired == 3
    assert decision.reason == "60 queued and 0 running need 6, max is 3"


def test_capacity_bounds_demand_and_the_floor_and_says_so() -> None:
    decision = decide(POLICY, replace(NOTHING, queued=60, held=60, oldest=0.0, capacity=2), KNOWN)
    assert decision.desired == 2
    assert decision.reason == "60 queued and 0 running need 6; only 2 fit on this machine"
    decision = decide(replace(POLICY, min=5), replace(NOTHING, capacity=2), KNOWN)
    assert (decision.desired, decision.reason) == (2, "the floor is 5; only 2 fit on this machine")


def test_a_full_machine_gets_nothing_more() -> None:
    assert desired(queued=1, held=1, oldest=0.0, capacity=0) == 0


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        pytest.param({"oldest": 30.1}, 2, id="waited too long: one more"),
        pytest.param({"oldest": 30.0}, 1, id="at the limit: not yet"),
        pytest.param({"oldest": 30.1, "starting": 1, "ready": 0}, 1, id="one is on its way"),
        pytest.param({"oldest": 30.1, "queued": 1, "running": 0}, 1, id="no more than there are calls"),
        pytest.param({"oldest": 30.1, "ready": 10, "running": 10}, 10, id="never above max"),
        pytest.param({"oldest": None}, 1, id="nothing waits"),
    ],
)
def test_the_oldest_call_guards_against_a_wrong_estimate(facts: dict[str, Any], wanted: int) -> None:
    # The estimate says that one instance is enough: calls that end in a millisecond. The head waits all the same.
    stuck: dict[str, Any] = {"queued": 5, "running": 1, "ready": 1, "starting": 0}
    assert desired(memory=Memory(service=0.001, cold_start=5.0), **stuck | facts) == wanted


def test_the_guard_gives_its_reason() -> None:
    facts = replace(NOTHING, queued=5, running=1, ready=1, oldest=31.25)
    decision = decide(POLICY, facts, Memory(service=0.001, cold_start=5.0))
    assert decision.reason == "the oldest has waited 31.2 s, more than 30.0 s"


@pytest.mark.parametrize(
    ("seconds", "stop"),
    [
        ((), ()),
        ((299.9,), ()),
        ((300.0,), ("i0",)),
        ((301.0, 999.0, 500.0), ("i1", "i2", "i0")),
        ((301.0, 1.0, 500.0), ("i2", "i0")),
    ],
)
def test_idle_ones_go_after_the_idle_timeout_the_longest_idle_first(
    seconds: tuple[float, ...], stop: tuple[str, ...]
) -> None:
    decision = decide(POLICY, replace(NOTHING, ready=len(seconds), idle=idle(*seconds)), KNOWN)
    assert decision.stop == stop
    assert decision.desired == len(seconds) - len(stop)


def test_what_is_kept_for_its_idle_timeout_is_explained() -> None:
    decision = decide(POLICY, replace(NOTHING, ready=2, idle=idle(1.0, 2.0)), KNOWN)
    assert decision.reason == "nothing queued, nothing running; 2 more until idle for 300 s"
    facts = replace(NOTHING, running=1, ready=3, idle=idle(1.0, 2.0))
    assert decide(POLICY, facts, KNOWN).reason == "0 queued and 1 running need 1; 2 more until idle for 300 s"


@pytest.mark.parametrize(
    ("floor", "stop"), [(0, ("i2", "i1", "i0")), (1, ("i2", "i1")), (2, ("i2",)), (3, ()), (4, ())]
)
def test_the_floor_stays_however_long_it_is_idle(floor: int, stop: tuple[str, ...]) -> None:
    policy = replace(POLICY, min=floor)
    decision = decide(policy, replace(NOTHING, ready=3, idle=idle(1000.0, 2000.0, 3000.0)), KNOWN)
    assert decision.stop == stop


def test_a_wanted_instance_stays_although_it_was_idle_for_long() -> None:
    facts = replace(NOTHING, queued=1, held=1, oldest=0.0, ready=2, idle=idle(1000.0, 2000.0))
    assert decide(POLICY, facts, KNOWN).stop == ("i1",)


def test_an_instance_that_starts_is_part_of_what_there_is() -> None:
    # One is wanted, one starts: the idle one is beyond that.
    facts = replace(NOTHING, queued=1, held=1, oldest=0.0, starting=1, ready=1, idle=idle(1000.0))
    assert decide(POLICY, facts, KNOWN).stop == ("i0",)


def test_an_idle_timeout_of_zero_stops_at_once() -> None:
    policy = replace(POLICY, idle_timeout=0.0)
    assert decide(policy, replace(NOTHING, ready=1, idle=idle(0.0)), KNOWN).stop == ("i0",)


quick = settings(max_examples=50, deadline=None)
counts = st.integers(0, 500)
seconds = st.floats(0, 1e6, allow_nan=False)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    floor = draw(st.integers(0, 20))
    return Policy(
        min=floor,
        max=draw(st.integers(max(floor, 1), 40)),
        concurrency=draw(st.integers(1, 100)),
        idle_timeout=draw(seconds),
        max_queue_wait=draw(st.none() | st.floats(0.001, 1e5)),
    )


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """What a pool can look like: idle ones are among the ready, a machine holds at least what it has."""
    idle_seconds = draw(st.lists(seconds, max_size=10))
    busy, starting, queued = draw(st.integers(0, 20)), draw(st.integers(0, 10)), draw(counts)
    ready = busy + len(idle_seconds)
    return Snapshot(
        queued=queued,
        held=draw(st.integers(0, queued)),
        running=draw(counts),
        oldest=draw(seconds) if queued else None,
        starting=starting,
        ready=ready,
        idle=idle(*idle_seconds),
        capacity=starting + ready + draw(st.integers(0, 20)),
    )


memories = st.builds(Memory, service=st.none() | st.floats(0, 1e5), cold_start=st.none() | st.floats(0, 1e4))


@quick
@given(policies(), snapshots(), memories)
def test_deciding_twice_on_the_same_facts_is_equal(policy: Policy, facts: Snapshot, memory: Memory) -> None:
    assert decide(policy, facts, memory) == decide(policy, facts, memory)


@quick
@given(policies(), snapshots(), memories)
def test_what_is_wanted_lies_between_floor_and_max_and_capacity(
    policy: Policy, facts: Snapshot, memory: Memory
) -> None:
    current = facts.starting + facts.ready
    wanted = decide(policy, facts, memory).desired
    assert min(policy.min, facts.capacity) <= wanted <= facts.capacity
    assert wanted <= max(policy.max, current), "max bounds what is started, not what still runs"


@quick
@given(policies(), snapshots(), memories)
def test_only_idle_instances_go_and_only_after_their_time(policy: Policy, facts: Snapshot, memory: Memory) -> None:
    stop = decide(policy, facts, memory).stop
    since = {one.instance: one.seconds for one in facts.idle}
    assert len(set(stop)) == len(stop)
    assert all(since[instance] >= policy.idle_timeout for instance in stop), "a busy one is not among the idle"
    assert sorted(stop, key=lambda instance: -since[instance]) == list(stop)
    left = set(since) - set(stop)
    assert not stop or all(since[one] <= since[stop[-1]] for one in left), "the longest idle go first"


@quick
@given(policies(), snapshots(), memories)
def test_stopping_never_undercuts_the_floor_nor_the_work(policy: Policy, facts: Snapshot, memory: Memory) -> None:
    current = facts.starting + facts.ready
    decision = decide(policy, facts, memory)
    left = current - len(decision.stop)
    busy = min(ceil(facts.running / policy.concurrency), policy.max)
    assert left >= min(current, max(policy.min, busy))
    assert decision.desired >= left, "what is kept is part of what is wanted, or it would be started again"


@quick
@given(policies(), snapshots(), memories)
def test_nothing_is_started_and_stopped_at_once(policy: Policy, facts: Snapshot, memory: Memory) -> None:
    decision = decide(policy, facts, memory)
    assert not decision.stop or decision.desired <= facts.starting + facts.ready


@quick
@given(policies(), snapshots(), memories)
def test_without_demand_nothing_above_the_floor_is_started(
    policy: Policy, facts: Snapshot, memory: Memory
) -> None:
    quiet = replace(facts, queued=0, held=0, running=0, oldest=None)
    assert decide(policy, quiet, memory).desired <= max(facts.starting + facts.ready, policy.min)


@quick
@given(policies(), snapshots(), memories)
def test_queued_work_never_starves(policy: Policy, facts: Snapshot, memory: Memory) -> None:
    if facts.queued and facts.capacity:
        assert decide(policy, facts, memory).desired >= 1


@quick
@given(policies(), snapshots(), memories)
def test_no_more_are_started_than_there_are_calls_for(policy: Policy, facts: Snapshot, memory: Memory) -> None:
    calls = ceil((facts.queued + facts.running) / policy.concurrency)
    assert decide(policy, facts, memory).desired <= max(calls, policy.min, facts.starting + facts.ready)


@quick
@given(policies(), snapshots(), memories, st.integers(1, 100))
def test_more_work_never_wants_fewer_instances(policy: Policy, facts: Snapshot, memory: Memory, more: int) -> None:
    if facts.queued:
        larger = replace(facts, queued=facts.queued + more)
        assert decide(policy, larger, memory).desired >= decide(policy, facts, memory).desired


@quick
@given(policies(), snapshots(), memories)
def test_a_reason_is_one_short_line_for_people(policy: Policy, facts: Snapshot, memory: Memory) -> None:
    reason = decide(policy, facts, memory).reason
    assert re.fullmatch(r"[a-z0-9][\w ,;.+-]*", reason), reason
    assert len(reason) < 160
    assert not re.search(r"None|nan|inf", reason), reason
