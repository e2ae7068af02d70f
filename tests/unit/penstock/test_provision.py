"""Provision configs: what is read, what it means, and what is said about a wrong one."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from penstock.errors import ConfigurationError
from penstock.provision import Metric, ProvisionConfig, moment
from penstock.provisionfile import read, read_vendor

POLICY: dict[str, Any] = {
    "name": "follow-load",
    "startTime": "2023-01-01T16:00:00.000Z",
    "endTime": "2024-01-01T16:00:00.000Z",
    "metricType": "ProvisionedConcurrencyUtilization",
    "metricTarget": 0.3,
    "minCapacity": 2,
    "maxCapacity": 30,
}
ACTION: dict[str, Any] = {
    "name": "morning",
    "startTime": "2026-01-01T00:00:00",
    "endTime": "2027-01-01T00:00:00",
    "target": 50,
    "scheduleExpression": "cron(0 0 8 ? * MON-FRI)",
    "timeZone": "Asia/Shanghai",
}
DOCUMENT: dict[str, Any] = {"target": 2, "targetTrackingPolicies": [POLICY]}
"""The fields of the vendor's example."""
LISTING: dict[str, Any] = {
    "serviceName": "gpu",
    "qualifier": "LATEST",
    "functionName": "detect",
    "resource": "1#gpu#LATEST#detect",
    "target": 2,
    "current": 2,
    "scheduledActions": None,
    "targetTrackingPolicies": [POLICY],
    "currentError": None,
    "alwaysAllocateCPU": True,
}
"""The fields of the vendor's `provision list`."""


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def action(**fields: Any) -> dict[str, Any]:
    return {"scheduledActions": [{**ACTION, **fields}]}


def policy(**fields: Any) -> dict[str, Any]:
    return {"targetTrackingPolicies": [{**POLICY, **fields}]}


def test_nothing_given_is_no_floor() -> None:
    config = read({})
    assert config == ProvisionConfig()
    assert (config.default_target, config.scheduled_actions, config.target_tracking_policies) == (0, (), ())
    assert (config.always_allocate_cpu, config.always_allocate_gpu) == (True, True)


def test_the_vendors_example() -> None:
    config = read(DOCUMENT)
    (one,) = config.target_tracking_policies
    assert config.default_target == 2
    assert (one.name, one.metric, one.metric_target) == ("follow-load", "ProvisionedConcurrencyUtilization", 0.3)
    assert (one.min_capacity, one.max_capacity) == (2, 30)
    assert one.window == (at("2023-01-01T16:00:00Z"), at("2024-01-01T16:00:00Z"))


def test_the_vendors_listing_is_read_with_a_warning_for_what_is_no_config() -> None:
    config, warnings = read_vendor(LISTING)
    assert config == read(DOCUMENT)
    assert warnings == tuple(
        f"provision.{name}: unknown field, ignored"
        for name in ("serviceName", "qualifier", "functionName", "resource", "current", "currentError")
    )


def test_a_vendor_document_may_have_unknown_fields_further_down() -> None:
    # A readme of the vendor's own tools has metricType in a scheduled action.
    document = {"target": 1, "scheduledActions": [{**ACTION, "metricType": "x", "metricTarget": 0.25}]}
    config, warnings = read_vendor(document, "detect.provision")
    assert config.scheduled_actions[0].target == 50
    assert warnings == (
        "detect.provision.scheduledActions[0].metricType: unknown field, ignored",
        "detect.provision.scheduledActions[0].metricTarget: unknown field, ignored",
    )


def test_a_vendor_document_must_be_right_in_what_is_known() -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_vendor({**LISTING, "target": -1})
    assert str(caught.value) == ("provision.target: input should be greater than or equal to 0 (got -1)")


@pytest.mark.parametrize(
    "document", [{"target": 3}, {"defaultTarget": 3}, {"target": 3, "defaultTarget": 3}, {"default_target": 3}]
)
def test_target_is_the_older_spelling(document: dict[str, Any]) -> None:
    assert read(document).default_target == 3


@pytest.mark.parametrize("target", [0, 1, 10_000])
def test_targets_at_their_bounds(target: int) -> None:
    assert read({"defaultTarget": target}).default_target == target
    assert read(action(target=target)).scheduled_actions[0].target == target


def test_null_is_not_given() -> None:
    config = read({"scheduledActions": None, "targetTrackingPolicies": None, "alwaysAllocateCPU": None})
    assert config == ProvisionConfig()
    (one,) = read(policy(startTime=None, endTime=None, timeZone=None)).target_tracking_policies
    assert one.window == (float("-inf"), float("inf"))


def test_a_hundred_of_each_are_allowed() -> None:
    names = [f"n{number}" for number in range(100)]
    config = read(
        {
            "scheduledActions": [{**ACTION, "name": name} for name in names],
            "targetTrackingPolicies": [{**POLICY, "name": name} for name in names],
        }
    )
    assert len(config.scheduled_actions) == len(config.target_tracking_policies) == 100


