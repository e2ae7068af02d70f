"""What Prometheus, Grafana and the collector are given: checked by Prometheus's own tool, and against the docs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from penstock.telemetry.catalogue import METRICS
from tests.conftest import missing

ROOT = Path(__file__).parents[3]
COMPOSE = ROOT / "compose"
RULES = COMPOSE / "prometheus" / "rules.yml"


def promtool(*command: str) -> str:
    if shutil.which("promtool") is None:
        missing("promtool")
    done = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def queries() -> list[str]:
    """Of all panels of the dashboard, with its variables filled in."""
    board = json.loads((COMPOSE / "grafana" / "dashboards" / "penstock.json").read_text())
    found = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    return [expr.replace("$__rate_interval", "1m").replace("$function", ".*") for expr in found]


def test_prometheus_takes_the_configuration() -> None:
    promtool("check", "config", str(COMPOSE / "prometheus" / "prometheus.yml"))


def test_who_is_told_of_what() -> None:
    promtool("test", "rules", str(Path(__file__).with_name("alerts.yml")))


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_says_what_happened_and_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("page", "ticket")
    assert {"summary", "description", "runbook"} == alert["annotations"].keys()
    page, _, anchor = alert["annotations"]["runbook"].partition("#")
    assert anchor == alert["alert"].lower()
    assert f"\n### {alert['alert']}\n" in (ROOT / page).read_text(), "its section in the runbook"


def test_every_alert_has_a_story_and_every_section_an_alert() -> None:
    names = {alert["alert"] for alert in alerts()}
    stories = Path(__file__).with_name("alerts.yml").read_text()
    assert {
        name for name in names if f'alertname="{name}"' not in stories and f"alertname: {name}" not in stories
    } == set()
    sections = set(re.findall(r"^### (Penstock\w+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE))
    assert sections == names


def test_rules_stories_and_queries_name_metrics_that_there_are() -> None:
    suffixes = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    known = {metric.prometheus + suffix for metric in METRICS for suffix in suffixes[metric.kind]}
    stories = yaml.safe_load(Path(__file__).with_name("alerts.yml").read_text())["tests"]
    played = [series["series"] for story in stories for series in story["input_series"]]
    expressions = [*queries(), *(alert["expr"] for alert in alerts()), *played]
    named = {name for text in expressions for name in re.findall(r"\b(?:penstock|faas|http|process)_\w+", text)}
    labels = {label for metric in METRICS for label in metric.labels}
    assert len(named - labels) > 40
    assert named - labels - known == set()


def test_queries_of_the_dashboard_are_ones(tmp_path: Path) -> None:
    """promtool reads rules, so each is made one."""
    rules = [{"record": f"query:{number}", "expr": expr} for number, expr in enumerate(queries())]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", str(file))


def test_panels_of_the_dashboard_stand_apart() -> None:
    panels = json.loads((COMPOSE / "grafana" / "dashboards" / "penstock.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells


def test_grafana_finds_source_and_dashboards() -> None:
    provisioning = COMPOSE / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    board = json.loads((COMPOSE / "grafana" / "dashboards" / "penstock.json").read_text())
    used = {target["datasource"]["uid"] for panel in board["panels"] for target in panel.get("targets", ())}
    assert used == {source["uid"]}
    stack = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in stack
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "penstock.yaml").read_text())["providers"]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in stack["grafana"]["volumes"]


def test_pipelines_of_the_collector_name_what_is_there() -> None:
    """The collector itself is in no Debian: its own check cannot be run here."""
    config = yaml.safe_load((COMPOSE / "collector.yaml").read_text())
    assert set(config["service"]["pipelines"]) == {"traces", "metrics"}
    for pipeline in config["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) <= set(config[kind])
        assert pipeline["processors"][0] == "memory_limiter", "refuses before anything else takes memory"
    assert set(config["service"]["extensions"]) <= set(config["extensions"])
