"""Does what its event asks for: sleep, log, report progress, raise, answer at once or piece by piece."""

import time
from collections.abc import Iterator
from typing import Any


class TooSad(Exception):
    pass


def handler(event: Any, context: Any) -> Any:
    asked = event if isinstance(event, dict) else {}
    if "log" in asked:
        print(asked["log"], flush=True)
    if "progress" in asked:
        context.progress(asked["progress"], "on its way")
    if "pieces" in asked:
        return pieces(asked["pieces"], asked.get("pause", 0.0))
    time.sleep(asked.get("seconds", 0.0))
    if "raise" in asked:
        raise TooSad(asked["raise"])
    return {"event": event, "request_id": context.request_id}


def pieces(wanted: list[Any], pause: float) -> Iterator[Any]:
    for piece in wanted:
        yield piece
        time.sleep(pause)
