"""docs/metrics.md says of each metric what the code does, and of no other."""

from __future__ import annotations

import re
from pathlib import Path

from penstock.series import FIGURES
from penstock.telemetry.catalogue import METRICS, Metric

PAGE = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| `")]


def row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "-"
    unit = metric.unit.strip("{}")
    return f"| `{metric.prometheus}` | {metric.kind} | {unit} | {labels} | {metric.question} |"


def test_the_page_has_every_metric_as_it_is() -> None:
    missing = [row(metric) for metric in METRICS if row(metric) not in ROWS]
    assert missing == [], "docs/metrics.md lacks these rows"


def test_the_page_has_no_other() -> None:
    named = set(re.findall(r"^\| `((?:penstock|http|faas|process)_[a-z_]+)`", PAGE, re.MULTILINE))
    assert named == {metric.prometheus for metric in METRICS}


def test_the_page_has_function_computes_names() -> None:
    expected = {f"| `{name}` | {figure.unit} | {figure.means} |" for name, figure in FIGURES.items()}
    assert expected == {line for line in ROWS if line.startswith("| `Function")}


def test_names_are_different_and_say_their_unit() -> None:
    names = [metric.prometheus for metric in METRICS]
    assert len(set(names)) == len(names)
    assert all(name.endswith("_seconds") for name in names if name.startswith("faas_") and "duration" in name)
    assert {metric.kind == "counter" for metric in METRICS if metric.prometheus.endswith("_total")} == {True}
