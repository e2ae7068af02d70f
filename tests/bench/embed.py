"""A real transformer, examples/embed: cold starts by stage, memory, latency, and what batching gains.

    python -m tests.bench.embed [--rounds 5] [--seconds 5] [--clients 32]

The same function as PyTorch runs it, and with the remedies for slow starts: modules preloaded by the fork server,
ONNX Runtime, 8 bits. Cold starts are taken in turn, one of each per round, on two deployments: one with fork
servers and one without. Memory is the proportional set size of all processes of a function: one instance with its
fork server, and what another instance adds. Latency is that of one client with one text after the other;
throughput that of many clients, one instance with one thread. Installing the example takes minutes the first
time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from penstock.instance import START_STAGES
from tests.bench.cold_start import instances
from tests.e2e import embedding
from tests.e2e.harness import Json, Stack, environments, wait_until

TEXTS = [
    f"{subject} {verb} {thing} {when}."
    for subject in ("The new manager", "A friend of mine", "Nobody in the office", "The weather report")
    for verb in ("mentioned", "did not expect", "wrote a long letter about")
    for thing in ("the flood in the valley", "a shipment of spare parts", "the concert")
    for when in ("yesterday", "before the meeting had even begun", "in the summer of 2019")
]
PARTS = (*START_STAGES[1:], "running")


@dataclass(frozen=True)
class Way:
    name: str
    encoder: str
    forks: bool
    preload: tuple[str, ...] = ()
    batch: int = 32

    @property
    def function(self) -> str:
        return "-".join((self.encoder, *(module.replace("_", "-") for module in self.preload), str(self.batch)))


WAYS = (
    Way("PyTorch, started anew", "torch", forks=False),
    Way("PyTorch, forked", "torch", forks=True),
    Way("PyTorch, preload: [torch]", "torch", forks=True, preload=("torch",)),
    Way("… preload: [sentence_transformers]", "torch", forks=True, preload=("sentence_transformers",)),
    Way("ONNX Runtime, started anew", "onnx", forks=False),
    Way("ONNX Runtime, forked", "onnx", forks=True),
    Way("ONNX Runtime INT8, started anew", "onnx-int8", forks=False),
    Way("ONNX Runtime INT8, forked", "onnx-int8", forks=True),
)
BATCHES = (1, 32)
TURNS = 3
BATCHED = ("torch", "onnx", "onnx-int8")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--clients", type=int, default=32)
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stacks:
        models = Path(stacks.enter_context(tempfile.TemporaryDirectory()))
        deployments = {forks: started(stacks, forks, models) for forks in (True, False)}
        cold: dict[str, list[Json]] = {way.name: [] for way in WAYS}
        for number in range(arguments.rounds + 1):
            for way in WAYS:
                figures = cold_start(deployments[way.forks], way)
                if number:  # the first fills caches
                    cold[way.name].append(figures)
        found = {way.name: {**medians(cold[way.name]), **memory(deployments[way.forks], way)} for way in WAYS}
        rates = {encoder: throughput(deployments[True], encoder, arguments) for encoder in BATCHED}
    report(arguments, found, rates)


def started(stacks: contextlib.ExitStack, forks: bool, models: Path) -> Stack:
    """A deployment of all that start this way, with their models."""
    stack = stacks.enter_context(Stack("process", WORKERS__FORK_SERVERS="8" if forks else "0"))
    embedding.keep_environments(stack)
    stack.start()
    specs = {way.function: spec(way, models) for way in WAYS if way.forks == forks}
    if forks:
        for encoder in BATCHED:
            specs |= {loaded(encoder, batch): one_instance(encoder, batch, models) for batch in BATCHES}
    embedding.deploy(stack, {name: one for name, one in specs.items() if name.startswith("torch")})
    if not (models / "model.onnx").exists():
        embedding.export(embedding.interpreter(stack), models)
    embedding.deploy(stack, specs)
    return stack


def spec(way: Way, models: Path) -> Json:
    batch = {"max_size": way.batch, "max_wait": "10ms"}
    scaling = {"max": 2, "idle_timeout": "1s", "max_queue_wait": "1h"}
    return embedding.spec(way.encoder, models, batch=batch, preload=list(way.preload), scaling=scaling)


def loaded(encoder: str, batch: int) -> str:
    """The function whose throughput is measured."""
    return f"{encoder}-loaded-{batch}"


def one_instance(encoder: str, batch: int, models: Path) -> Json:
    # Another one that starts would take the processor from the one that is measured.
    return spec(Way("", encoder, forks=True, batch=batch), models) | {"scaling": {"max": 1, "idle_timeout": "1s"}}


def cold_start(stack: Stack, way: Way) -> Json:
    """Milliseconds by stage of a call from zero."""
    stack.gone(way.function, 30)
    wait_until(lambda: not instances(stack, way.function), 10, "nothing is shown either")
    began = time.monotonic()
    reply = stack.call(way.function, {"text": TEXTS[0]}, timeout=120)
    took = (time.monotonic() - began) * 1000
    assert reply.status_code == 200, reply.text
    assert reply.headers["Penstock-Cold-Start"] == "true"
    stages = stack.record(way.function, reply.headers["Penstock-Invocation-Id"])["timeline"]
    return {"whole": took, **{part: stages[part] for part in PARTS}}


def medians(rounds: list[Json]) -> Json:
    return {part: round(statistics.median(one[part] for one in rounds)) for part in rounds[0]}


def memory(stack: Stack, way: Way) -> Json:
    """MiB of one instance and what it is forked from, and of another; while they do nothing. And latency, ms."""
    with warm(stack, way.function, 1):
        took = latencies(stack, way.function)
        one = resident(stack, way.function)
    with warm(stack, way.function, 2):
        two = resident(stack, way.function)
    return {"p50": round(statistics.median(took), 1), "first": round(one), "another": round(two - one)}


@contextlib.contextmanager
def warm(stack: Stack, function: str, count: int) -> Any:
    """As many instances that are ready and have been called, until the end."""
    body = {"target": count}
    url = f"{stack.url}/v1/functions/{function}/provision-config"
    assert stack.http.put(url, json=body, timeout=10).ok
    wait_until(lambda: idle(stack, function) == count, 60, f"{count} of {function} are ready")
    try:
        yield
    finally:
        assert stack.http.delete(url, timeout=10).ok


def idle(stack: Stack, function: str) -> int:
    return sum(one["state"] == "idle" for one in instances(stack, function))


def latencies(stack: Stack, function: str) -> list[float]:
    """Milliseconds of calls with one text, one after the other; the first ones do not count."""
    took = []
    for text in TEXTS[:70]:
        began = time.monotonic()
        reply = stack.call(function, {"text": text})
        took.append((time.monotonic() - began) * 1000)
        assert reply.status_code == 200, reply.text
    return took[20:]


def resident(stack: Stack, function: str) -> float:
    """MiB (PSS) of a function's processes and of the fork server that they come from."""
    pids = {
        pid for pid, environment in environments() if f"PENSTOCK_FUNCTION={function}".encode() in environment
    }.intersection(stack.processes())
    assert pids, f"no process of {function}"
    parents = {int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in pids}
    workers = stack.workers.pid if stack.workers is not None else 0
    return sum(pss(pid) for pid in pids | (parents - {workers})) / 1024


