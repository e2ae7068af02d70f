"""Receivers of callbacks that fail in every way, and workers killed under a try and between two: each is told at
least once, and the result stays as it is."""

from __future__ import annotations

import signal
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler

from standardwebhooks.webhooks import Webhook

from tests.e2e.harness import CALLBACK_SECRET, Json, wait_until
from tests.e2e.receiver import Delivery, Receiver
from tests.faults.deployment import RECOVERY, Deployment, measured
from tests.faults.ledger import Ledger

PAUSE = 5.0
"""Seconds from a first try that failed to the second; up to a tenth more, and until somebody looks."""
RETRY_AFTER = 8
"""Seconds that the one asks for which answers 429: more than the pause."""
FINAL = ("307", "410")
"""Answers that no other try follows."""
TIMEOUT = 1.0
"""Seconds of one try in these deployments."""
LOST_TRY = 25.0
"""Seconds after which a try that was made by workers which died under it is made again: its timeout, 15 s until it
is claimed again, and arq's lock."""


class Moody(Receiver):
    """Does to the first try of each invocation what the path says, and takes the next."""

    def __init__(self) -> None:
        super().__init__()
        self.patience = threading.Event()
        """Set when what hangs may go."""

    def answer(self, handler: BaseHTTPRequestHandler, delivery: Delivery) -> None:
        mood = delivery.path.strip("/")
        if mood not in FINAL and len(self.of(delivery.data["id"])) > 1:
            super().answer(handler, delivery)
        elif mood == "hangs":
            self.patience.wait(60)
        elif mood == "resets":
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()
        else:
            handler.send_response(int(mood))
            if mood == "307":
                handler.send_header("Location", f"{self.url}/elsewhere")
            if mood == "429":
                handler.send_header("Retry-After", str(RETRY_AFTER))
            handler.end_headers()

    def submit(self, ledger: Ledger, mood: str) -> str:
        """A job whose callback meets this mood."""
        (job,) = ledger.submits(1, headers={"Penstock-Callback-Url": f"{self.url}/{mood}"})
        return job


def test_receivers_that_fail_in_every_way_are_told_at_least_once() -> None:
    with Deployment(CALLBACKS__TIMEOUT=f"{TIMEOUT:g}s") as stack, Moody() as receiver:
        stack.start().deploy({"work": stack.work()})
        ledger = Ledger(stack)
        again = {mood: receiver.submit(ledger, mood) for mood in ("500", "hangs", "resets", "429")}
        final = {mood: receiver.submit(ledger, mood) for mood in FINAL}
        ledger.check(20, once=True)
        wait_until(lambda: all(len(receiver.of(job)) == 2 for job in again.values()), 20, "each is asked again")
        settled(stack)
        receiver.patience.set()

        pauses = {mood: receiver.of(job)[1].at - receiver.of(job)[0].at for mood, job in again.items()}
        measured("callbacks: 500, no answer, reset and 429 until the second try", *pauses.values())
        assert min(pauses.values()) >= PAUSE - 0.1, pauses
        assert pauses["hangs"] >= PAUSE + TIMEOUT - 0.1, "the time of the try is no part of the pause"
        assert {len(receiver.of(job)) for job in final.values()} == {1}, "what is final is final"
        asked = {delivery.path.strip("/") for delivery in receiver.deliveries}
        assert asked == {*again, *final}, "none was redirected"
        for job in (*again.values(), *final.values()):
            genuine(receiver.of(job))
        ledger.check(5, once=True)
        assert pauses["429"] >= RETRY_AFTER, "who says when is asked no sooner"


