"""kill -9, pauses and stops of workers: in the windows where work could be lost or done twice."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tests.e2e.harness import Program, environments, wait_until
from tests.e2e.receiver import Receiver
from tests.faults.deployment import RECOVERY, Deployment, alone, measured
from tests.faults.ledger import Ledger
from tests.faults.proxy import Proxy


@alone
def test_workers_killed_after_take_while_computing_and_after_finish() -> None:
    with Deployment() as stack, Receiver() as receiver:
        stack.start().deploy({name: stack.work() for name in ("taken", "computing", "finished")})
        taken, computing, finished = (Ledger(stack, name) for name in ("taken", "computing", "finished"))
        for number, ledger in enumerate((taken, computing, finished)):
            ledger._numbers = iter(range(1000 * number, 1000 * number + 1000))
        callback = {"Penstock-Callback-Url": receiver.url}
        for ledger in (taken, computing, finished):
            ledger.submits(1)  # warm
        for ledger in (taken, computing, finished):
            ledger.check(20)
        before = len(computing.lines("start"))

        long = computing.submits(18, 1.0)
        wait_until(lambda: len(computing.lines("start")) >= before + 4, 10, "four compute")
        take = stack.back.lose("take", "taken", stall=True)
        (just_taken,) = taken.submits(1)
        assert take.seen.wait(5), "the take was carried out"
        time.sleep(1.2)  # for a second the lost reply holds up what comes behind it
        finish = stack.back.lose("finish", "finished", stall=True)
        (just_finished,) = finished.submits(1, headers=callback)
        assert finish.seen.wait(5), "the finish was carried out"
        assert receiver.of(just_finished) == [], "its callback is still owed"
        killed = stack.kill(stack.workers)
        interrupted = [one for one in long if stack.record("computing", one)["state"] == "running"]
        assert interrupted
        assert stack.record("taken", just_taken)["state"] == "running"
        assert stack.record("finished", just_finished)["state"] == "succeeded", "it is finished for ever"
        stack.back.heal()
        stack.start_workers()

        for ledger in (taken, computing, finished):
            ledger.check(40)
        resumed = [at for n, attempt, at in computing.lines("start") if at > killed and attempt > 1]
        again = [at for n, _, at in computing.lines("start") if n == taken.acknowledged[just_taken]]
        assert resumed and len(again) == 1, "what was taken and not begun was run once"
        measured("kill -9 of workers until all that ran runs again", max(*resumed, *again) - killed)
        runs = finished.executions()[finished.acknowledged[just_finished]]
        assert runs == 1, "what had finished was not run again"
        (delivery,) = wait_until(lambda: receiver.of(just_finished), 10, "its callback came")
        assert delivery.data["state"] == "succeeded"
        assert max(*resumed, *again) - killed <= RECOVERY


def test_paused_beyond_the_lease_a_standby_leads_and_the_late_one_cannot_overwrite() -> None:
    with Deployment() as stack:
        stack.start().deploy({"work": stack.work()})
        ledger = Ledger(stack)
        ledger.submits(1)
        ledger.check(20)
        late = stack.workers
        assert late is not None
        standby = stack.start_workers()
        jobs = ledger.submits(4, 2.0)
        wait_until(lambda: ledger.started() == 5, 10, "four run")
        paused = time.time()
        late.process.send_signal(signal.SIGSTOP)
        standby.says("leading", timeout=RECOVERY)
        led = time.time() - paused
        # The answers of the first runs lie in the late one's sockets; it will read them when it wakes.
        wait_until(lambda: ledger.started() >= 9, RECOVERY, "the standby runs them again")
        again = time.time() - paused
        late.process.send_signal(signal.SIGCONT)
        late.says("no longer leading", timeout=10)
        ledger.check(20)
        assert {stack.record("work", one)["attempt"] for one in jobs} == {2}, "the fence held"
        assert set(ledger.executions().values()) == {1, 2}
        measured("paused workers until a standby leads, and until their work runs again", led, again)
        assert led <= RECOVERY and again <= RECOVERY
        assert late.process.poll() is None, "it is a standby now"
        # And a useful one.
        standby.stop(signal.SIGTERM)
        ledger.submits(4)
        ledger.check(RECOVERY)


def test_four_workers_race_and_their_leader_is_killed_three_times() -> None:
    with Deployment() as stack:
        stack.redis.start()
        stack.start_gateway()
        racers = [stack.start_workers() for _ in range(4)]
        wait_until(stack.ready, 30, "one of four leads")
        stack.deploy({"work": stack.work()})
        ledger = Ledger(stack)
        ledger.submits(60, 0.7)
        recoveries = []
        for _ in range(3):
            seen = ledger.started()
            wait_until(lambda seen=seen: ledger.started() > seen + 2, RECOVERY, "jobs are run")  # type: ignore[misc]
            leader = leading(stack, racers)
            racers.remove(leader)
            killed = stack.kill(leader)
            before = ledger.started()
            wait_until(lambda before=before: ledger.started() > before, RECOVERY + 5, "work goes on")  # type: ignore[misc]
            recoveries.append(time.time() - killed)
        measured("kill -9 of the leader until work goes on, with standbys", *recoveries)
        ledger.check(40)
        assert max(recoveries) <= RECOVERY
        assert sum(program.process.poll() is None for program in racers) == 1


def leading(stack: Deployment, racers: list[Program]) -> Program:
    """The process whose id is in the name of the lease's owner (host-pid-random)."""
    pid = int(stack.redis.cli("HGET", "ps:leader", "owner").split("-")[-2])
    return next(program for program in racers if program.pid == pid)


