"""Small traffic, and the policies to lead it through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workers.simulate.policies.peers import ALL
from workers.simulate.policies.penstock import Penstock
from workers.simulate.trace import Profile, Request, Workload
from workers.simulate.world import Controller

POLICIES: dict[str, Callable[[], Controller]] = {"penstock": Penstock, **{peer.name: peer for peer in ALL}}


def workload(*times: float, duration: float = 1.0, held: bool = False, cards: int = 4, **profile: Any) -> Workload:
    """One function that is called at these times."""
    requests = tuple(Request(at=at, function="f", duration=duration, held=held) for at in sorted(times))
    return Workload(
        name="test",
        requests=requests,
        profiles={"f": Profile(**{"cold_start": 5.0} | profile)},
        length=max(times, default=0.0),
        cards=cards,
    )
