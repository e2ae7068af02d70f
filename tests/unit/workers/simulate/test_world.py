"""The machine in virtual time: what goes in comes out once, and nothing is in two places."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.workers.simulate.traffic import POLICIES, workload
from workers.simulate import cases
from workers.simulate.policies.penstock import Penstock
from workers.simulate.trace import Profile, Request, Workload
from workers.simulate.world import Controller, Instance, Pool, World


class Fixed(Controller):
    """One instance as soon as something waits; what was started before `stop_at` goes then, others when idle."""

    name = "fixed"

    def __init__(self, stop_at: float, grace: float | None = None) -> None:
        self.stop_at, self.grace = stop_at, grace

    def arrived(self, world: World, pool: Pool) -> None:
        if not pool.current():
            world.start(pool, "gpu0")

    def look(self, world: World) -> None:
        for pool in world.pools.values():
            for instance in pool.current():
                early = instance.born < self.stop_at
                if world.now >= self.stop_at and (early or not pool.demand):
                    world.drain(instance, self.grace)
            if pool.waiting and not pool.instances:
                world.start(pool, "gpu0")


def run(traffic: Workload, controller: Controller) -> World:
    world = World(traffic, controller)
    world.run()
    return world


def test_a_call_waits_for_the_cold_start_and_then_runs() -> None:
    world = run(workload(2.0, 2.5, duration=3.0), Fixed(stop_at=20.0))
    assert [(call.started, call.ended) for call in world.calls] == [(7.0, 10.0), (10.0, 13.0)]
    assert [(one.born, one.ready, one.gone) for one in world.instances] == [(2.0, 7.0, 20.0)]


def test_concurrency_is_calls_at_a_time() -> None:
    world = run(workload(0.0, 0.0, 0.0, duration=3.0, concurrency=2), Fixed(stop_at=20.0))
    assert [call.started for call in world.calls] == [5.0, 5.0, 8.0]


def test_a_draining_instance_ends_its_calls_first_and_takes_no_more() -> None:
    world = run(workload(0.0, 0.0, duration=10.0), Fixed(stop_at=6.0))
    first, second = world.calls
    assert (first.started, first.ended, first.kills) == (5.0, 15.0, 0)
    assert world.instances[0].gone == 15.0
    assert second.started == 20.0, "after another cold start"


def test_what_outlives_the_grace_is_killed_and_runs_again_from_its_start() -> None:
    world = run(workload(0.0, duration=10.0), Fixed(stop_at=6.0, grace=2.0))
    call = world.calls[0]
    assert (call.kills, world.instances[0].gone) == (1, 8.0)
    assert (call.started, call.ended) == (13.0, 23.0)


def test_the_card_is_reserved_from_start_to_end_and_a_share_is_counted() -> None:
    traffic = replace(workload(0.0), profiles={"f": Profile(memory=4 * 2**30)})
    world = run(traffic, Fixed(stop_at=20.0))
    assert world.instances[0].share == 0.25
    assert world.board.reservations == {}


REQUESTS = st.lists(
    st.tuples(st.floats(0, 300), st.sampled_from("ab"), st.floats(0, 60), st.booleans()), min_size=1, max_size=25
)


@settings(max_examples=25, deadline=None)
@given(
    requests=REQUESTS, cards=st.integers(1, 3), concurrency=st.integers(1, 3), policy=st.sampled_from([*POLICIES])
)
def test_every_request_ends_once_and_runs_in_full(
    requests: list[tuple[float, str, float, bool]], cards: int, concurrency: int, policy: str
) -> None:
    ordered = sorted(requests)
    traffic = Workload(
        name="any",
        requests=tuple(Request(at=at, function=f, duration=d, held=h) for at, f, d, h in ordered),
        profiles={name: Profile(cold_start=7.0, concurrency=concurrency) for name in "ab"},
        length=ordered[-1][0],
        cards=cards,
    )
    world = run(traffic, POLICIES[policy]())
    assert Counter(call.request for call in world.calls) == Counter(traffic.requests)
    for call in world.calls:
        assert call.started is not None
        assert call.ended is not None
        assert call.arrived <= call.started
        assert call.ended == pytest.approx(call.started + call.request.duration)
    assert all(pool.demand == pool.held_waiting == pool.held_running == 0 for pool in world.pools.values())
    _nothing_overlaps(world, cards)


def _nothing_overlaps(world: World, cards: int) -> None:
    changes = [(one.born, 1) for one in world.instances]
    changes += [(one.gone, -1) for one in world.instances if one.gone is not None]
    there = 0
    for _, change in sorted(changes):
        there += change
        assert there <= cards


class Strict(World):
    """Fails if an instance is let go of that is busy."""

    drained = 0

    def drain(self, instance: Instance, grace: float | None = None) -> None:
        assert grace is None, "our policy sets no limit to what runs"
        assert not instance.calls, "busy"
        self.drained += 1
        super().drain(instance, grace)


@pytest.mark.parametrize("name", ["A", "B", "C", "D-held"])
def test_a_busy_instance_is_never_a_victim_of_our_policy(name: str) -> None:
    world = Strict(cases.build(name, seed=3), Penstock())
    world.run()
    assert world.drained > 0
    assert sum(call.kills for call in world.calls) == 0


def test_where_cards_are_scarce_our_policy_swaps_and_still_kills_nothing() -> None:
    world = run(cases.build("one-card-overload", seed=1, length=900.0), Penstock())
    assert sum(call.kills for call in world.calls) == 0
    assert len([one for one in world.instances if one.pool.function == "light"]) > 2


def test_two_that_never_idle_starve_no_third_on_one_card() -> None:
    rates = {"one": 1.5, "two": 1.5, "rare": 0.02}
    requests = [
        Request(at=number / rate, function=name, duration=1.0)
        for name, rate in rates.items()
        for number in range(round(1_800 * rate))
    ]
    ordered = tuple(sorted(requests, key=lambda request: request.at))
    profiles = {name: Profile(cold_start=15.0) for name in rates}
    world = run(Workload(name="three", requests=ordered, profiles=profiles, length=1_800.0, cards=1), Penstock())
    rare = [call for call in world.calls if call.request.function == "rare"]
    residency = 8 * 15.0 + 15.0
    assert max((call.started or 0.0) - call.arrived for call in rare) < 2 * residency + 60.0


def test_a_closed_loop_keeps_its_clients_busy_and_its_floor() -> None:
    world = run(cases.build("closed-loop", length=300.0), Penstock())
    assert all(call.ended is not None for call in world.calls)
    assert 1_500 < len(world.calls) < 12 * 300
    assert len(world.pools["loop"].instances) <= 2