def test_workers_killed_under_a_try_and_between_two() -> None:
    with Deployment(CALLBACKS__TIMEOUT=f"{TIMEOUT:g}s") as stack, Moody() as receiver:
        stack.start().deploy({"work": stack.work()})
        ledger = Ledger(stack)
        between = receiver.submit(ledger, "500")
        ledger.check(20, once=True)
        wait_until(
            lambda: [one["attempts_made"] for one in deliveries(stack, between)] == [1], 10, "its first try"
        )
        under = receiver.submit(ledger, "hangs")
        wait_until(lambda: receiver.of(under), 10, "a try is under way", every=0.002)
        ledger.check(5, once=True)
        killed = stack.kill(stack.workers)
        assert time.time() - receiver.of(under)[0].at < TIMEOUT, "killed under it"
        assert len(receiver.of(between)) == 1, "killed before its second"
        states = [one["state"] for job in (between, under) for one in deliveries(stack, job)]
        assert states == ["pending", "pending"], "both are owed"
        receiver.patience.set()
        stack.start_workers()

        wait_until(lambda: len(receiver.of(between)) == 2, RECOVERY, "one is asked again")
        wait_until(lambda: len(receiver.of(under)) == 2, LOST_TRY, "the other, too")
        late = [receiver.of(job)[1].at - killed for job in (between, under)]
        measured("kill -9 of workers until the next try of a callback between two, and under one", *late)
        settled(stack)
        for job in (between, under):
            genuine(receiver.of(job))
        ledger.check(5, once=True)
        assert late[1] <= LOST_TRY


def test_workers_stopped_under_a_try() -> None:
    with Deployment(CALLBACKS__TIMEOUT=f"{TIMEOUT:g}s") as stack, Moody() as receiver:
        stack.start().deploy({"work": stack.work()})
        ledger = Ledger(stack)
        job = receiver.submit(ledger, "hangs")
        wait_until(lambda: receiver.of(job), 20, "a try is under way", every=0.002)
        assert stack.workers is not None
        assert stack.workers.stop(signal.SIGTERM) == 0
        stopped = time.time()
        receiver.patience.set()
        stack.start_workers()
        wait_until(lambda: len(receiver.of(job)) == 2, LOST_TRY, "it is asked again")
        measured("SIGTERM of workers until the next try of a callback under one", receiver.of(job)[1].at - stopped)
        settled(stack)
        genuine(receiver.of(job))
        ledger.check(5, once=True)


def test_everything_killed_between_the_end_and_the_delivery() -> None:
    with Deployment(CALLBACKS__TIMEOUT=f"{TIMEOUT:g}s") as stack, Moody() as receiver:
        stack.start().deploy({"work": stack.work()})
        ledger = Ledger(stack)
        ledger.submits(1)
        ledger.check(20)
        finish = stack.back.lose("finish", "work", stall=True)
        jobs = [receiver.submit(ledger, "204")]
        assert finish.seen.wait(5), "it is finished, and its workers do not know"
        jobs_owed = stack.redis.cli("ZRANGE", "ps:outbox", "0", "-1").split("\n")
        assert jobs_owed == [f"work {jobs[0]} completed"]
        for program in (stack.workers, stack.gateway):
            stack.kill(program)
        # What Redis had not yet written to its disk is not promised: it writes each second.
        time.sleep(1.5)
        stack.redis.kill()
        stack.back.heal()
        stack.redis.start()
        assert receiver.deliveries == []
        stack.start_gateway()
        stack.start_workers()
        wait_until(lambda: receiver.of(jobs[0]), RECOVERY, "it is told")
        settled(stack)
        genuine(receiver.of(jobs[0]))
        [delivery] = deliveries(stack, jobs[0])
        assert (delivery["state"], delivery["message"]) == ("delivered", f"msg_{jobs[0]}")
        assert len(receiver.of(jobs[0])) == 1
        ledger.check(5, once=True)


def deliveries(stack: Deployment, job: str) -> list[Json]:
    """What the ledger says of a job's callbacks."""
    reply = stack.http.get(f"{stack.url}/v1/functions/work/deliveries?invocation={job}", timeout=5)
    found: list[Json] = reply.json()["deliveries"]
    return found


def settled(stack: Deployment) -> None:
    """No callback is owed: none will be sent again."""
    sets = ("ps:outbox", "ps:deliveries:lanes")
    wait_until(lambda: {stack.redis.cli("ZCARD", key) for key in sets} == {"0"}, 10, "no callback is owed")


def genuine(deliveries: list[Delivery]) -> None:
    """Each is signed, and a receiver can tell that they are the same."""
    for delivery in deliveries:
        Webhook(CALLBACK_SECRET).verify(delivery.body, delivery.headers)
    assert len({delivery.headers["webhook-id"] for delivery in deliveries}) == 1
    assert {delivery.data["state"] for delivery in deliveries} == {"succeeded"}
