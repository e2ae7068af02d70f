"""Whose processes are on a card, and who uses more of it than reserved."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from workers.cards import Card
from workers.overuse import instance_of, overused, strangers

GIB = 2**30
OWNERS = {1: "a-1", 2: "a-1", 3: "b-1"}


def card(processes: Mapping[int, int | None]) -> Card:
    return Card(uuid="GPU-1", name="Simulated GPU", memory=24 * GIB, processes=processes)


@pytest.mark.parametrize(
    ("processes", "found"),
    [
        ({1: 8 * GIB}, {}),
        ({1: int(8.8 * GIB)}, {}),
        ({1: 9 * GIB}, {"a-1": 9 * GIB}),
        ({1: 5 * GIB, 2: 5 * GIB}, {"a-1": 10 * GIB}),
        ({1: None, 2: 20 * GIB, 3: GIB}, {"a-1": 20 * GIB}),
        ({1: None}, {}),
        ({9: 20 * GIB}, {}),
    ],
)
def test_who_uses_a_tenth_more_than_it_reserved_is_told(
    processes: dict[int, int | None], found: dict[str, int]
) -> None:
    assert overused(card(processes), {"a-1": 8 * GIB, "b-1": 8 * GIB}, OWNERS.get) == found


@pytest.mark.parametrize(
    ("processes", "reserved", "foreign"),
    [
        ({}, {}, False),
        ({9: None}, {}, True),
        ({9: None}, {"a-1": GIB}, False),  # it may be a container's, whose environment nobody may read
        ({1: None}, {"a-1": GIB}, False),
        ({1: None}, {"b-1": GIB}, True),
        ({1: None}, {}, True),
    ],
)
def test_a_stranger_is_whoever_has_reserved_nothing(
    processes: dict[int, int | None], reserved: dict[str, int], foreign: bool
) -> None:
    assert strangers(card(processes), reserved, OWNERS.get) is foreign


def test_an_instance_is_told_by_its_environment() -> None:
    wait = (sys.executable, "-c", "input()")
    ours = subprocess.Popen(wait, stdin=subprocess.PIPE, env=os.environ | {"PENSTOCK_INSTANCE": "echo-1"})
    other = subprocess.Popen(wait, stdin=subprocess.PIPE)
    try:
        assert instance_of(ours.pid) == "echo-1"
        assert instance_of(other.pid) is None
    finally:
        ours.communicate(b"\n")
        other.communicate(b"\n")
    assert instance_of(ours.pid) is None