def pss(pid: int) -> int:
    """KiB: pages that others have, too, count in parts."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise AssertionError(f"process {pid} has no memory")


def throughput(stack: Stack, encoder: str, arguments: argparse.Namespace) -> Json:
    """Texts per second of many clients, without batches and with them, in turn."""
    ways = {batch: loaded(encoder, batch) for batch in BATCHES}
    with warm(stack, ways[1], 1), warm(stack, ways[32], 1):
        turns = [
            {
                batch: asyncio.run(rate(stack.path(way), arguments.clients, arguments.seconds))
                for batch, way in ways.items()
            }
            for _ in range(TURNS)
        ]
    return {str(batch): round(statistics.median(turn[batch] for turn in turns), 1) for batch in ways}


async def rate(url: str, clients: int, seconds: float) -> float:
    """Calls per second in the second half of a run."""
    middle = time.monotonic() + seconds / 2
    end = middle + seconds / 2
    counts = [0] * clients

    async def client(number: int) -> None:
        for text in itertools.islice(itertools.cycle(TEXTS), number * 7, None):
            async with session.post(url, json={"text": text}) as reply:
                assert reply.status == 200, await reply.text()
                await reply.read()
            if time.monotonic() > end:
                return
            counts[number] += time.monotonic() > middle

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(client(number) for number in range(clients)))
    return sum(counts) / (seconds / 2)


def report(arguments: argparse.Namespace, found: dict[str, Json], rates: dict[str, Json]) -> None:
    print(f"examples/embed, {arguments.rounds} cold starts of each in turn; milliseconds and MiB, medians\n")
    names = ("whole", *PARTS, "p50", "first", "another")
    heads = ("cold", "engine", "port", "initialize", "run", "warm call", "1st MiB", "2nd MiB")
    print(" " * 37 + "".join(f"{head:>11}" for head in heads))
    for way, figures in found.items():
        print(f"{way:37}" + "".join(f"{figures[name]:11}" for name in names))
    print(f"\n{arguments.clients} clients, one instance, texts per second: no batching, batches of 32, ratio")
    for encoder, figures in rates.items():
        print(f"{encoder:37}{figures['1']:11}{figures['32']:11}{figures['32'] / figures['1']:11.1f}")
    print(json.dumps({"rounds": arguments.rounds, "ways": found, "texts_per_second": rates}))


if __name__ == "__main__":
    main()
