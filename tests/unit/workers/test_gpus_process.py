"""The GPU inventory in processes of its own: a library is loaded once per process. One asks for a real card."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.nvml import LIBRARY, SimulatedNvml

SHOW = """
import asyncio, dataclasses, json, sys
from workers.gpus import Inventory
inventory = Inventory(timeout=float(sys.argv[1]))
cards = asyncio.run(inventory.read())
print(json.dumps([[dataclasses.asdict(card) for card in cards], inventory.reason]))
"""


def show(*, timeout: float = 30.0, **env: str) -> tuple[list[dict[str, Any]], str]:
    """The cards and the reason that a new process sees."""
    command = [sys.executable, "-c", SHOW, str(timeout)]
    ran = subprocess.run(
        command, env=os.environ | env, capture_output=True, check=False, text=True, timeout=timeout + 60
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    cards, reason = json.loads(ran.stdout)
    return cards, reason


def test_a_process_that_a_test_starts_sees_the_same_machine(nvml: SimulatedNvml) -> None:
    nvml.plug("GPU-a", sm=50, processes=((7, None),))
    (card,), reason = show(**nvml.env)
    assert (card["uuid"], card["name"], card["sm"], reason) == ("GPU-a", "Simulated GPU T4", 0.5, "")
    assert card["processes"] == {"7": None}


def test_without_the_library_there_is_no_card_and_a_reason(tmp_path: Path) -> None:
    (tmp_path / LIBRARY).touch()  # also hides a real one
    assert show(LD_LIBRARY_PATH=str(tmp_path)) == ([], "no NVIDIA driver: libnvidia-ml.so.1 cannot be loaded")


def test_a_silent_nvml_does_not_keep_a_process_from_its_end(nvml: SimulatedNvml) -> None:
    nvml.plug("GPU-a")
    nvml.hang(600)
    cards, reason = show(timeout=0.05, **nvml.env)
    assert cards == []
    assert reason.startswith("NVML has not answered for ")


def test_a_real_card() -> None:
    """Runs where a real driver has a card; elsewhere it says why it does not."""
    cards, reason = show()
    if not cards:
        assert reason
        pytest.skip(f"no real GPU: {reason}")
    assert len({card["uuid"] for card in cards}) == len(cards)
    for card in cards:
        print(card)
        assert card["uuid"].startswith("GPU-")
        assert card["name"]
        assert card["problem"] is None
        assert 0 <= card["free"] <= card["memory"]
        for figure in ("sm", "encoder", "decoder"):
            assert card[figure] is None or 0 <= card[figure] <= 1
