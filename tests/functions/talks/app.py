"""Handlers that say something while they work: pieces of their answer, progress, lines of their log."""

import time
from collections.abc import Iterator
from typing import Any


def chat(event: dict[str, Any], context: Any) -> Iterator[str]:
    """Words one by one; with `fail` it raises after the last."""
    words = event.get("prompt", "water drives the wheel").split()
    for number, word in enumerate(words):
        print(f"word {number}", flush=True)
        time.sleep(event.get("seconds", 0.02))
        yield f"{word} "
    if event.get("fail"):
        raise RuntimeError("out of words")


def train(event: dict[str, Any], context: Any) -> dict[str, int]:
    steps = event.get("steps", 3)
    for step in range(1, steps + 1):
        time.sleep(event.get("seconds", 0.02))
        print(f"epoch {step}", flush=True)
        context.progress(step / steps, f"step {step}/{steps}")
    return {"steps": steps}


def double(event: dict[str, int], context: Any) -> dict[str, int]:
    return {"n": event["n"] * 2}
