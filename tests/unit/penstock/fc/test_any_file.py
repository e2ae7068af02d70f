"""Whatever stands in a file, it is read or refused in one line: never anything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from penstock.errors import ConfigurationError
from penstock.fc.project import load
from tests.unit.penstock.fc.files import FC, FC3

MORE: dict[str, Any] = {
    "instanceLifecycleConfig": {"initializer": {"handler": "x", "timeout": 60}, "preStop": {"timeout": 30}},
    "asyncInvokeConfig": {
        "maxAsyncRetryAttempts": 1,
        "destinationConfig": {"onSuccess": {"destination": "acs:x"}},
    },
    "concurrencyConfig": {"reservedConcurrency": 3},
    "scalingConfig": {
        "minInstances": 1,
        "scheduledPolicies": [{"name": "a", "scheduleExpression": "at(2026-01-01T00:00:00)", "target": 1}],
        "horizontalScalingPolicies": [
            {
                "name": "p",
                "metricType": "GPUSmUtilization",
                "metricTarget": 0.5,
                "minInstances": 1,
                "maxInstances": 2,
            }
        ],
    },
    "customDomain": {"domainName": "a.example", "routeConfig": {"routes": [{"path": "/*"}]}},
}
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.dates(),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=20),
    st.sampled_from(
        ["${vars.region}", "${this.props}", "{{ region }}", "${env(", "a\nb", "@every 1m", "fc3", "python3"]
    ),
    st.lists(st.integers() | st.text("ab\n", max_size=3), max_size=3),
    st.dictionaries(st.text("ab\n", max_size=3) | st.integers(), st.integers() | st.none(), max_size=3),
)


def places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(found for key, one in inner for found in places(one, (*place, key)))]


def document(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text.replace("{access}", "default"))
    if "resources" in found:
        found["resources"]["detection"]["props"] |= MORE
    return found


DOCUMENTS = [document(FC), document(FC3)]
CHANGES = [(number, place) for number, one in enumerate(DOCUMENTS) for place in places(one) if place]


def changed(change: tuple[int, tuple[Any, ...]], value: Any) -> str:
    number, place = change
    copy: Any = yaml.safe_load(yaml.safe_dump(DOCUMENTS[number]))
    inner = copy
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return yaml.safe_dump(copy, sort_keys=False)


@pytest.mark.parametrize("number", range(len(DOCUMENTS)))
def test_unchanged_they_are_read(tmp_path: Path, number: int) -> None:
    (file := tmp_path / "s.yaml").write_text(yaml.safe_dump(DOCUMENTS[number]))
    assert load(file, {}).functions


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(CHANGES), VALUES)
@example(CHANGES[0], {1: 2})
def test_a_value_that_is_anything(tmp_path: Path, change: tuple[int, tuple[Any, ...]], value: Any) -> None:
    (file := tmp_path / "s.yaml").write_text(changed(change, value))
    try:
        project = load(file, {})
    except ConfigurationError as error:
        assert "\n" not in str(error)
        assert str(error).startswith(f"{file}:")
    else:
        assert all(str(file) in said and "\n" not in said for said in project.notes.warnings)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([FC, FC3]), st.integers(0, 800), st.text("{}$:-[]\"' \n#ab&*|>if", max_size=6))
def test_a_text_that_is_anything(tmp_path: Path, text: str, at: int, put: str) -> None:
    (file := tmp_path / "s.yaml").write_text(text[:at] + put + text[at:])
    try:
        load(file, {})
    except ConfigurationError as error:
        assert "\n" not in str(error)
        assert str(error).startswith(f"{file}:")
