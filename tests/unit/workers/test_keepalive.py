"""How long an idle instance is kept, from how long its function was silent before."""

from __future__ import annotations

import pytest

from workers.history import Memory
from workers.keepalive import Gaps, KeepAlive, keep_alive

COLD = 15.0


def gaps(*seconds: float) -> Gaps:
    found = Gaps()
    for one in seconds:
        found.add(one)
    return found


def test_until_ten_gaps_were_seen_the_default_rules() -> None:
    assert keep_alive(gaps(*[600.0] * 9), COLD, 0.0, default=300.0) == KeepAlive(idle_timeout=300.0)


@pytest.mark.parametrize(
    ("seen", "timeout"),
    [
        ([10.0] * 20, 60.0),  # never shorter than a minute
        ([10.0] * 50 + [290.0] * 50, 300.0),  # the upper edge of the bin of the 99th percentile
        ([10.0] * 20 + [7200.0] * 20, 1800.0),  # never longer than half an hour
    ],
)
def test_it_is_kept_as_long_as_most_gaps_are(seen: list[float], timeout: float) -> None:
    assert keep_alive(gaps(*seen), COLD, 0.0, default=300.0) == KeepAlive(idle_timeout=timeout)


@pytest.mark.parametrize(
    ("silence", "there"), [(0.0, False), (584.9, False), (585.0, True), (659.0, True), (660.0, False)]
)
def test_what_is_silent_for_long_goes_at_once_and_is_back_just_before(silence: float, there: bool) -> None:
    kept = keep_alive(gaps(*[630.0] * 20), COLD, silence, default=300.0)
    assert kept == KeepAlive(idle_timeout=1800.0 if there else 0.0, prewarm=there)


def test_gaps_are_heard_between_the_last_call_and_the_next() -> None:
    memory = Memory()
    for now, running in ((0.0, 1), (10.0, 0), (100.0, 0), (400.0, 1)):
        assert memory.silence(now) == (now - 10.0 if now > 10.0 else 0.0)
        memory.observe(now, arrived=2, waiting=0, running=running, held=0)
    assert memory.gaps.bins[6] == sum(memory.gaps.bins) == 1, "390 s"
    assert memory.silence(500.0) == 0.0


def test_a_gap_of_any_length_has_a_bin() -> None:
    assert gaps(0.0, 59.9, 60.0, 14_399.0, 14_400.0, 1e9).bins[-1] == 2
