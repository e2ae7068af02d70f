"""The soak as a test: a minute of it each time, ten minutes where there is time."""

from __future__ import annotations

import statistics

import pytest

from tests.faults import soak
from tests.faults.deployment import MEASURED, RECOVERY, measured


@pytest.mark.timeout(300)
def test_a_minute_of_random_faults() -> None:
    MEASURED.append(f"a minute of random faults: {soak.soak(60)}")


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_ten_minutes_of_random_faults() -> None:
    table = soak.soak(600)
    MEASURED.append(f"ten minutes of random faults: {table}")
    assert int(str(table["acknowledged"])) >= 10_000


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_recovery_after_thirty_isolated_kills() -> None:
    found = soak.recoveries(30)
    measured("recovery after 30 isolated kills, p50 and max", statistics.median(found), max(found))
    assert max(found) <= RECOVERY
    assert statistics.median(found) <= 11.0
