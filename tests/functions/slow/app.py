"""Sleeps for as long as it is told, and says who ran it, when, and how many ran beside it."""

import os
import socket
import threading
import time
from typing import Any

INSTANCE = f"{socket.gethostname()}-{os.getpid()}"

_lock = threading.Lock()
_running = 0


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    global _running
    started = time.time()
    with _lock:
        _running += 1
        overlapping = _running
    time.sleep(event.get("seconds", 0))
    with _lock:
        overlapping = max(overlapping, _running)
        _running -= 1
    return {
        "n": event.get("n"),
        "instance": INSTANCE,
        "request_id": context.request_id,
        "attempt": context.attempt,
        "started": started,
        "ended": time.time(),
        "overlapping": overlapping,
    }
