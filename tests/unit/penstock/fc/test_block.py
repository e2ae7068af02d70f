"""The listing of provisioned instances, as the vendor's tool prints it."""

from __future__ import annotations

from typing import Any

import yaml

from penstock.fc import block

RULE = {
    "name": "scaling-demo",
    "startTime": "2023-01-01T16:00:00.000Z",
    "endTime": "2024-01-01T16:00:00.000Z",
    "timeZone": None,
    "metricType": "ProvisionedConcurrencyUtilization",
    "metricTarget": 0.3,
    "minCapacity": 2,
    "maxCapacity": 30,
}
VIEW: dict[str, Any] = {
    "defaultTarget": 2,
    "target": 2,
    "current": 1,
    "scheduledActions": [],
    "targetTrackingPolicies": [RULE],
    "currentError": None,
    "alwaysAllocateCPU": True,
}
SHOWN = """\
demo:
  -
    serviceName:            demo-service
    qualifier:              LATEST
    functionName:           text-detection
    resource:               local#demo-service#LATEST#text-detection
    target:                 2
    current:                1
    scheduledActions:       null
    targetTrackingPolicies:
      -
        name:         scaling-demo
        startTime:    2023-01-01T16:00:00.000Z
        endTime:      2024-01-01T16:00:00.000Z
        metricType:   ProvisionedConcurrencyUtilization
        metricTarget: 0.3
        minCapacity:  2
        maxCapacity:  30
    currentError:
    alwaysAllocateCPU:      true
"""


def entry(**view: Any) -> dict[str, Any] | None:
    return block.entry(
        service="demo-service", function="text-detection", qualifier="LATEST", region=None, view=VIEW | view
    )


def test_it_is_printed_as_the_tool_prints_it() -> None:
    one = entry()
    assert one is not None
    assert block.render({"demo": [one]}) == SHOWN


def test_what_is_not_provisioned_is_not_listed() -> None:
    assert entry(defaultTarget=0, target=0, targetTrackingPolicies=[]) is None
    assert entry(defaultTarget=0, target=0) is not None, "it has a policy"


def test_yaml_reads_it_whatever_an_error_says() -> None:
    for error in ('no slot: "3 of 3" # all', "two\nlines", "- dash", "ends:", "x: y", "{a}"):
        one = entry(currentError=error)
        assert one is not None
        (read,) = yaml.safe_load(block.render({"demo": [one, one]}))["demo"][1:]
        assert read["currentError"] == error
        assert read["targetTrackingPolicies"][0]["maxCapacity"] == 30


def test_without_a_service() -> None:
    one = block.entry(service=None, function="F", qualifier="prod", region="eu-1", view=VIEW)
    assert one is not None
    assert "serviceName" not in one
    assert one["functionArn"] == "acs:fc:eu-1:local:functions/F/prod"
