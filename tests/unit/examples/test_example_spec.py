"""examples/penstock.yaml deploys what is there, and the tests here measure what it would install."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

from penstock.function import NAME, FunctionSpec

EXAMPLES = Path(__file__).parents[3] / "examples"
FUNCTIONS: dict[str, Any] = yaml.safe_load((EXAMPLES / "penstock.yaml").read_text())["functions"]


def test_it_deploys_every_example_but_the_large_one() -> None:
    assert set(FUNCTIONS) == {path.parent.name for path in EXAMPLES.glob("*/app.py")} - {"embed"}
    assert set(yaml.safe_load((EXAMPLES / "embed" / "penstock.yaml").read_text())["functions"]) == {"embed"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_spec_is_valid_and_goes_to_zero_after_a_minute(name: str, load: Any) -> None:
    spec = FunctionSpec.model_validate(FUNCTIONS[name])
    assert NAME.fullmatch(name)
    assert (spec.scaling.min, spec.scaling.idle_timeout) == (0, 60)
    assert spec.path is not None
    assert spec.handler is not None
    module, function = spec.handler.split(":")
    assert callable(getattr(load(spec.path, module), function))


@pytest.mark.parametrize("folder", ["digits", "sentiment"])
def test_the_tests_run_with_the_pinned_versions(folder: str) -> None:
    lines = (EXAMPLES / folder / "requirements.txt").read_text().splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert {name: metadata.version(name) for name, _ in pins} == dict(pins)
