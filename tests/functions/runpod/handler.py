"""RunPod workers as their users write them, for the contract tests: the runpod package runs them, unchanged."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import runpod


def sync(job: dict[str, Any]) -> Any:
    given = job["input"]
    if given.get("raise"):
        raise ValueError(given["raise"])
    if given.get("refuse"):
        return {"error": given["refuse"]}
    if given.get("size"):
        return "x" * given["size"]
    if given.get("exit"):
        os._exit(3)
    time.sleep(given.get("seconds", 0))
    return {"said": given.get("text"), "pid": os.getpid(), "refresh_worker": given.get("refresh", False)}


async def coroutine(job: dict[str, Any]) -> Any:
    given = job["input"]
    for step in given.get("steps", ()):
        runpod.serverless.progress_update(job, step)
        await asyncio.sleep(0.2)
    await asyncio.sleep(given.get("seconds", 0))
    return {"pid": os.getpid()}


def generator(job: dict[str, Any]) -> Iterator[Any]:
    for number in range(job["input"]["count"]):
        yield {"number": number, "fill": "x" * job["input"].get("fill", 0)}
        time.sleep(job["input"].get("pause", 0))
    if job["input"].get("raise"):
        raise KeyError("no more")


async def agenerator(job: dict[str, Any]) -> AsyncIterator[Any]:
    for number in range(job["input"]["count"]):
        yield number
        await asyncio.sleep(0)


HANDLERS = {"sync": sync, "async": coroutine, "generator": generator, "async generator": agenerator}

if __name__ == "__main__":
    time.sleep(float(os.environ.get("SETUP_SECONDS", "0")))
    slots = int(os.environ.get("SLOTS", "1"))
    runpod.serverless.start(
        {"handler": HANDLERS[os.environ["HANDLER"]], "concurrency_modifier": lambda current: slots}
    )
