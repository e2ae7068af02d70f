"""Figures, the frontier, and what policy files may say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import perf_counter

import pytest

from penstock.errors import ConfigurationError
from tests.unit.workers.simulate.traffic import POLICIES, workload
from workers.simulate import cases, variants
from workers.simulate.policies.penstock import Penstock
from workers.simulate.report import Result, Waits, as_json, frontier, replay
from workers.simulate.variants import Variant

PEERS = frozenset({"peer"})


def result(policy: str, p95: float | None, gpu_seconds: float) -> Result:
    return replace(
        replay(workload(0.0), Penstock()).result,
        policy=policy,
        waits=Waits(p50=0.0, p95=p95, p99=p95),
        gpu_seconds=gpu_seconds,
    )


@pytest.mark.parametrize("policy", POLICIES)
def test_the_same_seed_gives_the_same_table(policy: str) -> None:
    traffic = cases.build("C", seed=5, length=1_800.0)
    assert replay(traffic, POLICIES[policy]()) == replay(traffic, POLICIES[policy]())


def test_figures_of_one_call() -> None:
    found = replay(workload(10.0, duration=1.0, cold_start=5.0), Penstock()).result
    assert found.waits == Waits(p50=5.0, p95=5.0, p99=5.0)
    assert (found.requests, found.cold_starts, found.killed, found.unfinished) == (1, 1, 0, 0)
    assert found.gpu_seconds == pytest.approx(5 + 1 + 300, abs=1), "start, call, idle timeout"
    assert found.cost == pytest.approx(found.gpu_seconds * 16 * 0.000018)
    assert found.used == pytest.approx(1 / found.gpu_seconds)


def test_a_share_of_a_card_costs_its_share() -> None:
    whole = replay(workload(0.0), Penstock()).result
    quarter = replay(workload(0.0, memory=4 * 2**30), Penstock()).result
    assert quarter.gpu_seconds == pytest.approx(whole.gpu_seconds / 4)
    assert quarter.cost == pytest.approx(whole.cost / 4)


def test_percentiles_are_values_that_were_measured() -> None:
    found = replay(workload(*[0.0] * 4, duration=1.0, cold_start=5.0, floor=0), Penstock(scaling=Variant(max=1)))
    assert found.result.waits == Waits(p50=6.0, p95=8.0, p99=8.0)


def test_without_requests_there_are_no_waits() -> None:
    found = replay(workload(), Penstock()).result
    assert (found.requests, found.waits.p95, found.used) == (0, None, 0.0)


def test_a_peer_beats_only_in_both() -> None:
    ours = result("penstock", 10.0, 100.0)
    assert frontier([ours, result("peer", 9.0, 99.0)], PEERS) == (
        "peer is better than penstock in both p95 wait and GPU-seconds"
    )
    for p95, gpu_seconds in ((9.0, 100.0), (10.0, 99.0), (9.0, 101.0), (None, 1.0)):
        assert frontier([ours, result("peer", p95, gpu_seconds)], PEERS).startswith("no peer is better")
    assert frontier([ours, result("other", 1.0, 1.0)], PEERS).startswith("no peer"), "a policy of ours is no peer"


def test_who_starves_one_function_beats_nobody() -> None:
    ours, peer = result("penstock", 10.0, 100.0), result("peer", 1.0, 1.0)
    fair = replace(ours, by_function={"often": Waits(p50=0, p95=12, p99=12), "rare": Waits(p50=0, p95=9, p99=9)})
    unfair = replace(peer, by_function={"often": Waits(p50=0, p95=1, p99=1), "rare": Waits(p50=0, p95=13, p99=13)})
    assert frontier([fair, unfair], PEERS).startswith("no peer is better")
    nothing = Waits(p50=None, p95=None, p99=None)
    unknown = replace(unfair, by_function={**unfair.by_function, "rare": nothing})
    assert frontier([fair, unknown], PEERS).startswith("no peer is better")


def test_json_has_it_all() -> None:
    found = as_json(workload(0.0), [result("penstock", 10.0, 100.0), result("peer", 1.0, 1.0)], PEERS)
    assert [one["policy"] for one in found["policies"]] == ["penstock", "peer"]
    assert found["policies"][0]["waits"] == {"p50": 0.0, "p95": 10.0, "p99": 10.0}
    assert found["frontier"].startswith("peer is better")


def test_five_minutes_of_case_b_take_seconds() -> None:
    began = perf_counter()
    replay(cases.build("B", length=300.0), Penstock())
    assert perf_counter() - began < 5.0


def test_a_policy_file_changes_what_it_names(tmp_path: Path) -> None:
    file = tmp_path / "warm.yaml"
    file.write_text("min: 2\nidle_timeout: 5m\ncold_start: 3s\nconcurrency: 4\n")
    warm = variants.load(file)
    profile = warm.applied(workload(0.0)).profiles["f"]
    assert (profile.floor, profile.cold_start, profile.concurrency, warm.idle_timeout) == (2, 3.0, 4, 300.0)
    empty = tmp_path / "empty.yaml"
    empty.write_text("")
    assert variants.load(empty).applied(workload(0.0, floor=1)) == workload(0.0, floor=1)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("idle_timout: 1s", "idle_timout: unknown field; allowed are min, max, idle_timeout"),
        ("idle_timeout: soon", "idle_timeout: 'soon' is not a duration"),
        ("max: 0", "max: input should be greater than or equal to 1 (got 0)"),
        ("min: 3\nmax: 2", "min (3) must not be larger than max (2)"),
        ("- min", "expected fields such as"),
        ("min: [", "p.yaml:1: not YAML"),
    ],
)
def test_a_wrong_policy_file_is_refused_with_what_is_wrong(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        variants.load(file)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_longer_idle_timeout_waits_less_and_costs_more() -> None:
    traffic = cases.build("A", seed=1)
    short, long = (replay(traffic, Penstock(scaling=Variant(idle_timeout=one))).result for one in (30.0, 900.0))
    assert long.cold_starts < short.cold_starts
    assert long.gpu_seconds > short.gpu_seconds
