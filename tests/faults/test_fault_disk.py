"""The disk is full under Redis: new work is refused, what was accepted is kept, and then all goes on."""

from __future__ import annotations

import contextlib
import errno
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import requests

from tests.conftest import missing
from tests.e2e.harness import wait_until
from tests.faults.deployment import RECONNECT, Deployment, measured
from tests.faults.ledger import Ledger
from tests.faults.test_fault_redis import alive

OUTAGE = 12.0
"""Seconds: longer than every lease."""


def test_a_disk_that_is_full_under_redis_loses_nothing() -> None:
    with Deployment() as stack, small_disk(stack.folder / "disk", "8m") as disk:
        stack.redis.folder = disk
        stack.start().deploy({"work": stack.work()})
        ledger = Ledger(stack)
        ledger.submits(1)
        ledger.check(20)
        ledger.submits(2, 2.0)
        ledger.submits(2, OUTAGE + 2)
        wait_until(lambda: ledger.started() == 5, 10, "four run")
        waiting = ledger.submits(4)
        assert appends(stack)
        with ledger.load(threads=2):
            fill(disk / "filler")
            wait_until(lambda: not appends(stack), 10, "Redis cannot write", every=0.1)
            full = time.monotonic()
            refused = len(ledger.refused)
            wait_until(lambda: len(ledger.refused) > refused + 10, 10, "it refuses")
            since = len(ledger.refused)
            wait_until(lambda: time.monotonic() - full > 3, 5, "some seconds pass", every=0.5)
            early = readiness(stack)
            wait_until(lambda: time.monotonic() - full > OUTAGE, OUTAGE + 2, "the outage is over", every=0.5)
            late = readiness(stack)
            known, ran = len(ledger.acknowledged), ledger.started()
            assert {stack.record("work", one)["id"] for one in waiting} == set(waiting), "what is kept can be read"
            (disk / "filler").unlink()
            wait_until(lambda: appends(stack), 10, "Redis writes again")
            back = time.monotonic()
            wait_until(lambda: len(ledger.acknowledged) > known, RECONNECT, "it accepts again")
            accepts = time.monotonic() - back
            wait_until(lambda: ledger.started() > ran, RECONNECT, "work is run again")
            measured("a full disk is freed until work is accepted, and run", accepts, time.monotonic() - back)
        assert alive(stack)
        assert {(refusal.status, refusal.code) for refusal in ledger.refused[since:]} == {
            (503, "store_unavailable")
        }
        assert all(refusal.retry_after for refusal in ledger.refused)
        ledger.check(40, once=True)
        wait_until(stack.ready, RECONNECT, "it is ready")
        # It says so at once, and not only when the leader's lease has run out.
        for status, text in (early, late):
            assert status == 503, text
            assert "disk" in text.lower() or "misconf" in text.lower(), "it says what is wrong: " + text


def appends(stack: Deployment) -> bool:
    """True if what Redis last wrote to its append-only file was written."""
    return "aof_last_write_status:ok" in stack.redis.cli("INFO", "persistence")


def readiness(stack: Deployment) -> tuple[int, str]:
    reply = requests.get(f"{stack.url}/readyz", timeout=10)
    return reply.status_code, reply.text


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk of its own, in memory."""
    folder.mkdir()
    command = ("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        missing("the right to mount a small disk")
    try:
        yield folder
    finally:
        # Lazily: whoever still has it open loses it with its own end.
        subprocess.run(("umount", "--lazy", str(folder)), check=True)


def fill(file: Path) -> None:
    """Until nothing more fits."""
    with file.open("ab", buffering=0) as filling:
        while True:
            try:
                filling.write(b"x" * 4096)
            except OSError as error:
                assert error.errno == errno.ENOSPC
                return
