"""Works for as long as it is told, and writes each run into a ledger of its own: executions are counted there."""

import os
import subprocess
import time
from typing import Any

kept: list[bytes] = []


def initialize(context: Any) -> None:
    """Takes as long as it is told, with a helper beside it that would outlive everything."""
    seconds = float(os.environ.get("LOADS", "0"))
    if seconds:
        subprocess.Popen(["sleep", "300"])
        time.sleep(seconds)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    started = time.time()
    write("start", event["n"], context.attempt, started)
    if event.get("die"):
        print("poisoned by", event["n"], flush=True)
        os._exit(int(event["die"]))
    if event.get("hoard"):
        print("hoarding for", event["n"], flush=True)
        kept.append(b"x" * (event["hoard"] << 20))
    later = context.attempt > 1 and "again" in event
    time.sleep(event["again"] if later else event.get("seconds", 0))
    ended = time.time()
    write("end", event["n"], context.attempt, ended)
    return {"n": event["n"], "attempt": context.attempt, "started": started, "ended": ended}


def write(what: str, n: int, attempt: int, at: float) -> None:
    """One line in one write, so that runs side by side do not mix theirs."""
    path = os.environ.get("LEDGER")
    if path is not None:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{what} {n} {attempt} {at:.3f} {os.getpid()}\n".encode())
        os.close(file)
