"""Synthetic traffic: five cases on which autoscalers differ, a closed loop, and one card for two functions.

The same seed gives the same requests. Calls (A, B, E, D-held and the loop) have a client that waits, jobs (C, D
and the two on one card) have none. All calls of a case last equally long, so that waits differ by policy alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from random import Random

from workers.simulate.trace import Clients, Profile, Request, Workload


def poisson(random: Random, rate: float, begin: float, end: float) -> Iterator[float]:
    """Times of independent arrivals, `rate` a second on average."""
    now = begin + random.expovariate(rate)
    while now < end:
        yield now
        now += random.expovariate(rate)


def _steady(
    random: Random, length: float, function: str, rate: float, duration: float, *, held: bool
) -> list[Request]:
    times = poisson(random, rate, 0.0, length)
    return [Request(at=at, function=function, duration=duration, held=held) for at in times]


def _rare(random: Random, length: float) -> Workload:
    """A: a 1 s call every 2 min on average, cold start 15 s."""
    requests = _steady(random, length, "a", 1 / 120, 1.0, held=True)
    return _one("A", requests, Profile(cold_start=15.0), length)


def _step(random: Random, length: float) -> Workload:
    """B: 0.5, then 10, then 0.5 calls a second of 1 s, a third of the time each; cold start 15 s. 5 min each
    unless told otherwise: a longer step costs all policies the same, and hides what its two edges cost."""
    third = length / 3
    times = [
        at
        for number, rate in enumerate((0.5, 10.0, 0.5))
        for at in poisson(random, rate, number * third, (number + 1) * third)
    ]
    requests = [Request(at=at, function="b", duration=1.0, held=True) for at in times]
    return _one("B", requests, Profile(cold_start=15.0), length)


def _long(random: Random, length: float) -> Workload:
    """C: a job of 240 s every 2 min on average, cold start 30 s."""
    return _one("C", _steady(random, length, "c", 1 / 120, 240.0, held=False), Profile(cold_start=30.0), length)


def _bursts(name: str, *, held: bool) -> Callable[[Random, float], Workload]:
    """60 requests of 0.5 s at once every 15 min, the first after 1 s; cold start 40 s."""

    def build(random: Random, length: float) -> Workload:
        times = [1.0 + 900.0 * number for number in range(int((length - 1.0) // 900.0) + 1) for _ in range(60)]
        requests = [Request(at=at, function="d", duration=0.5, held=held) for at in times]
        return _one(name, requests, Profile(cold_start=40.0), length)

    return build


def _concurrent(random: Random, length: float) -> Workload:
    """E: 3 calls a second of 2 s, 4 at a time in an instance, cold start 20 s. An hour unless told otherwise."""
    requests = _steady(random, length, "e", 3.0, 2.0, held=True)
    return _one("E", requests, Profile(cold_start=20.0, concurrency=4), length)


def _closed_loop(random: Random, length: float) -> Workload:
    """12 clients that each wait for a call of 1 s and ask again, on a floor of 2; cold start 15 s. It is the same
    after minutes as after hours: 30 min unless told otherwise."""
    clients = Clients(function="loop", count=12, duration=1.0)
    profiles = {"loop": Profile(cold_start=15.0, floor=2)}
    return Workload(name="closed-loop", requests=(), profiles=profiles, length=length, clients=clients)


def _one_card(name: str, heavy: float) -> Callable[[Random, float], Workload]:
    """Two functions, of which each needs the whole of the only card: `heavy` and 0.02 jobs a second of 1 s."""

    def build(random: Random, length: float) -> Workload:
        requests = [
            *_steady(random, length, "heavy", heavy, 1.0, held=False),
            *_steady(random, length, "light", 0.02, 1.0, held=False),
        ]
        profiles = {"heavy": Profile(cold_start=15.0), "light": Profile(cold_start=15.0)}
        ordered = tuple(sorted(requests, key=lambda request: request.at))
        return Workload(name=name, requests=ordered, profiles=profiles, length=length, cards=1)

    return build


def _one(name: str, requests: list[Request], profile: Profile, length: float) -> Workload:
    profiles = {name[0].lower(): profile}
    return Workload(name=name, requests=tuple(requests), profiles=profiles, length=length)


_CASES: Mapping[str, tuple[float, Callable[[Random, float], Workload]]] = {
    "A": (7_200.0, _rare),
    "B": (900.0, _step),
    "C": (7_200.0, _long),
    "D": (7_200.0, _bursts("D", held=False)),
    "D-held": (7_200.0, _bursts("D-held", held=True)),
    "E": (3_600.0, _concurrent),
    "closed-loop": (1_800.0, _closed_loop),
    "one-card": (7_200.0, _one_card("one-card", 0.8)),
    "one-card-overload": (7_200.0, _one_card("one-card-overload", 1.5)),
}
"""Seconds for which requests come, and what builds them."""
NAMES = tuple(_CASES)


def build(name: str, *, seed: int = 1, length: float | None = None) -> Workload:
    """`length`: seconds for which requests come; None: as the case has it. Raises KeyError for an unknown case."""
    usual, case = _CASES[name]
    return case(Random(f"{name} {seed}"), usual if length is None else length)
