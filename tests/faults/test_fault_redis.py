"""Redis killed, hanging, full and emptied, and replies that are lost: no process exits, nothing is done twice."""

from __future__ import annotations

import signal
import threading
import time

import pytest
import requests

from tests.e2e.harness import wait_until
from tests.faults.deployment import RECONNECT, Deployment, measured
from tests.faults.ledger import Ledger


def test_redis_killed_under_load_and_started_again_on_its_data() -> None:
    with Deployment() as stack:
        stack.start().deploy({"work": stack.work()})
        ledger = Ledger(stack)
        ledger.submits(1)
        ledger.check(20)
        ledger.submits(2, 3.0)
        with ledger.load(threads=4):
            for _ in range(2):
                known = len(ledger.acknowledged)
                wait_until(lambda known=known: len(ledger.acknowledged) > known + 20, 15, "it acknowledges")  # type: ignore[misc]
                stack.redis.kill()
                refused = len(ledger.refused)
                wait_until(lambda refused=refused: len(ledger.refused) > refused + 10, 10, "it refuses")  # type: ignore[misc]
                stack.redis.start()
                back = time.time()
                known = len(ledger.acknowledged)
                wait_until(lambda known=known: len(ledger.acknowledged) > known, RECONNECT, "it accepts")  # type: ignore[misc]
                accepts = time.time() - back
                ran = ledger.started()
                wait_until(lambda ran=ran: ledger.started() > ran, RECONNECT, "work is run")  # type: ignore[misc]
                measured("Redis is back until work is accepted, and run", accepts, time.time() - back)
        assert alive(stack)
        assert {(refusal.status, refusal.code) for refusal in ledger.refused} == {(503, "store_unavailable")}
        assert all(refusal.retry_after for refusal in ledger.refused)
        ledger.check(40, once=True)


def test_redis_hangs_longer_than_the_lease_while_jobs_run() -> None:
    with Deployment() as stack:
        stack.start().deploy({"work": stack.work()})
        ledger = Ledger(stack)
        ledger.submits(1)
        ledger.check(20)
        ledger.submits(2, 2.0)
        ledger.submits(2, 13.0)
        wait_until(lambda: ledger.started() == 5, 10, "four run")
        assert stack.redis.process is not None
        stack.redis.process.send_signal(signal.SIGSTOP)
        hung = time.monotonic()
        asked = threading.Thread(target=ledger.submit)
        asked.start()
        wait_until(lambda: time.monotonic() - hung > 11, 15, "the hang is over", every=0.5)
        asked.join()
        assert [refusal.status for refusal in ledger.refused] == [503], "a submit does not hang with it"
        stack.redis.process.send_signal(signal.SIGCONT)
        back = time.monotonic()
        wait_until(lambda: ledger.submit() is not None, RECONNECT, "it accepts again", every=0.1)
        measured("Redis answers again until work is accepted", time.monotonic() - back)
        assert alive(stack)
        ledger.check(30, once=True)


def test_one_execution_and_one_result_though_the_reply_of_each_script_is_lost() -> None:
    with Deployment() as stack:
        stack.start().deploy({"work": stack.work()})
        ledger = Ledger(stack)
        ledger.submits(1)
        ledger.check(20)

        # submit: the client is told 503, asks again under its key, and joins what was accepted.
        lost, number, key = stack.front.lose("submit"), ledger.number(), {"Idempotency-Key": "once"}
        assert ledger.submit(n=number, headers=key) is None
        assert lost.seen.is_set() and ledger.refused[-1].status == 503
        assert ledger.submit(n=number, headers=key) is not None
        ledger.check(10, once=True)

        # What the workers send: asked again until it is answered.
        for script, seconds in (("take", 0.0), ("finish", 0.0), ("renew", 4.0), ("sweep", 3.0), ("due", 1.5)):
            lost = stack.back.lose(script, times=2)
            ledger.submits(2, seconds)
            assert lost.seen.wait(10), f"two replies of {script} were lost"
            ledger.check(20, once=True)

        # lead: who is not told that it leads still, asks again; nobody else has come.
        lost = stack.back.lose("lead", times=2)
        ledger.submits(1, 1.0)
        assert lost.seen.wait(15), "two replies of lead were lost"
        ledger.check(20, once=True)
        assert int(stack.redis.cli("HGET", "ps:leader", "epoch")) == 1

        # cancel: carried out once; asked again it says that it was.
        (running,) = ledger.submits(1, 20.0)
        wait_until(lambda: stack.record("work", running)["state"] == "running", 10, "it runs")
        lost = stack.front.lose("cancel")
        url = stack.path("work", running)
        assert requests.delete(url, timeout=10).status_code == 503
        assert lost.seen.is_set()
        assert requests.delete(url, timeout=10).status_code == 409, "it is cancelled already"
        ledger.submits(1)
        ledger.check(10, once=True, states=("succeeded", "cancelled"))


