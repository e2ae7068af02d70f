"""The models of others, held against what those projects' own tests and documents say that they do."""

from __future__ import annotations

from random import Random

import pytest

from tests.unit.workers.simulate.traffic import workload
from workers.simulate.policies.keda import Hpa, Keda, desired
from workers.simulate.policies.knative import STABLE_WINDOW, Knative, Panic, Rates, recommend
from workers.simulate.policies.ray import DOWNSCALE_DELAY, UPSCALE_DELAY, Ray, Streak, decide
from workers.simulate.policies.replicas import Pods
from workers.simulate.trace import Workload
from workers.simulate.world import Controller, World

TEN = Rates(up=10.0, down=10.0)


def run(traffic: Workload, controller: Controller) -> World:
    world = World(traffic, controller)
    world.run()
    return world


def kpa(
    stable: float,
    short: float,
    *,
    ready: int = 1,
    target: float = 10.0,
    now: float = 0.0,
    panic: Panic | None = None,
    rates: Rates = TEN,
) -> int:
    return recommend(
        panic or Panic(), stable=stable, short=short, ready=ready, target=target, now=now, rates=rates
    )


@pytest.mark.parametrize(
    ("stable", "short", "ready", "target", "rates", "pods"),
    [
        pytest.param(50, 10, 1, 10, TEN, 5, id="StableModeIncreaseWithConcurrencyDefault"),
        pytest.param(100, 10, 1, 10, TEN, 10, id="StableModeIncreaseWithConcurrencyDefault, more"),
        pytest.param(50, 50, 8, 10, TEN, 5, id="StableModeDecrease"),
        pytest.param(1, 0, 1, 10, TEN, 1, id="StableModeNoTrafficScaleToZero, some"),
        pytest.param(0, 0, 1, 10, TEN, 0, id="StableModeNoTrafficScaleToZero, none"),
        pytest.param(50, 100, 1, 10, TEN, 10, id="PanicModeDoublePodCount"),
        pytest.param(1000, 1001, 1, 10, TEN, 10, id="RateLimitScaleUp"),
        pytest.param(1000, 1001, 10, 10, TEN, 100, id="RateLimitScaleUp, again"),
        pytest.param(1, 1, 100, 10, TEN, 10, id="RateLimitScaleDown"),
        pytest.param(1000, 888, 0, 10, TEN, 10, id="UseOnePodAsMinimumIfEndpointsNotFound"),
        pytest.param(3, 3.1, 2, 1, Rates(up=1.1, down=10), 3, id="IncreaseWithSmallScaleUpRate"),
        pytest.param(1, 1, 100, 10, Rates(up=10, down=1.1), 90, id="DecreaseWithSmallScaleDownRate"),
    ],
)
def test_knative_scales_as_its_own_tests_expect(
    stable: float, short: float, ready: int, target: float, rates: Rates, pods: int
) -> None:
    """Source: knative/serving pkg/autoscaler/scaling/autoscaler_test.go, the test that each id names."""
    assert kpa(stable, short, ready=ready, target=target, rates=rates) == pods


def test_knative_panics_and_calms_down() -> None:
    """Source: autoscaler_test.go, TestAutoscalerPanicThenUnPanicScaleDown: 100 pods stay half a window after the
    rush, and go after a whole one."""
    panic = Panic()
    assert kpa(100, 1000, ready=10, panic=panic) == 100
    assert kpa(1, 1, ready=10, now=30.0, panic=panic) == 100
    assert kpa(1, 1, ready=10, now=STABLE_WINDOW + 1.0, panic=panic) == 1


def test_knative_extends_its_panic() -> None:
    """Source: autoscaler_test.go, TestAutoscalerUnpanicAfterSlowIncrease and TestAutoscalerExtendPanicWindow."""
    panic = Panic()
    assert kpa(11, 25, ready=10, target=1, panic=panic) == 25
    assert (kpa(30, 41, ready=40, target=1, now=30.0, panic=panic), panic.since) == (41, 0.0)
    assert (kpa(50, 56, ready=55, target=1, now=62.0, panic=panic), panic.since) == (50, None)
    again = Panic()
    kpa(11, 25, ready=10, target=1, panic=again)
    assert (kpa(30, 80, ready=40, target=1, now=30.0, panic=again), again.since) == (80, 30.0)


def test_knative_takes_the_larger_of_the_two_while_it_panics() -> None:
    """Source: autoscaler_test.go, AutoscalerPanicStableLargerThanPanic and AutoscalerPanicStableLessThanPanic."""
    assert kpa(50, 30, ready=5, target=1, now=5.0, panic=Panic(since=0.0, pods=5)) == 50
    assert kpa(20, 30, ready=5, target=1, now=5.0, panic=Panic(since=0.0, pods=5)) == 30


def test_knative_activates_at_once_and_leaves_after_window_and_grace() -> None:
    """Source: knative.dev, docs/serving/autoscaling: the last replica goes only after no traffic for the whole
    stable window (60 s), and scale-to-zero-grace-period (30 s) bounds what follows. One call makes 2."""
    world = run(workload(10.0), Knative())
    assert [one.born for one in world.instances] == [10.0, 10.0]
    last = max(one.gone or 0.0 for one in world.instances)
    assert 16.0 + 60.0 + 28.0 <= last <= 16.0 + 60.0 + 36.0


def ray(requests: float, streak: Streak, now: float, *, running: int = 1, each: float = 1.0) -> int:
    return decide(streak, requests=requests, running=running, target=running, each=each, bounds=(0, 20), now=now)