def test_sigterm_interrupts_nothing_and_a_second_one_ends_at_once() -> None:
    with Deployment() as stack:
        stack.start().deploy({"work": stack.work()})
        ledger = Ledger(stack)
        ledger.submits(1)
        ledger.check(20)
        jobs = ledger.submits(6, 1.5)
        wait_until(lambda: ledger.started() == 5, 10, "four run")
        assert stack.workers is not None
        assert stack.workers.stop(signal.SIGTERM) == 0
        states = [stack.record("work", one)["state"] for one in jobs]
        assert states.count("succeeded") == 4 and states.count("queued") == 2, states
        impatient = stack.start_workers()
        ledger.check(20, once=True)

        slow = ledger.submits(1, 30.0)
        wait_until(lambda: stack.record("work", slow[0])["state"] == "running", 10, "it runs")
        os.kill(impatient.pid, signal.SIGTERM)
        wait_until(lambda: not pending(impatient), 5, "it has got the first: two that wait would be one")
        assert impatient.process.poll() is None, "it finishes what runs"
        asked = time.monotonic()
        impatient.stop(signal.SIGTERM, timeout=5)
        assert time.monotonic() - asked < 1
        assert cancel(stack, slow[0]) in (200, 202)
        ledger.check(5, states=("succeeded", "cancelled"))


def pending(program: Program) -> bool:
    """True while a SIGTERM waits to be delivered."""
    status = Path(f"/proc/{program.pid}/status").read_text()
    masks = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("SigPnd", "ShdPnd"))]
    return any(mask >> (signal.SIGTERM - 1) & 1 for mask in masks)


def cancel(stack: Deployment, invocation: str) -> int:
    return stack.http.delete(stack.path("work", invocation), timeout=10).status_code


def test_workers_killed_while_several_instances_start_leave_no_stray() -> None:
    with Deployment() as stack:
        scaling = {"max": 3, "max_queue_wait": "100ms", "idle_timeout": "2s"}
        env = {"LEDGER": str(stack.ledger), "LOADS": "3"}
        stack.start().deploy({"work": stack.work(env=env, concurrency=1, scaling=scaling)})
        ledger = Ledger(stack)
        ledger.submits(12, 0.5)
        wait_until(lambda: states(stack) == ["initializing"] * 3, 10, "three initialize")
        # Each has a helper, which hears of no parent's death.
        starting = wait_until(lambda: len(inside(stack)) == 6 and inside(stack), 10, "each has its helper")
        killed = stack.kill(stack.workers)
        assert ledger.started() == 0, "none has served"
        wait_until(lambda: len(inside(stack)) == 3, 5, "the instances die with it")
        left = inside(stack)
        assert left < starting, "their helpers do not"
        fresh = stack.start_workers()
        fresh.says("leading", timeout=RECOVERY)
        wait_until(lambda: not left & inside(stack), 5, "what they left is removed")
        removed = time.time() - killed
        ledger.check(30, once=True)
        measured("kill -9 of workers while three instances start until no stray is left", removed)
        wait_until(lambda: not inside(stack), 20, "nothing of the function is left when it is idle")
        assert fresh.process.poll() is None
        # Who forks the next instances stays.
        wait_until(lambda: len(stack.processes()) == 3, 5, "gateway, workers and their fork server alone are left")


def states(stack: Deployment) -> list[str]:
    """Of the instances, as the workers show them."""
    found = stack.http.get(f"{stack.url}/v1/functions/work/instances", timeout=10).json()["instances"]
    return [instance["state"] for instance in found]


def inside(stack: Deployment) -> set[int]:
    """Ids of the processes that instances are, and that they started."""
    mine = set(stack.processes())
    return {pid for pid, text in environments() if b"PENSTOCK_FUNCTION=work" in text and pid in mine}


def test_workers_cut_from_redis_finish_what_runs_and_it_counts() -> None:
    with Deployment() as stack:
        stack.start().deploy({"work": stack.work()})
        ledger = Ledger(stack)
        ledger.submits(1)
        ledger.check(20)
        ledger.submits(2, 3.0)
        ledger.submits(2, 14.0)
        wait_until(lambda: ledger.started() == 5, 10, "four run")
        stack.back.cut()
        cut = time.monotonic()
        # Longer than the lease: it runs out while the work goes on.
        wait_until(lambda: time.monotonic() - cut > 12, 15, "the outage is over", every=0.5)
        assert stack.workers is not None and stack.workers.process.poll() is None
        stack.back.heal()
        healed = time.monotonic()
        ledger.check(20, once=True)
        fresh = ledger.submits(1)
        assert stack.finished("work", fresh[0])["attempt"] == 1
        measured(
            "a cut of workers healed until all that ran is recorded and new work runs", time.monotonic() - healed
        )
        ledger.check(10, once=True)


def test_a_standby_takes_over_from_workers_that_are_cut_off() -> None:
    with Deployment() as stack:
        stack.start().deploy({"work": stack.work()})
        ledger = Ledger(stack)
        ledger.submits(1)
        ledger.check(20)
        other = Proxy(stack.redis.socket)
        try:
            standby = stack.start_workers(other)
            jobs = ledger.submits(4, 4.0)
            wait_until(lambda: ledger.started() == 5, 10, "four run")
            stack.back.cut()
            standby.says("leading", timeout=RECOVERY)
            wait_until(lambda: ledger.started() >= 9, RECOVERY, "they run again")
            stack.back.heal()
            ledger.check(20)
            # At least once, never two results: the answers of the first runs were dropped.
            assert {stack.record("work", one)["attempt"] for one in jobs} == {2}
        finally:
            other.close()
