"""`penstock simulate` as a shell sees it: nothing of Penstock needs to run."""

from __future__ import annotations

import subprocess
from pathlib import Path
from time import monotonic
from xml.etree import ElementTree

from tests.e2e.harness import PENSTOCK


def run(*arguments: str | Path, columns: str = "120") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PENSTOCK, "simulate", *arguments],
        env={"PATH": "/usr/bin:/bin", "COLUMNS": columns, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_five_minutes_of_a_step_against_the_peers(tmp_path: Path) -> None:
    picture = tmp_path / "step.svg"
    began = monotonic()
    ran = run("--case", "B", "--duration", "5m", "--peers", "--chart", picture)
    assert monotonic() - began < 20
    assert (ran.returncode, ran.stderr) == (0, "")
    for word in ("penstock", "knative", "ray", "keda", "GPU-S", "Frontier: "):
        assert word in ran.stdout
    ElementTree.fromstring(picture.read_text())


def test_a_log_from_elsewhere(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("2026-01-31T12:00:00Z,resize,1.5\n2026-01-31T12:00:30Z,resize,1.5\n")
    ran = run(log)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("log: 2 requests in 30s, 12 GPUs")


def test_bad_input(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("0,resize\n")
    ran = run(log)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == f"penstock: {log}:1: 2 fields; expected time,function,duration[,held]\n"