def test_a_lost_reply_of_retry_spends_one_attempt() -> None:
    with Deployment() as stack:
        stack.start().deploy({"work": stack.work(retry={"attempts": 3, "backoff": "100ms"})})
        ledger = Ledger(stack)
        ledger.submits(1)
        ledger.check(20)
        lost = stack.back.lose("retry", times=1)
        (job,) = ledger.submits(1, die=7)
        assert lost.seen.wait(10), "the reply of retry was lost"
        ledger.check(20, states=("succeeded", "failed"))
        record = stack.record("work", job)
        assert (record["state"], record["attempt"]) == ("failed", 3)
        assert ledger.executions()[ledger.acknowledged[job]] == 3


def test_a_full_redis_refuses_new_work_and_still_records_what_runs() -> None:
    with Deployment() as stack:
        stack.start().deploy({"work": stack.work()})
        ledger = Ledger(stack)
        ledger.submits(1)
        ledger.check(20)
        ledger.submits(8, 1.5)
        wait_until(lambda: ledger.started() == 5, 10, "four run")
        stack.redis.cli("CONFIG", "SET", "maxmemory", "1mb")
        refused = wait_until(lambda: ledger.submit() or ledger.refused, 5, "it refuses")
        assert refused, "nothing new is accepted"
        assert (ledger.refused[-1].status, ledger.refused[-1].retry_after is not None) == (503, True)
        wait_until(lambda: ledger.glance() >= 9, 20, "all that was accepted runs and is recorded")
        assert ledger.submit() is None
        stack.redis.cli("CONFIG", "SET", "maxmemory", "0")
        wait_until(lambda: ledger.submit() is not None, RECONNECT, "it accepts again", every=0.1)
        assert alive(stack)
        ledger.check(20, once=True)


def test_flushall_ends_no_process_and_new_work_runs() -> None:
    with Deployment() as stack:
        stack.start().deploy({"work": stack.work()})
        ledger = Ledger(stack)
        ledger.submits(1)
        ledger.check(20)
        gone = ledger.submits(2, 2.0)
        wait_until(lambda: ledger.started() == 3, 10, "two run")
        stack.redis.cli("FLUSHALL")
        flushed = time.monotonic()
        # What was acknowledged is gone with the data, and its ids say so: 410, not 404.
        answers = [requests.get(stack.path("work", one), timeout=10).status_code for one in gone]
        assert answers == [410, 410]
        wait_until(stack.ready, 20, "somebody leads again")
        stack.deploy({"work": stack.work()})
        measured("FLUSHALL until functions are deployed again", time.monotonic() - flushed)
        ledger.acknowledged.clear()
        ledger.submits(3)
        ledger.check(20, once=True)
        assert alive(stack)


@pytest.mark.long
def test_redis_away_for_a_minute() -> None:
    with Deployment() as stack:
        stack.start().deploy({"work": stack.work()})
        ledger = Ledger(stack)
        ledger.submits(1)
        ledger.check(20)
        ledger.submits(2, 5.0)
        ledger.submits(2, 62.0)
        wait_until(lambda: ledger.started() == 5, 10, "four run")
        stack.redis.kill()
        away = time.monotonic()
        wait_until(lambda: time.monotonic() - away > 60, 65, "a minute is over", every=1)
        stack.redis.start()
        back = time.monotonic()
        wait_until(lambda: ledger.submit() is not None, RECONNECT, "it accepts again", every=0.1)
        measured("Redis answers again until work is accepted", time.monotonic() - back)
        assert alive(stack)
        ledger.check(30, once=True)


def alive(stack: Deployment) -> bool:
    assert stack.gateway is not None and stack.workers is not None
    return stack.gateway.process.poll() is None and stack.workers.process.poll() is None