def test_ray_scales_up_and_down_only_after_its_delays() -> None:
    """Source: ray python/ray/serve/tests/unit/test_autoscaling_policy.py, _run_upscale_downscale_flow: not before
    upscale_delay_s of the same decision; down to 1 after downscale_delay_s, and after as long again to 0."""
    streak = Streak()
    assert [ray(10, streak, now) for now in (0.0, UPSCALE_DELAY - 1, UPSCALE_DELAY)] == [1, 1, 10]
    late = DOWNSCALE_DELAY
    assert [ray(0, streak, 100 + now, running=10) for now in (0.0, late - 1, late)] == [10, 10, 1]
    assert [ray(0, streak, 1000 + now) for now in (0.0, late - 1, late)] == [1, 1, 0]


def test_ray_starts_to_count_again_after_a_decision_the_other_way() -> None:
    """Source: the same flow: an interrupting decision resets the counter."""
    streak = Streak()
    assert [ray(10, streak, 0.0), ray(0, streak, 20.0), ray(10, streak, 25.0), ray(10, streak, 40.0)] == [1] * 4
    assert ray(10, streak, 25.0 + UPSCALE_DELAY) == 10


def test_ray_divides_ongoing_requests_by_the_target() -> None:
    """Source: docs.ray.io, advanced autoscaling: desired = ongoing requests per replica / target x replicas."""
    streak = Streak(up=True, since=-100.0)
    assert ray(9, streak, 0.0, running=2, each=2.0) == 5


def test_ray_leaves_zero_at_once_with_one_replica() -> None:
    """Source: autoscaling_policy.py, cold start fast path; test_scaling_factor_scale_up_from_0_replicas, at a
    factor of 1."""
    assert ray(50, Streak(), 0.0, running=0) == 1
    assert ray(0, Streak(), 0.0, running=0) == 0
    assert run(workload(3.0), Ray()).instances[0].born == 3.0


def test_ray_stops_the_newest_first() -> None:
    """Source: ray deployment_scheduler.py, _get_replicas_to_stop: those not running, then newer before older."""
    world = World(workload(), Ray())
    pool = world.pools["f"]
    old, new, starting = (world.start(pool, f"gpu{number}") for number in range(3))
    new.born, old.ready, new.ready = 5.0, 5.0, 10.0
    assert Ray().victims(world, [old, new, starting]) == [starting, new, old]


@pytest.mark.parametrize(
    ("length", "replicas", "pods"),
    [
        pytest.param(60, 1, 12, id="60 entries, listLength 5"),
        pytest.param(0, 4, 0, id="an empty list"),
        pytest.param(3, 0, 1, id="from zero"),
        pytest.param(21, 4, 4, id="within the tolerance of 0.1"),
        pytest.param(12, 2, 3, id="beyond it"),
        pytest.param(8, 2, 2, id="below it, rounded up"),
    ],
)
def test_the_hpa_divides_the_length_of_the_list(length: int, replicas: int, pods: int) -> None:
    """Source: keda.sh, Redis lists (listLength 5); Kubernetes API, HPAScalingRules (tolerance: by default 10 %);
    replica_calculator.go for average values of external metrics (rounded up)."""
    assert desired(length, replicas) == pods


def test_the_hpa_adds_four_or_doubles_per_period() -> None:
    """Source: Kubernetes API, HPAScalingRules: "for scale up: allow doubling the number of pods, or an absolute
    change of 4 pods in a 15s window"."""
    hpa = Hpa()
    assert [hpa.scale(40, 1, (1, 100), 0.0), hpa.scale(40, 5, (1, 100), 15.0)] == [5, 10]
    assert [hpa.scale(40, 10, (1, 100), 20.0), hpa.scale(40, 10, (1, 100), 30.0)] == [10, 20]


def test_the_hpa_goes_down_to_the_highest_of_the_last_five_minutes() -> None:
    """Source: Kubernetes API, HPAScalingRules: "a 300 second stabilization window (i.e., the highest
    recommendation for the last 300sec is used)"."""
    hpa = Hpa()
    assert hpa.scale(8, 8, (1, 100), 0.0) == 8
    assert [hpa.scale(3, 8, (1, 100), 200.0), hpa.scale(1, 8, (1, 100), 300.0)] == [8, 8]
    assert [hpa.scale(1, 8, (1, 100), 301.0), hpa.scale(1, 3, (1, 100), 501.0)] == [3, 1]


def test_keda_polls_and_cools_down() -> None:
    """Source: keda.sh, ScaledObject specification: pollingInterval 30 s, cooldownPeriod 300 s after the last
    active trigger; only from and to zero, the HPA does the rest."""
    world = run(workload(1.0), Keda())
    assert [(one.born, one.gone) for one in world.instances] == [(30.0, 330.0)]


def test_keda_kills_what_runs_since_the_list_is_empty() -> None:
    """Source: keda.sh, scaling deployments, long-running executions: the HPA may terminate a replica that still
    processes; terminationGracePeriodSeconds is 30 s."""
    world = run(workload(1.0, duration=500.0), Keda())
    assert world.calls[0].kills > 0


def test_pods_that_are_not_ready_go_first_then_the_youngest_by_powers_of_two() -> None:
    """Source: Kubernetes, ReplicaSet: pending first, then by age on a logarithmic scale, then at random."""
    world = World(workload(), Pods())
    pool = world.pools["f"]
    world.now = 1_000.0
    oldest, older, young, starting = (world.start(pool, f"gpu{number}") for number in range(4))
    oldest.ready, older.ready, young.ready = 0.0, 100.0, 990.0
    firsts = set()
    for seed in range(20):
        pods = Pods()
        pods.random = Random(seed)
        order = pods.victims(world, [oldest, older, young, starting])
        assert order[:2] == [starting, young]
        firsts.add(order[2].id)
    assert firsts == {oldest.id, older.id}, "900 s and 1000 s are of one age"
