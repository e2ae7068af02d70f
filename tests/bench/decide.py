"""What a decision round costs: `decide` for each function and `fairness.plan` for all of them, in CPU time.

    python -m tests.bench.decide [--functions 1000] [--rounds 5]

The cases of a plan, one claim per function:
  room        every claim finds a CPU slot
  scarce      16 slots, held by 16 idle instances of other functions
  saturated   16 slots, held by 16 instances that never yield
  busy        every function has one busy instance and wants another; there are no more slots
  gpus        8 cards of 80 GiB, on which every claim wants 10 GiB and 56 instances are idle
The goal is 50 ms for a whole round of 1,000 functions. Each figure is the best of the rounds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

from workers import fairness
from workers.autoscaler import Policy, Snapshot, decide
from workers.claims import Claim, Holder
from workers.history import Memory
from workers.placement import GIB, SLOTS, Board, Need, Room

GOAL = 50.0
SLOT = Need()
SHARED = Need(gpu=True, memory=10 * GIB)
CARDS = [Room(card=f"{number}", total=80 * GIB) for number in range(8)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--functions", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    count, rounds = arguments.functions, arguments.rounds
    memories = [remembering() for _ in range(count)]
    deciding = cheapest(lambda: decide_all(memories), rounds)
    slots, cards = [Room(card=SLOTS, total=16)], CARDS
    figures = {
        "room": planning([Room(card=SLOTS, total=count)], SLOT, count, rounds, holding=0, yielding=False),
        "scarce": planning(slots, SLOT, count, rounds, holding=16, yielding=True),
        "saturated": planning(slots, SLOT, count, rounds, holding=16, yielding=False),
        "busy": planning(
            [Room(card=SLOTS, total=count)], SLOT, count, rounds, holding=count, yielding=False, have=1
        ),
        "gpus": planning(cards, SHARED, count, rounds, holding=56, yielding=True),
    }
    report(count, deciding, figures)


def remembering() -> Memory:
    """Of a function with a minute of past."""
    memory = Memory()
    memory.ended(1.0)
    memory.started(5.0)
    for second in range(61):
        memory.observe(second, arrived=second, waiting=1, running=1, held=1)
        memory.waited(0.1)
        memory.remember(second, wanted=1, guarded=False, reduced=False)
    return memory


def decide_all(memories: list[Memory]) -> None:
    policy = Policy(max=10, concurrency=1, idle_timeout=300.0)
    snapshot = Snapshot(
        queued=3, held=1, running=1, oldest=1.0, starting=(), ready=1, idle=(), floor=0, capacity=16
    )
    for memory in memories:
        memory.observe(61.0, arrived=61, waiting=3, running=1, held=1)
        decide(policy, snapshot, memory, 61.0)


def planning(
    rooms: list[Room], need: Need, functions: int, rounds: int, *, holding: int, yielding: bool, have: int = 0
) -> float:
    """Milliseconds of one plan."""
    board = Board(rooms)
    holders = []
    for number in range(holding):
        card = board.place(need)
        assert card is not None
        board.reserve(f"i{number}", need, card)
        holders.append(
            Holder(instance=f"i{number}", function=f"held{number}", idle=yielding, unqueued=yielding, worth=number)
        )
    claims = [
        Claim(function=f"f{number}", need=need, missing=1, have=have, waited=number % 60)
        for number in range(functions)
    ]
    limits = {claim.function: 4 for claim in claims}
    return cheapest(lambda: fairness.plan(board, claims, lambda: holders, limits=limits), rounds)


def cheapest(work: Callable[[], object], rounds: int) -> float:
    """Milliseconds of CPU that it takes at least."""
    times = []
    for _ in range(rounds):
        before = time.process_time()
        work()
        times.append(time.process_time() - before)
    return min(times) * 1000


def report(functions: int, deciding: float, figures: dict[str, float]) -> None:
    print(f"a decision round of {functions} functions, milliseconds of CPU")
    print(f"{'':12}{'decide':>9}{'plan':>9}{'round':>9}")
    for case, planned in figures.items():
        verdict = "met" if deciding + planned <= GOAL else "MISSED"
        print(f"{case:12}{deciding:9.1f}{planned:9.1f}{deciding + planned:9.1f}   ≤ {GOAL:g}: {verdict}")
    print(json.dumps({"functions": functions, "decide_ms": deciding, "plan_ms": figures}))


if __name__ == "__main__":
    main()
