"""What came of a simulation, in figures, and which policy is better than which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

from workers.placement import GIB
from workers.simulate.trace import CARD_MEMORY, Workload
from workers.simulate.world import Call, Controller, Sample, World

PRICE = 0.000018
"""USD for a GB of GPU memory, for a second: what Function Compute asks."""


@dataclass(frozen=True, kw_only=True)
class Waits:
    """Seconds from a request's arrival until the run that ended it began; None: no request ended."""

    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, kw_only=True)
class Result:
    policy: str
    requests: int
    unfinished: int
    """Requests that had not ended hours after the last one came."""
    waits: Waits
    by_function: Mapping[str, Waits]
    cold_starts: int
    """Instances that were started."""
    gpu_seconds: float
    """Of whole cards: each instance's lifetime times its share of its card."""
    killed: int
    """Runs that ended because their instance went; each began again from the start."""
    cost: float
    """USD: each instance's lifetime times its GPU memory times `PRICE`."""
    used: float
    """Share of the instances' slots, over their lifetimes, in which a call ran that ended, 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class Replay:
    result: Result
    samples: Sequence[Sample]
    """One a second."""


def replay(workload: Workload, controller: Controller) -> Replay:
    """Runs the traffic through a policy. The same arguments give the same figures."""
    world = World(workload, controller)
    world.run()
    return Replay(result=measure(world, controller.name), samples=world.samples)


def measure(world: World, policy: str) -> Result:
    lifetimes = [(one, (world.now if one.gone is None else one.gone) - one.born) for one in world.instances]
    gpu_seconds = sum(seconds * one.share for one, seconds in lifetimes)
    slots = sum(seconds * one.pool.profile.concurrency for one, seconds in lifetimes)
    served = sum(call.request.duration for call in world.calls if call.ended is not None)
    by_function = {
        name: waits(call for call in world.calls if call.request.function == name) for name in world.pools
    }
    return Result(
        policy=policy,
        requests=len(world.calls),
        unfinished=sum(call.ended is None for call in world.calls),
        waits=waits(world.calls),
        by_function=by_function if len(by_function) > 1 else {},
        cold_starts=len(world.instances),
        gpu_seconds=gpu_seconds,
        killed=sum(call.kills for call in world.calls),
        cost=gpu_seconds * CARD_MEMORY / GIB * PRICE,
        used=served / slots if slots else 0.0,
    )


def waits(calls: Iterable[Call]) -> Waits:
    known = sorted(
        call.started - call.arrived for call in calls if call.ended is not None and call.started is not None
    )

    def at(share: float) -> float | None:
        return known[max(ceil(share * len(known)) - 1, 0)] if known else None

    return Waits(p50=at(0.5), p95=at(0.95), p99=at(0.99))


def better(one: Result, other: Result) -> bool:
    """Whether it is better than the other in both p95 wait and GPU-seconds. Of several functions the one
    counts that waits longest: else who starves the rare one would look best."""
    longest, others = _longest(one), _longest(other)
    if longest is None or others is None:
        return False
    return longest < others and one.gpu_seconds < other.gpu_seconds


def _longest(result: Result) -> float | None:
    """Seconds: the p95 wait of the function that waits longest; None: of one of them nothing ended."""
    known = [one.p95 for one in result.by_function.values()] or [result.waits.p95]
    ended = [p95 for p95 in known if p95 is not None]
    return max(ended) if len(ended) == len(known) else None


def frontier(results: Sequence[Result], peers: frozenset[str]) -> str:
    """One sentence for people about our own policies among `peers`."""
    beaten = [
        f"{peer.policy} is better than {one.policy} in both p95 wait and GPU-seconds"
        for one in results
        if one.policy not in peers
        for peer in results
        if peer.policy in peers and better(peer, one)
    ]
    return "; ".join(beaten) or "no peer is better in both p95 wait and GPU-seconds"


def as_json(workload: Workload, results: Sequence[Result], peers: frozenset[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "case": workload.name,
        "seconds": workload.length,
        "cards": workload.cards,
        "policies": [asdict(result) for result in results],
    }
    if peers:
        found["frontier"] = frontier(results, peers)
    return found
