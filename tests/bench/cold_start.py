"""Cold starts of examples/echo, measured from outside through the public interface.

    python -m tests.bench.cold_start [--engine process|docker] [--rounds 20]

Each round lets the function go to zero, calls it once, and reads the record and the instance. Ways to start are
compared side by side, one round of each in turn:
  process   forked from a fork server        (goal: 60 ms from arrival to answer, p50)
            started anew                     (goal: 350 ms)
  docker    through Penstock                 (goal: the bare run and 30 ms)
            with `standby: 1`                (goal: half of the bare run)
            bare: `docker run` of the same image, until its server has answered the first call
            bare, with the limits and the isolation that Penstock gives to every container
The platform's own share: arrival → start call (goal: 20 ms) and ready → first dispatch (goal: 10 ms). The rest is
the function's own: the engine's start, the interpreter, the import. Times are those of one machine's clock; stages
are whole milliseconds.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import math
import statistics
import subprocess
import time
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from penstock.instance import START_STAGES
from tests.e2e.harness import Json, Stack, docker_client, wait_until

ECHO = Path(__file__).parents[2] / "examples" / "echo"
SPEC: Json = {"path": str(ECHO), "resources": {"memory": "256MiB"}, "scaling": {"max": 1, "idle_timeout": "200ms"}}
SHARES = {"arrival → start call": 20.0, "ready → first dispatch": 10.0}
WHOLE = {"forked": 60.0, "started anew": 350.0}
OVER_BARE = 30.0
STANDBY = 0.5
"""Of the bare run."""
LIKE_OURS = (
    *("--init", "--user", "65534:65534", "--read-only", "--tmpfs", "/tmp:mode=1777", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges", "--pids-limit", "512", "--memory", "256m", "--memory-swap", "256m"),
    *("--cpus", "1", "--log-driver", "json-file", "--log-opt", "max-size=10m", "--log-opt", "max-file=2"),
)

Round = dict[str, float]
"""Milliseconds by part of one cold start."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", choices=["process", "docker"], default="process")
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stacks:
        ways = (processes if arguments.engine == "process" else containers)(stacks)
        measured: dict[str, list[Round]] = {name: [] for name in ways}
        for number in range(arguments.rounds + 1):
            for name, one_round in ways.items():
                figures = one_round()
                if number:  # the first fills caches
                    measured[name].append(figures)
    report(arguments.engine, measured)


def processes(stacks: contextlib.ExitStack) -> dict[str, Callable[[], Round]]:
    forked = started(stacks, Stack("process"))
    anew = started(stacks, Stack("process", WORKERS__FORK_SERVERS="0"))
    return {"forked": lambda: through_penstock(forked), "started anew": lambda: through_penstock(anew)}


def containers(stacks: contextlib.ExitStack) -> dict[str, Callable[[], Round]]:
    stack = started(stacks, Stack("docker"))
    stack.deploy({"standby": {**SPEC, "scaling": {**SPEC["scaling"], "standby": 1}}})
    stack.call("echo", b"x")
    (container,) = stack.containers("echo")
    network = f"penstock-bench-{uuid.uuid4().hex[:8]}"
    stacks.callback(docker_client().networks.create(network, driver="bridge").remove)
    image, environment = (
        str(container.attrs["Image"]),
        [one for one in container.attrs["Config"]["Env"] if one.startswith("PENSTOCK_")],
    )
    return {
        "through Penstock": lambda: through_penstock(stack),
        "with standby: 1": lambda: through_penstock(stack, "standby"),
        "bare": lambda: bare(image, environment, network),
        "bare, as isolated": lambda: bare(image, environment, network, LIKE_OURS),
    }


def started(stacks: contextlib.ExitStack, stack: Stack) -> Stack:
    stacks.enter_context(stack)
    stack.start()
    stack.deploy({"echo": SPEC})
    return stack


