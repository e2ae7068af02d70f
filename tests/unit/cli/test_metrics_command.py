"""`penstock metrics`: small charts of what a function did."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.function import FunctionSpec
from penstock.store import Store
from tests.unit.cli.conftest import InStore, Penstock, one_line


@pytest.fixture
def function(in_store: InStore[Any], unique: str) -> str:
    """One that was called three times just now, and has two provisioned instances."""

    async def do(store: Store) -> None:
        await store.catalog.deploy(unique, FunctionSpec(command=("server",)))
        await store.series.add(unique, {"s": 1, "n": 3, "r": 3, "t": 0.6, "d": {"70": 3}, "pr": 2})

    in_store(do)
    return unique


def test_what_tells_something_is_shown(penstock: Penstock, gateway_url: str, function: str) -> None:
    ran = penstock("metrics", function, "--last", "2m", "--url", gateway_url)
    assert ran.code == 0, ran
    head, *rows = ran.out.splitlines()
    assert head.split("  ")[0] == "METRIC"
    assert "IN 2m" in head
    shown = {row.split()[0]: row for row in rows}
    assert shown.keys() == {
        "FunctionTotalInvocations",
        "FunctionAvgDuration",
        "FunctionP90Duration",
        "FunctionP99Duration",
        "FunctionProvisionedCurrentInstance",
    }
    assert shown["FunctionTotalInvocations"].split()[1] == "3"
    assert shown["FunctionAvgDuration"].split()[1:3] == ["200", "ms"]
    assert "█" in shown["FunctionTotalInvocations"]
    assert shown["FunctionP99Duration"].rstrip().endswith("99 of 100 runs took less")


def test_one_that_is_asked_for_is_shown_whatever_it_says(
    penstock: Penstock, gateway_url: str, function: str
) -> None:
    ran = penstock("metrics", function, "--name", "FunctionServerErrors", "--name", "P90", "--url", gateway_url)
    assert ran.code == 0, ran
    assert [row.split()[0] for row in ran.out.splitlines()[1:]] == ["FunctionServerErrors", "P90"]


def test_as_json_it_is_what_the_gateway_says(penstock: Penstock, gateway_url: str, function: str) -> None:
    ran = penstock("metrics", function, "--name", "FunctionTotalInvocations", "--json", "--url", gateway_url)
    points = json.loads(ran.out)["metrics"]["FunctionTotalInvocations"]["points"]
    assert sum(point["value"] for point in points) == 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--last", "soon"), "--last"),
        (("--last", "10ms"), "shorter than a second"),
        (("--name", "Calls"), "no metric is named 'Calls'"),
    ],
)
def test_what_cannot_be_shown_says_why(
    penstock: Penstock, gateway_url: str, function: str, given: tuple[str, ...], said: str
) -> None:
    ran = penstock("metrics", function, *given, "--url", gateway_url)
    assert said in one_line(ran, 2)


def test_a_function_that_did_nothing_says_so(penstock: Penstock, gateway_url: str, in_store: InStore[Any]) -> None:
    async def deploy(store: Store) -> None:
        await store.catalog.deploy("quiet", FunctionSpec(command=("server",)))

    in_store(deploy)
    ran = penstock("metrics", "quiet", "--url", gateway_url)
    assert (ran.code, ran.out.strip()) == (0, "nothing happened to quiet in the last 10m")
