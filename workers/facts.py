"""Where the time of a run went, and whether it was a cold start. Pure."""

from __future__ import annotations

from penstock import clock
from penstock.invocation import Invocation
from workers.instances import Instance
from workers.verdict import RunFacts


def of_run(instance: Instance, invocation: Invocation, began: float) -> RunFacts:
    """Of a run that began then (monotonic seconds), up to now. A call that was enqueued before its instance was
    ready, and is among the first that it runs, waited for the start: a cold start."""
    assert invocation.started_at is not None, "it was taken"
    waited = invocation.started_at - invocation.created_at
    running = (clock.monotonic() - began) * 1000
    since_ready = (began - instance.ready_since) * 1000 if instance.ready_since is not None else waited
    first = instance.taken <= instance.function.spec.slots and not instance.adopted
    cold = first and invocation.attempt == 1 and waited > since_ready
    start = min(waited - since_ready, sum(instance.timeline.values())) if cold else 0.0
    timeline = {"queued": waited - start, **(instance.timeline if cold else {}), "running": running}
    return RunFacts(timeline=timeline, cold_start=cold, now_ms=clock.now_ms())