def through_penstock(stack: Stack, name: str = "echo") -> Round:
    settle(stack, name)
    sent = time.time() * 1000
    reply = stack.call(name, b"x")
    answered = time.time() * 1000
    assert reply.headers["Penstock-Cold-Start"] == "true", reply.headers
    record = stack.record(name, reply.headers["Penstock-Invocation-Id"])
    stages = record["timeline"]
    began = milliseconds(wait_until(lambda: instances(stack, name), 5, "the instance is shown")[0]["started_at"])
    start = sum(stages[stage] for stage in START_STAGES)
    settle(stack, name)  # whoever is measured next has the machine for itself
    return {
        "arrival → start call": began + stages["pending"] - sent,
        "engine's start": stages["starting"],
        "until its port is open": stages["listening"],
        "until it is ready": stages["initializing"],
        "ready → first dispatch": milliseconds(record["started_at"]) - (began + start),
        "run": stages["running"],
        "arrival → answer": answered - sent,
    }


def settle(stack: Stack, name: str) -> None:
    """No instance is left, and whoever shall stand by does."""
    if name == "standby":
        wait_until(lambda: [one.status for one in stack.containers(name)] == ["paused"], 30, "one stands by")
    else:
        stack.gone(name)
    wait_until(lambda: not instances(stack, name), 10, "nothing is shown either")


def bare(image: str, environment: list[str], network: str, options: tuple[str, ...] = ()) -> Round:
    """A container by the command line of Docker, asked every 5 ms until its server answers."""
    name = f"penstock-bench-{uuid.uuid4().hex[:8]}"
    settings = [part for one in environment for part in ("--env", one)]
    began = time.monotonic()
    try:
        subprocess.run(
            ["docker", "run", "--detach", "--name", name, "--network", network, *options, *settings, image],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        running = time.monotonic()
        address = docker_client().containers.get(name).attrs["NetworkSettings"]["Networks"][network]["IPAddress"]
        wait_until(lambda: answers(address), 20, "it answers", every=0.005)
        ready = time.monotonic()
    finally:
        subprocess.run(["docker", "rm", "--force", name], check=False, capture_output=True)
    return {
        "engine's start": (running - began) * 1000,
        "until its port is open": (ready - running) * 1000,
        "arrival → answer": (ready - began) * 1000,
    }


def answers(address: str) -> bool:
    connection = http.client.HTTPConnection(address, 9000, timeout=5)
    try:
        connection.request("POST", "/invoke", b"x")
        return connection.getresponse().read() == b"x"
    except OSError:
        return False
    finally:
        connection.close()


def instances(stack: Stack, name: str) -> list[Json]:
    """As the gateway shows them."""
    shown: Json = stack.http.get(f"{stack.url}/v1/functions/{name}/instances", timeout=5).json()
    return list(shown["instances"])


def milliseconds(rfc3339: str) -> float:
    return datetime.fromisoformat(rfc3339).timestamp() * 1000


def report(engine: str, measured: dict[str, list[Round]]) -> None:
    figures = {name: {part: spread(rounds, part) for part in rounds[0]} for name, rounds in measured.items()}
    goals = dict(WHOLE)
    if "bare" in figures:
        without_us = figures["bare"]["arrival → answer"]["p50"]
        goals |= {"through Penstock": without_us + OVER_BARE, "with standby: 1": without_us * STANDBY}
    rounds = len(next(iter(measured.values())))
    print(f"cold start of examples/echo, engine {engine}, {rounds} rounds of each in turn, milliseconds")
    for name, parts in figures.items():
        print(f"\n{name:28}{'p50':>9}{'p95':>9}{'max':>9}   goal")
        for part, values in parts.items():
            goal = goals.get(name) if part == "arrival → answer" else SHARES.get(part)
            verdict = "" if goal is None else f"≤ {goal:.0f}: {'met' if values['p50'] <= goal else 'MISSED'}"
            print(f"{part:28}{values['p50']:9.1f}{values['p95']:9.1f}{values['max']:9.1f}   {verdict}")
    print()
    print(json.dumps({"engine": engine, "rounds": rounds, "ms": figures}))


def spread(rounds: list[Round], part: str) -> dict[str, float]:
    values = sorted(one[part] for one in rounds)
    p95 = values[math.ceil(len(values) * 0.95) - 1]
    return {
        name: round(value, 1)
        for name, value in (("p50", statistics.median(values)), ("p95", p95), ("max", values[-1]))
    }


if __name__ == "__main__":
    main()
