"""The soak as a test: half a minute of it each time, ten minutes where there is time."""

from __future__ import annotations

import statistics

import pytest

from tests.faults import soak
from tests.faults.deployment import RECOVERY


@pytest.mark.timeout(240)
def test_half_a_minute_of_random_faults() -> None:
    soak.show(soak.soak(30))


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_ten_minutes_of_random_faults() -> None:
    table = soak.soak(600)
    soak.show(table)
    assert int(str(table["acknowledged"])) >= 10_000


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_recovery_after_thirty_isolated_kills() -> None:
    found = soak.recoveries(30)
    print(f"recovery: p50 {statistics.median(found):.2f} s, max {max(found):.2f} s")
    assert max(found) <= RECOVERY
    assert statistics.median(found) <= 11.0
