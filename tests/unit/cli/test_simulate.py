"""`penstock simulate`: tables, JSON, a chart, and one clear line for what cannot be simulated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Penstock, one_line


@pytest.fixture
def log(tmp_path: Path) -> Path:
    file = tmp_path / "day.csv"
    file.write_text("time,function,duration\n0,resize,1\n60,resize,1\n90,ocr,5\n")
    return file


def test_a_log_is_shown_by_policy_and_by_function(penstock: Penstock, log: Path) -> None:
    ran = penstock("simulate", log)
    assert ran.code == 0, ran.err
    title, header, ours, *functions = [line for line in ran.out.splitlines() if line.strip()]
    assert title == "day: 3 requests in 90s, 12 GPUs"
    assert header.split() == ["POLICY", "WAIT", "p50", "p95", "p99", "STARTS", "GPU-S", "USED", "KILLED", "COST"]
    assert ours.split()[0] == "penstock"
    assert [line.split()[0] for line in functions] == ["ocr", "resize"]


def test_policies_are_compared_side_by_side_with_the_peers(penstock: Penstock, tmp_path: Path) -> None:
    for name, seconds in (("eager", 30), ("patient", 900)):
        (tmp_path / f"{name}.yaml").write_text(f"idle_timeout: {seconds}s\ncold_start: 10s\n")
    files = ["--policy", tmp_path / "eager.yaml", "--policy", tmp_path / "patient.yaml"]
    ran = penstock("simulate", "--case", "A", "--duration", "30m", *files, "--peers", "--json")
    assert ran.code == 0, ran.err
    case: dict[str, Any] = json.loads(ran.out)[0]
    found = {one["policy"]: one for one in case["policies"]}
    assert list(found) == ["eager", "patient", "knative", "ray", "keda"]
    assert found["eager"]["gpu_seconds"] < found["patient"]["gpu_seconds"]
    assert case["frontier"]
    again = penstock("simulate", "--case", "A", "--duration", "30m", *files, "--peers", "--json")
    assert again.out == ran.out, "the same seed gives the same table"


def test_a_chart_is_written(penstock: Penstock, log: Path, tmp_path: Path) -> None:
    picture = tmp_path / "day.svg"
    assert penstock("simulate", log, "--chart", picture).code == 0
    assert picture.read_text().startswith("<svg ")


def test_all_cases(penstock: Penstock) -> None:
    ran = penstock("simulate", "--case", "all", "--duration", "5m", "--json")
    assert [case["case"] for case in json.loads(ran.out)][:5] == ["A", "B", "C", "D", "D-held"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "give a CSV file or --case, one of them"),
        (["LOG", "--case", "A"], "give a CSV file or --case, one of them"),
        (["--case", "Z"], "--case Z: unknown; expected A, B, C"),
        (["nowhere.csv"], "nowhere.csv: cannot be read"),
        (["LOG", "--policy", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["LOG", "--duration", "5m"], "--duration is for patterns"),
        (["--case", "A", "--duration", "soon"], "--duration: 'soon' is not a duration"),
        (["--case", "A", "--duration", "0s"], "--duration 0s: expected 1s to 7d"),
        (["LOG", "--cards", "0"], "--cards 0: expected 1 or more"),
        (["LOG", "--chart", "day.png"], "--chart day.png: only SVG is drawn; name it day.svg"),
        (["--case", "all", "--chart", "all.svg"], "--chart draws one case"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    penstock: Penstock, log: Path, arguments: list[str], complaint: str
) -> None:
    said = one_line(penstock("simulate", *[log if one == "LOG" else one for one in arguments]), 2)
    assert said.startswith(complaint)


def test_a_bad_line_of_a_log_is_named(penstock: Penstock, log: Path) -> None:
    log.write_text("time,function,duration\n0,resize,fast\n")
    assert one_line(penstock("simulate", log), 2) == f"{log}:2: duration 'fast'; expected seconds, 0 or more"


def test_a_policy_must_not_look_like_a_peer(penstock: Penstock, tmp_path: Path, log: Path) -> None:
    (tmp_path / "ray.yaml").write_text("max: 2\n")
    assert "a peer has this name" in one_line(penstock("simulate", log, "--policy", tmp_path / "ray.yaml"), 2)
