"""A function, an invocation and an answer, at what tests do not care about."""

from __future__ import annotations

from typing import Any

from penstock.blobs import Blobs
from penstock.function import Function, FunctionSpec
from penstock.ids import IdMint
from penstock.invocation import Invocation, Request, Response, Run, State
from penstock.store import Store
from penstock.telemetry.metrics import Metrics
from workers.answer import Answer
from workers.callers import Callers
from workers.channel import Channel
from workers.engines import Engine
from workers.figures import Figures
from workers.live import LiveRun, Shared
from workers.push import Push
from workers.tracing import Untraced
from workers.verdict import RunFacts

SILENT = Figures(Metrics(enabled=False), most=1)
"""What counts nothing."""
IDS = "secret of the tests"
MINT = IdMint(IDS)


def function(name: str = "echo", *, revision: int = 1, digest: str | None = None, **spec: Any) -> Function:
    """A function that runs a local command unless the spec says otherwise."""
    what = {} if {"path", "image"} & set(spec) else {"command": ["server"]}
    return Function(
        name=name,
        spec=FunctionSpec.model_validate({**what, **spec}),
        revision=revision,
        digest=digest or f"digest of revision {revision}",
        created_at=1_700_000_000_000,
    )


def invocation(**changes: Any) -> Invocation:
    """A job in its first run."""
    plain: dict[str, Any] = {
        "function": "echo",
        "id": MINT.new("echo"),
        "state": State.RUNNING,
        "kind": "job",
        "token": 1,
        "deferrals": 0,
        "priority": "normal",
        "request": Request(),
        "created_at": 1_700_000_000_000,
        "started_at": 1_700_000_000_100,
        "finished_at": None,
        "max_age_ms": 86_400_000,
        "timeout_ms": 600_000,
        "attempts": 3,
        "instance": "echo-1",
        "callback": None,
        "response": None,
        "failure": None,
        "timeline": {},
        "cold_start": None,
    }
    return Invocation(**plain | changes)


def run(body: bytes = b"", **changes: Any) -> Run:
    return Run(invocation=invocation(**changes), body=body)


def pushing(channel: Channel, engine: Engine) -> Callers:
    """For functions that have a server of their own."""
    push = Push(channel, engine)
    return Callers(push=push, pull=push, once=push)


def live_run(store: Store, blobs: Blobs, function: Function, run: Run) -> LiveRun:
    """A run that nobody reads along."""
    facts = RunFacts(timeline={"queued": 1.0}, cold_start=False, now_ms=1_700_000_000_100)
    shared = Shared(store, blobs, "unix:/nowhere", lambda function: "http://127.0.0.1:1", b"key")
    trace = Untraced(run.invocation.trace)
    return LiveRun(shared, function, run.invocation, facts=lambda: facts, final=lambda response: True, trace=trace)


def answer(status: int = 200, *, headers: tuple[tuple[str, str], ...] = (), error: str | None = None) -> Answer:
    return Answer(response=Response(status=status, headers=headers, size=4), body=b"said", error=error)
