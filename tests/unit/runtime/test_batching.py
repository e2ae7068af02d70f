"""When a batch is sent, in virtual time."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

import pytest

from runtime.batching import Arrivals, Durations, Fit, Policy, Waiting

NEVER = float("inf")


def waiting(*arrived: float) -> list[Waiting]:
    return [Waiting(arrived=at, deadline=NEVER) for at in arrived]


def policy(*, gap: float | None = None, batches: dict[int, float] | None = None, max_size: int = 8) -> Policy:
    """One that has seen arrivals this far apart, and batches of these sizes that took so long; now is 100."""
    made = Policy(max_size=max_size, max_wait=0.05)
    for n, seconds in (batches or {}).items():
        made.durations.add(99.0, n, seconds)
    if gap is not None:
        for index in range(20):
            made.arrivals.add(90.0 + index * gap)
    return made


# What is learnt.


@pytest.mark.parametrize("noise", [0.0, 0.001])
def test_the_cost_of_a_batch_and_of_each_in_it_is_found(noise: float) -> None:
    durations, dice = Durations(), random.Random(1)
    for index in range(64):
        n = 1 + index % 32
        durations.add(0.0, n, 0.02 + 0.001 * n + dice.uniform(-noise, noise))
    fit = durations.fit(1.0)
    assert fit is not None
    assert fit.a == pytest.approx(0.001, abs=noise / 10 + 1e-9)
    assert fit.b == pytest.approx(0.02, abs=noise + 1e-9)


def test_of_one_size_alone_all_is_fixed_cost() -> None:
    durations = Durations()
    durations.add(0.0, 4, 0.02)
    durations.add(0.0, 4, 0.04)
    assert durations.fit(1.0) == Fit(a=0.0, b=pytest.approx(0.03))


def test_neither_cost_is_ever_negative() -> None:
    for times in ({1: 0.05, 10: 0.01}, {1: 0.001, 10: 1.0}):
        durations = Durations()
        for n, seconds in times.items():
            durations.add(0.0, n, seconds)
        fit = durations.fit(0.0)
        assert fit is not None
        assert fit.a >= 0
        assert fit.b >= -1e-12
        assert fit.duration(1) <= max(times.values())


def test_nothing_seen_is_not_known_and_what_is_old_is_forgotten() -> None:
    durations = Durations()
    assert durations.fit(0.0) is None
    durations.add(0.0, 1, 30.0)
    assert durations.fit(59.0) is not None
    assert durations.fit(61.0) is None


def test_the_gap_between_arrivals_is_the_usual_one_and_not_the_mean() -> None:
    arrivals = Arrivals()
    assert arrivals.gap is None
    for burst in range(5):
        for index in range(6):
            arrivals.add(burst * 10.0 + index * 0.001)
    assert arrivals.gap == pytest.approx(0.001)


# When it is sent.


def test_a_full_batch_is_sent_at_once() -> None:
    assert policy().send_at(waiting(*[100.0] * 8), 100.0, 90.0) == 100.0


def test_while_nothing_is_known_it_waits_as_the_spec_says() -> None:
    assert policy().send_at(waiting(100.0, 100.01), 100.01, 90.0) == pytest.approx(100.05)
    assert policy(gap=0.001).send_at(waiting(100.0), 100.0, 90.0) == pytest.approx(100.05)


def test_it_waits_for_the_next_while_that_is_expected_soon_enough() -> None:
    # 20 ms + 1 ms each: a second one is worth 21 ms of waiting, a fifth (20 + 4)/4 = 6 ms.
    made = policy(gap=0.005, batches={1: 0.021, 8: 0.028})
    assert made.send_at(waiting(100.0), 100.0, 90.0) == pytest.approx(100.021)
    assert made.send_at(waiting(100.0, 100.001, 100.002, 100.003), 100.003, 90.0) == pytest.approx(100.009)


def test_it_does_not_wait_for_one_that_comes_too_late_to_pay() -> None:
    made = policy(gap=0.005, batches={1: 0.021, 8: 0.028})
    assert made.send_at(waiting(100.0, 100.0, 100.0, 100.0, 100.0, 100.0), 100.0, 90.0) == 100.0, "26/6 ms < 5 ms"
    assert policy(gap=1.0, batches={1: 0.021}).send_at(waiting(100.0), 100.0, 90.0) == 100.0


def test_nobody_waits_longer_than_max_wait() -> None:
    made = policy(gap=0.1, batches={1: 10.0})
    assert made.send_at(waiting(100.0), 100.04, 90.0) == pytest.approx(100.05)
    assert made.send_at(waiting(100.0, 100.0499), 100.0499, 90.0) == pytest.approx(100.05)
    assert made.send_at(waiting(99.0, 100.0), 100.0, 90.0) <= 100.0
    assert made.send_at(waiting(99.0), 100.0, 100.0) == pytest.approx(100.05), "not for others, but behind a batch"


def test_those_who_were_just_answered_may_be_about_to_call_again() -> None:
    made = policy(gap=0.001, batches={1: 0.021, 8: 0.028})
    assert made.send_at(waiting(99.97, 99.97), 100.0, 100.0) == pytest.approx(100.011), "20 + 2 over 2"
    assert made.send_at(waiting(99.97, 99.97), 100.011, 100.0) <= 100.011


# Who is shed.


def test_who_cannot_be_answered_in_time_is_late() -> None:
    made = Policy(max_size=8, max_wait=0.05)
    for n in (1, 2, 4, 8):
        made.durations.add(99.0, n, 0.02 + 0.001 * n)
    three = [Waiting(arrived=100.0, deadline=at) for at in (100.022, 100.024, NEVER)]
    assert made.late(three, 100.0) == [True, False, False]


def test_only_who_is_past_his_deadline_is_late_while_too_little_is_known() -> None:
    made = policy(batches={1: 30.0, 2: 30.0, 3: 30.0})
    assert made.late([Waiting(arrived=99.0, deadline=at) for at in (99.9, 100.1)], 100.0) == [True, False]


def test_slow_batches_do_not_shed_for_ever() -> None:
    made = Policy(max_size=8, max_wait=0.05)
    for _ in range(10):
        made.durations.add(100.0, 1, 30.0)
    soon = [Waiting(arrived=150.0, deadline=160.0)]
    assert made.late(soon, 150.0) == [True]
    assert made.late([Waiting(arrived=161.0, deadline=171.0)], 161.0) == [False], "nobody has tried for a minute"


# All of it together: a handler that takes 20 ms + 1 ms for each.

BATCH, EACH = 0.020, 0.001


class Machine:
    """One handler, and clients that call again `think()` seconds after their answer."""

    def __init__(self, clients: int, think: Callable[[], float], *, max_size: int, max_wait: float) -> None:
        self.policy = Policy(max_size=max_size, max_wait=max_wait)
        self.now = 0.0
        self.latencies: list[float] = []
        self.sizes: list[int] = []
        self._think = think
        self._coming = [think() for _ in range(clients)]
        heapq.heapify(self._coming)
        self._waiting: list[Waiting] = []
        self._free = 0.0

    def run(self, seconds: float) -> None:
        while self.now < seconds:
            self._arrive()
            if not self._waiting:
                self.now = self._coming[0]
                continue
            batch = self._waiting[: self.policy.max_size]
            at = self.policy.send_at(batch, self.now, max(self._free, batch[0].arrived))
            if at > self.now:
                self.now = min([at, *self._coming[:1]])
            else:
                self._serve(batch)

    def _arrive(self) -> None:
        while self._coming and self._coming[0] <= self.now:
            came = heapq.heappop(self._coming)
            self.policy.arrivals.add(came)
            self._waiting.append(Waiting(arrived=came, deadline=NEVER))

    def _serve(self, batch: list[Waiting]) -> None:
        del self._waiting[: len(batch)]
        took = BATCH + EACH * len(batch)
        self.now += took
        self._free = self.now
        self.policy.durations.add(self.now, len(batch), took)
        self.sizes.append(len(batch))
        for one in batch:
            self.latencies.append(self.now - one.arrived)
            heapq.heappush(self._coming, self.now + self._think())

    def p99(self) -> float:
        return sorted(self.latencies)[int(len(self.latencies) * 0.99)]


def spread(seconds: float) -> Callable[[], float]:
    dice = random.Random(7)
    return lambda: dice.uniform(0.0, seconds)


@pytest.mark.parametrize("think", [0.0, 0.005, 0.02])
def test_many_clients_get_more_than_eight_times_the_throughput(think: float) -> None:
    machine = Machine(64, spread(think), max_size=32, max_wait=0.01)
    machine.run(60.0)
    assert len(machine.latencies) / 60.0 > 8 / (BATCH + EACH)


@pytest.mark.parametrize("think", [0.0, 0.005, 0.02])
def test_who_waits_for_others_waits_for_max_wait_and_behind_one_batch_at_most(think: float) -> None:
    machine = Machine(32, spread(think), max_size=32, max_wait=0.01)
    machine.run(60.0)
    full = BATCH + 32 * EACH
    assert machine.p99() <= 0.01 + 2 * full
    if think <= 0.005:
        assert machine.p99() <= 0.01 + full, "those who come together stay together"


@pytest.mark.parametrize("clients", [4, 8, 16, 31])
def test_clients_do_not_fall_into_two_groups_that_wait_for_each_other(clients: int) -> None:
    machine = Machine(clients, spread(0.002), max_size=32, max_wait=0.01)
    machine.run(60.0)
    assert sum(machine.sizes[10:]) / len(machine.sizes[10:]) > 0.9 * clients


def test_one_client_alone_does_not_wait() -> None:
    machine = Machine(1, lambda: 0.0005, max_size=32, max_wait=0.01)
    machine.run(10.0)
    late = machine.latencies[2:]  # nothing is known at first
    assert max(late) == pytest.approx(BATCH + EACH)


def test_rare_calls_do_not_wait() -> None:
    dice = random.Random(3)
    machine = Machine(4, lambda: dice.expovariate(2.0), max_size=32, max_wait=0.5)
    machine.run(100.0)
    alone = [latency for latency in machine.latencies[10:] if latency < 0.5]
    assert len(alone) == len(machine.latencies) - 10, "although they might, for half a second"


def test_throughput_is_near_the_best_that_there_is() -> None:
    machine = Machine(200, spread(0.01), max_size=32, max_wait=0.01)
    machine.run(60.0)
    assert len(machine.latencies) / 60.0 > 0.98 * 32 / (BATCH + 32 * EACH)
    assert sum(machine.sizes) / len(machine.sizes) > 31