@pytest.mark.parametrize("metric", Metric.__args__)  # type: ignore[attr-defined]
def test_every_metric_is_kept_as_written(metric: str) -> None:
    (one,) = read(policy(metricType=metric)).target_tracking_policies
    assert one.metric_type == metric
    assert one.metric == ("GPUMemoryUtilization" if metric == "GPUMemUtilization" else metric)


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2026-06-01T16:00:00.000Z", None, "2026-06-01T16:00:00Z"),
        pytest.param("2026-06-01T16:00:00Z", "Asia/Shanghai", "2026-06-01T16:00:00Z", id="Z rules"),
        ("2026-06-01T16:00:00+08:00", None, "2026-06-01T08:00:00Z"),
        ("2026-06-01T16:00:00", None, "2026-06-01T16:00:00Z"),
        ("2026-06-01T16:00:00", "Asia/Shanghai", "2026-06-01T08:00:00Z"),
        ("2026-06-01T16:00:00.5", "Europe/Berlin", "2026-06-01T14:00:00.500Z"),
        pytest.param("2026-03-29T02:30:00", "Europe/Berlin", "2026-03-29T01:00:00Z", id="skipped"),
        pytest.param("2026-11-01T01:30:00", "America/New_York", "2026-11-01T05:30:00Z", id="repeated"),
    ],
)
def test_times(text: str, zone: str | None, expected: str) -> None:
    assert moment(text, zone) == at(expected)
    (one,) = read(policy(startTime=text, endTime=None, timeZone=zone)).target_tracking_policies
    assert (one.window[0], one.start_time) == (at(expected), text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00", "9999-12-31T23:59:59"])
@pytest.mark.parametrize("zone", [None, "Asia/Shanghai", "America/New_York"])
def test_times_at_the_ends_of_the_calendar(text: str, zone: str | None) -> None:
    (one,) = read(policy(startTime=text, endTime=None, timeZone=zone)).target_tracking_policies
    assert one.window[0] == pytest.approx(at(text + "Z"), abs=86_400)


def test_times_that_yaml_has_already_read() -> None:
    text = """
    targetTrackingPolicies:
      - {name: a, metricType: GPUSmUtilization, metricTarget: 1, minCapacity: 0, maxCapacity: 1,
         startTime: 2023-01-01T16:00:00.000Z, endTime: 2024-01-01T16:00:00, timeZone: Asia/Shanghai}
    """
    (one,) = read(yaml.safe_load(text)).target_tracking_policies
    assert (one.start_time, one.end_time) == ("2023-01-01T16:00:00.000Z", "2024-01-01T16:00:00")
    assert one.window == (at("2023-01-01T16:00:00Z"), at("2024-01-01T08:00:00Z"))


def test_an_empty_time_zone_is_utc() -> None:
    assert read(action(timeZone="")).scheduled_actions[0].window[0] == at("2026-01-01T00:00:00Z")


def test_a_window_may_be_one_instant() -> None:
    (one,) = read(policy(endTime=POLICY["startTime"])).target_tracking_policies
    assert one.window[0] == one.window[1]


METRICS = (
    "'ProvisionedConcurrencyUtilization', 'GPUSmUtilization', 'GPUMemoryUtilization', "
    "'GPUDecoderUtilization', 'GPUEncoderUtilization', 'GPUMemUtilization' or 'CPUUtilization'"
)
RULES = "provision.targetTrackingPolicies"
ACTIONS = "provision.scheduledActions"
ALLOWED = "allowed are at(yyyy-mm-ddThh:mm:ss) and cron(Sec Min Hour DoM Month DoW)"
TIMES = "allowed are 2024-01-31T16:00:00.000Z, or without Z as a time in timeZone"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            {"target": 2, "defaultTarget": 3},
            "provision: target (2) is the older spelling of defaultTarget (3): give one of them",
        ),
        (
            {"defaultTarget": 10_001},
            "provision.defaultTarget: input should be less than or equal to 10000 (got 10001)",
        ),
        ({"target": "many"}, "provision.target: input should be a valid integer, unable to parse string as "
         "an integer (got 'many')"),
        (
            {"targets": 2},
            "provision.targets: unknown field; did you mean target? allowed are alwaysAllocateCPU, "
            "alwaysAllocateGPU, defaultTarget, scheduledActions, target, targetTrackingPolicies",
        ),
        ([], "provision: input should be a valid dictionary or instance of ProvisionConfig (got [])"),
        (
            action(scheduleExpression="rate(5 minutes)"),
            f"{ACTIONS}[0].scheduleExpression: 'rate(5 minutes)' is no schedule; {ALLOWED}",
        ),
        (
            action(scheduleExpression="cron(0 0 9 ? * 0)"),
            f"{ACTIONS}[0].scheduleExpression: 'cron(0 0 9 ? * 0)': day of week: '0' is not understood; "
            "allowed are 1 to 7 or MON to SUN, with * , - / ?",
        ),
        (action(target=-1), f"{ACTIONS}[0].target: input should be greater than or equal to 0 (got -1)"),
        (
            action(timeZone="Mars"),
            f"{ACTIONS}[0].timeZone: 'Mars' is not a time zone; allowed are IANA names such as Europe/Berlin",
        ),
        (
            action(minCapacity=1),
            f"{ACTIONS}[0].minCapacity: unknown field; allowed are endTime, name, scheduleExpression, startTime, "
            "target, timeZone",
        ),
        ({"scheduledActions": [ACTION, {"name": "b", "target": 1}]},
         f"{ACTIONS}[1].scheduleExpression: field required"),
        ({"scheduledActions": [ACTION, ACTION]},
         f"{ACTIONS}: the name 'morning' is there 2 times; names must differ"),
        (policy(startTime="yesterday"), f"{RULES}[0].startTime: 'yesterday' is not a time; {TIMES}"),
        (policy(endTime="2024-01-01"), f"{RULES}[0].endTime: '2024-01-01' is not a time; {TIMES}"),
        (policy(endTime="2024-02-30T00:00:00Z"), f"{RULES}[0].endTime: '2024-02-30T00:00:00Z' is not a time; "
         f"{TIMES}"),
        (
            policy(endTime="2022-01-01T00:00:00Z"),
            f"{RULES}[0]: endTime (2022-01-01T00:00:00Z) must not be before startTime (2023-01-01T16:00:00.000Z)",
        ),
        (
            policy(minCapacity=31),
            f"{RULES}[0]: minCapacity (31) must not be larger than maxCapacity (30)",
        ),
        (policy(maxCapacity=10_001),
         f"{RULES}[0].maxCapacity: input should be less than or equal to 10000 (got 10001)"),
        (policy(metricTarget=0), f"{RULES}[0].metricTarget: input should be greater than 0 (got 0)"),
        (policy(metricTarget=1.01),
         f"{RULES}[0].metricTarget: input should be less than or equal to 1 (got 1.01)"),
        (policy(metricTarget=float("nan")),
         f"{RULES}[0].metricTarget: input should be less than or equal to 1 (got nan)"),
        (policy(metricType="CPU"), f"{RULES}[0].metricType: input should be {METRICS} (got 'CPU')"),
        (policy(name=""), f"{RULES}[0].name: string should have at least 1 character (got '')"),
    ],
)  # fmt: skip
def test_a_wrong_one_says_where_what_and_what_is_allowed(document: Any, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(document)
    assert str(caught.value) == message


def test_more_than_a_hundred_are_refused() -> None:
    actions = [{**ACTION, "name": f"n{number}"} for number in range(101)]
    with pytest.raises(ConfigurationError, match=r"^provision\.scheduledActions: tuple should have at most 100 "):
        read({"scheduledActions": actions})


def test_a_config_is_frozen() -> None:
    with pytest.raises(ValidationError):
        read(DOCUMENT).default_target = 3  # type: ignore[misc]


rules = st.fixed_dictionaries(
    {
        "name": st.text("abc-", min_size=1, max_size=3),
        "startTime": st.none() | st.sampled_from(["2023-01-01T16:00:00.000Z", "2023-03-26T02:30:00"]),
        "endTime": st.none() | st.sampled_from(["2024-01-01T16:00:00.000Z", "2024-10-27T02:30:00.25"]),
        "timeZone": st.none() | st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]),
    }
)
actions = st.builds(
    lambda rule, more: {**rule, **more},
    rules,
    st.fixed_dictionaries(
        {
            "target": st.integers(0, 10_000),
            "scheduleExpression": st.sampled_from(["at(2026-06-01T09:00:00)", "cron(0 0 8 ? * MON-FRI)"]),
        }
    ),
)
policies = st.builds(
    lambda rule, more: {**rule, **more},
    rules,
    st.fixed_dictionaries(
        {
            "metricType": st.sampled_from(Metric.__args__),  # type: ignore[attr-defined]
            "metricTarget": st.floats(0, 1, exclude_min=True),
            "minCapacity": st.integers(0, 10),
            "maxCapacity": st.integers(10, 10_000),
        }
    ),
)
documents = st.fixed_dictionaries(
    {
        "defaultTarget": st.integers(0, 10_000),
        "alwaysAllocateCPU": st.booleans(),
        "alwaysAllocateGPU": st.booleans(),
        "scheduledActions": st.lists(actions, max_size=3, unique_by=lambda one: one["name"]),
        "targetTrackingPolicies": st.lists(policies, max_size=3, unique_by=lambda one: one["name"]),
    }
)


@settings(max_examples=100, deadline=None)
@given(documents)
def test_a_dump_is_the_document(document: dict[str, Any]) -> None:
    config = read(document)
    dumped = json.loads(json.dumps(config.model_dump(by_alias=True, mode="json")))
    assert dumped == document
    assert read(dumped) == config
    assert ProvisionConfig.model_validate_json(config.model_dump_json()) == config, "by the names in Python, too"
