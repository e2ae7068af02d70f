"""A soak: random kill -9 and pauses of every kind of process, under load, and a table of what came of it.

`python tests/faults/soak.py --minutes 10`; with `--kills 30` it measures recovery on isolated kills instead.
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import signal
import statistics
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.e2e.harness import Program, environments, wait_until
from tests.faults.deployment import Deployment
from tests.faults.ledger import Ledger

_SETTLE = 120.0
"""Seconds after the last fault within which all that was acknowledged must have ended."""


@dataclass
class Soak:
    """One deployment with a standby, and the hand that breaks it."""

    stack: Deployment
    chance: random.Random
    faults: Counter[str] = field(default_factory=Counter)
    workers: list[Program] = field(default_factory=list)

    def start(self) -> None:
        stack = self.stack
        stack.redis.start()
        stack.start_gateway()
        self.workers = [stack.start_workers() for _ in range(2)]
        wait_until(stack.ready, 30, "it is ready")
        stack.deploy({"work": stack.work(retry={"attempts": 100, "backoff": "50ms"}, concurrency=8)})

    def fault(self) -> None:
        """Kills or pauses one process; whatever died is started again."""
        victim = self.chance.choice(("gateway", "workers", "workers", "instance", "redis"))
        how = self.chance.choice(("kill -9", "kill -9", "pause"))
        self.faults[f"{how} {victim}"] += 1
        if victim == "redis":
            self._redis(how)
        elif victim == "instance":
            self._instance(how)
        elif victim == "gateway":
            assert self.stack.gateway is not None
            if how == "pause":
                self._pause(self.stack.gateway.pid)
            else:
                self.stack.kill(self.stack.gateway)
                self.stack.start_gateway()
        else:
            index = self.chance.randrange(len(self.workers))
            if how == "pause":
                self._pause(self.workers[index].pid)
            else:
                self.stack.kill(self.workers[index])
                self.workers[index] = self.stack.start_workers()

    def _redis(self, how: str) -> None:
        redis = self.stack.redis
        assert redis.process is not None
        if how == "pause":
            self._pause(redis.process.pid)
        else:
            redis.kill()
            redis.start()

    def _instance(self, how: str) -> None:
        found = [
            pid
            for pid, environment in environments()
            if b"PENSTOCK_FUNCTION=work" in environment and pid in self.stack.processes()
        ]
        if found:
            pid = self.chance.choice(found)
            with suppress(ProcessLookupError):
                self._pause(pid) if how == "pause" else os.kill(pid, signal.SIGKILL)

    def _pause(self, pid: int) -> None:
        """Mostly short; now and then beyond the lease."""
        seconds = self.chance.choice((0.5, 1.0, 2.0, 4.0, 12.0))
        os.kill(pid, signal.SIGSTOP)
        try:
            threading.Event().wait(seconds)
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def soak(seconds: float, *, seed: int | None = None, threads: int = 4, pause: float = 0.05) -> dict[str, object]:
    """Breaks a deployment for so long; the table. Raises AssertionError for a job that was lost or changed."""
    # Not of `random`, which Hypothesis seeds alike each time when it runs in the same session.
    seed = secrets.randbits(32) if seed is None else seed
    print(f"seed {seed}", flush=True)
    with Deployment() as stack:
        breaker = Soak(stack, random.Random(seed))
        breaker.start()
        ledger = Ledger(stack)
        over = time.monotonic() + seconds
        with ledger.load(threads=threads, seconds=0.06, pause=pause):
            while time.monotonic() < over:
                threading.Event().wait(breaker.chance.uniform(2, 5))
                breaker.fault()
                with suppress(Exception):  # it is down as often as not; a result that changed is found again
                    ledger.glance() if len(ledger.acknowledged) < 500 else None
        settled = time.monotonic()
        wait_until(stack.ready, 60, "gateway and workers are back")
        ledger.check(_SETTLE)
        settled = time.monotonic() - settled
        ended = ledger.glance()
        runs = ledger.executions()
        of_acknowledged = Counter(runs[n] for n in ledger.acknowledged.values())
        return {
            "faults": dict(sorted(breaker.faults.items())),
            "submitted": len(ledger.acknowledged) + len(ledger.refused),
            "refused or unanswered": len(ledger.refused),
            "acknowledged": len(ledger.acknowledged),
            "lost": len(ledger.acknowledged) - ended,
            "double results": len(ledger.changed),
            "executions per job": dict(sorted(of_acknowledged.items())),
            "settled after (s)": round(settled, 1),
        }


def recoveries(kills: int) -> list[float]:
    """Seconds from a kill -9 of the only workers process, started again at once, until what it ran runs again."""
    found = []
    with Deployment() as stack:
        stack.start().deploy({"work": stack.work(retry={"attempts": 100, "backoff": "50ms"})})
        ledger = Ledger(stack)
        ledger.submits(1)
        ledger.check(30)
        for _ in range(kills):
            threading.Event().wait(random.uniform(0, 3))  # anywhere between two renewals
            before = ledger.started()
            ledger.submits(2, 1.0)
            wait_until(lambda before=before: ledger.started() == before + 2, 20, "two run")  # type: ignore[misc]
            killed = stack.kill(stack.workers)
            stack.start_workers()
            ledger.check(40)
            found.append(max(at for _, attempt, at in ledger.lines("start") if attempt > 1) - killed)
            print(f"recovered after {found[-1]:.2f} s", flush=True)
    return found


def show(table: dict[str, object]) -> None:
    width = max(map(len, table))
    for name, value in table.items():
        print(f"{name:<{width}}  {value}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--kills", type=int, default=0, help="measure recovery on so many isolated kills")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--threads", type=int, default=4)
    given = parser.parse_args()
    if given.kills:
        found = recoveries(given.kills)
        p50, most = statistics.median(found), max(found)
        show({"kills": len(found), "recovery p50 (s)": round(p50, 2), "recovery max (s)": round(most, 2)})
    else:
        show(soak(given.minutes * 60, seed=given.seed, threads=given.threads))


if __name__ == "__main__":
    main()
