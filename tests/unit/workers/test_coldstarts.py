"""How often a function starts cold, and where the time goes."""

from __future__ import annotations

import json

from workers.coldstarts import ColdStarts


def test_before_the_first_call_nothing_is_known() -> None:
    assert ColdStarts().summary() == {"count": 0, "calls": 0, "probability": None, "stages": {}}


def test_the_probability_is_that_of_a_call_to_wait_for_a_start() -> None:
    starts = ColdStarts()
    for number in range(8):
        starts.called(cold=number < 3)
    assert starts.summary()["probability"] == 0.375


def test_each_stage_has_its_percentiles() -> None:
    starts = ColdStarts()
    for number in range(1, 101):
        starts.took({"starting": number, "initializing": 10.0})
    stages = starts.summary()["stages"]
    assert stages == {"starting": {"p50": 50, "p95": 95}, "initializing": {"p50": 10.0, "p95": 10.0}}


def test_only_the_last_starts_count() -> None:
    starts = ColdStarts()
    for _ in range(300):
        starts.took({"starting": 1.0})
    for _ in range(200):
        starts.took({"starting": 9.0})
    assert starts.summary()["stages"]["starting"] == {"p50": 9.0, "p95": 9.0}


def test_what_was_learnt_survives_the_store() -> None:
    starts = ColdStarts()
    starts.called(cold=True)
    starts.starts = 2
    starts.took({"starting": 1.25})
    again = ColdStarts()
    again.load(json.loads(json.dumps(starts.dump())))
    assert again.summary() == starts.summary()
