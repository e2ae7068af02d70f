"""The vendor's example of a provision.json: its policy acted in 2023, and has expired since."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

import pytest

from penstock.provisionfile import read_vendor
from tests.unit.penstock.fc.files import DOCUMENTS
from workers.floor import Floor, FloorMemory, Reading, floor, observe

METRIC = "ProvisionedConcurrencyUtilization"
OURS = {
    "target": 2,
    "targetTrackingPolicies": [
        {
            "name": "scaling-policy-demo",
            "startTime": "2023-01-01T16:00:00.000Z",
            "endTime": "2024-01-01T16:00:00.000Z",
            "metricType": METRIC,
            "metricTarget": 0.3,
            "minCapacity": 2,
            "maxCapacity": 30,
        }
    ],
}


def documents() -> list[dict[str, Any]]:
    """Ours, and what the documents beside the checkout print."""
    found = [OURS]
    for document in sorted(DOCUMENTS.glob("*.txt")):
        printed = re.findall(r'^( *)(\{\n +"target":.*?\n\1\})', document.read_text(), re.MULTILINE | re.DOTALL)
        found += [json.loads(text) for _, text in printed]
    return found


def floor_at(document: dict[str, Any], now: str, seconds: int = 0, **reading: float) -> Floor:
    config, warnings = read_vendor(document)
    assert warnings == ()
    memory, start = FloorMemory(), datetime.fromisoformat(now).timestamp()
    readings = {METRIC: Reading(**(reading or {"value": 0.0}))}
    for second in range(seconds + 1):
        observe(config, readings, memory, start + second)
    return floor(config, 0, readings, memory, start + seconds)


@pytest.mark.parametrize("document", documents())
def test_in_its_year_the_policy_rules(document: dict[str, Any]) -> None:
    quiet = floor_at({**document, "target": 1}, "2023-06-01T00:00:00Z")
    assert (quiet.target, quiet.active, quiet.expired) == (2, ("scaling-policy-demo",), ())
    busy = floor_at(document, "2023-06-01T00:00:00Z", 61, value=1.0, work=4.0)
    assert busy.target == 14, "4 instances' work at 0.3 each"


@pytest.mark.parametrize("document", documents())
def test_today_its_target_does(document: dict[str, Any]) -> None:
    now = floor_at(document, "2026-01-01T00:00:00Z", value=1.0, work=4.0)
    assert (now.target, now.active, now.expired) == (2, (), ("scaling-policy-demo",))
    assert now.reason == "2: the default target"
