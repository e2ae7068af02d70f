"""kill -9 and stops of the gateway: what it acknowledged ends, what it held goes on."""

from __future__ import annotations

import json
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import requests

from tests.e2e.harness import wait_until
from tests.faults.deployment import RECONNECT, Deployment, measured
from tests.faults.ledger import Ledger


def test_gateway_killed_under_load_and_while_it_holds_calls() -> None:
    with Deployment() as stack:
        stack.start().deploy({"work": stack.work()})
        ledger = Ledger(stack)
        ledger.submits(1)
        ledger.check(20)
        holding = [threading.Thread(target=held, args=(stack, ledger.number(), 2.0)) for _ in range(2)]
        for call in holding:
            call.start()
        wait_until(lambda: ledger.started() == 3, 10, "two held calls run")
        with ledger.load(threads=4):
            for _ in range(3):
                known = len(ledger.acknowledged)
                wait_until(lambda known=known: len(ledger.acknowledged) > known + 20, 15, "it acknowledges")  # type: ignore[misc]
                killed = stack.kill(stack.gateway)
                stack.start_gateway()
                wait_until(stack.ready, 15, "a new one serves")
                measured("kill -9 of the gateway until a new one is ready", time.time() - killed)
        for call in holding:
            call.join()
        assert any(refusal.status == 0 for refusal in ledger.refused), "it was killed under load"
        # The work that the held calls had started has ended, and can be read: what began is not thrown away.
        for record in calls(stack, ledger):
            ledger.acknowledged[record] = json.loads(stack.result("work", record).content)["n"]
        assert {1, 2} <= set(ledger.acknowledged.values())
        ledger.check(40, once=True)


def held(stack: Deployment, n: int, seconds: float) -> None:
    """A call whose gateway dies under it."""
    try:
        requests.post(stack.path("work"), json={"n": n, "seconds": seconds}, timeout=30)
    except requests.ConnectionError:
        return
    raise AssertionError("the gateway outlived the call")


def calls(stack: Deployment, ledger: Ledger) -> list[str]:
    """Ids of ended invocations that nobody was told of: those of calls that were held, and of lost answers."""

    def ended() -> list[str]:
        keys = stack.redis.cli("KEYS", "ps:{work}:inv:*").split()
        ids = [key.rpartition(":")[2] for key in keys]
        unknown = [one for one in ids if one not in ledger.acknowledged]
        states = [stack.record("work", one)["state"] for one in unknown]
        return unknown if set(states) == {"succeeded"} else []

    return wait_until(ended, 30, "all have ended", every=0.2)


def test_sigterm_answers_held_calls_with_202_and_their_jobs_end() -> None:
    with Deployment() as stack:
        stack.start().deploy({"work": stack.work()})
        ledger = Ledger(stack)
        ledger.submits(1)
        ledger.check(20)
        with ThreadPoolExecutor(6) as threads:
            replies = [
                threads.submit(
                    requests.post, stack.path("work"), json={"n": ledger.number(), "seconds": 2.0}, timeout=30
                )
                for _ in range(6)
            ]
            wait_until(lambda: ledger.started() == 5, 10, "four run, two wait")
            assert stack.gateway is not None
            assert stack.gateway.stop(signal.SIGTERM) == 0
            answered = [reply.result() for reply in replies]
        assert {reply.status_code for reply in answered} == {202}
        stack.start_gateway()
        wait_until(stack.ready, 15, "a new gateway serves")
        for reply in answered:
            record = requests.get(stack.url + reply.headers["Location"], params={"wait": 10}, timeout=20).json()
            assert record["state"] == "succeeded"
            ledger.acknowledged[record["id"]] = stack.result("work", record["id"]).json()["n"]
        assert sorted(ledger.acknowledged.values()) == list(range(7))
        ledger.check(10, once=True)


def test_a_held_call_sent_again_under_its_key_gets_the_same_answer() -> None:
    with Deployment() as stack:
        stack.start().deploy({"work": stack.work()})
        ledger = Ledger(stack)
        ledger.submits(1)
        ledger.check(20)
        body, key = {"n": ledger.number(), "seconds": 1.5}, {"Idempotency-Key": "the one"}
        first = threading.Thread(target=dropped, args=(stack, body, key))
        first.start()
        wait_until(lambda: ledger.started() == 2, 10, "it runs")
        first.join()
        again = requests.post(stack.path("work"), json=body, headers=key, timeout=20)
        assert again.status_code == 200, again.text
        invocation = again.headers["Penstock-Invocation-Id"]
        ledger.acknowledged[invocation] = body["n"]  # type: ignore[assignment]
        # And after the gateway died and another one serves: nothing of it lived in the process.
        stack.kill(stack.gateway)
        stack.start_gateway()
        wait_until(stack.ready, 15, "a new gateway serves")
        third = requests.post(stack.path("work"), json=body, headers=key, timeout=20)
        assert (third.status_code, third.content) == (200, again.content)
        assert third.headers["Penstock-Invocation-Id"] == invocation
        other = requests.post(stack.path("work"), json=body | {"seconds": 0}, headers=key, timeout=20)
        assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
        # As jobs, and many at once.
        number = ledger.number()
        with ThreadPoolExecutor(8) as threads:
            same = list(
                threads.map(lambda _: ledger.submit(n=number, headers={"Idempotency-Key": "many"}), range(16))
            )
        assert len(set(same)) == 1 and same[0] is not None, (same, ledger.refused)
        ledger.check(10, once=True)


def dropped(stack: Deployment, body: dict[str, object], headers: dict[str, str]) -> None:
    """A held call whose client gives up."""
    try:
        requests.post(stack.path("work"), json=body, headers=headers, timeout=1.0)
    except requests.Timeout:
        return
    raise AssertionError("it was answered in time")


def test_a_gateway_that_loses_redis_says_so_and_comes_back() -> None:
    with Deployment() as stack:
        stack.start().deploy({"work": stack.work()})
        ledger = Ledger(stack)
        ledger.submits(1)
        ledger.check(20)
        stack.front.cut()
        assert ledger.submit() is None
        refusal = ledger.refused[-1]
        assert (refusal.status, refusal.code) == (503, "store_unavailable")
        assert refusal.retry_after is not None and int(refusal.retry_after) >= 1
        ready = requests.get(f"{stack.url}/readyz", timeout=10)
        assert ready.status_code == 503 and "Redis" in ready.text
        stack.front.heal()
        healed = time.monotonic()
        wait_until(lambda: ledger.submit() is not None, RECONNECT, "it accepts again", every=0.1)
        measured("Redis answers again until work is accepted", time.monotonic() - healed)
        ledger.check(10, once=True)
