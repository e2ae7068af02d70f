"""Jobs that no client sent: they begin a trace by chance, or go on in that of the job which led to them."""

from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry.trace import StatusCode

from penstock.blobs import DirectoryBlobs
from penstock.errors import QueueFull
from penstock.function import Function
from penstock.invocation import Invocation
from tests.unit.spans import CALLER, SPAN, TRACE, Recorded, context, id_of, parent_of, trace_of
from tests.unit.workers.conftest import Deployed
from tests.unit.workers.samples import IDS
from workers.submitting import Submitting

NOW = 1_700_000_000_000


async def function_of(deployed: Deployed) -> Function:
    found = await deployed.store.catalog.get(deployed.function)
    assert found is not None
    return found


async def record(deployed: Deployed, job: str) -> Invocation:
    found = await deployed.store.invocations.get(deployed.function, job)
    assert found is not None
    return found


def submitting(deployed: Deployed, tmp_path: Path, recorded: Recorded) -> Submitting:
    return Submitting(deployed.store, DirectoryBlobs(tmp_path), secret=IDS, traces=recorded.traces)


@pytest.mark.parametrize(
    ("of", "trigger"), [("timer", "timer"), ("objects", "datasource"), ("topic", "pubsub"), ("news", "other")]
)
async def test_what_a_trigger_made_begins_a_trace(
    deployed: Deployed, tmp_path: Path, of: str, trigger: str
) -> None:
    recorded = Recorded()
    made = submitting(deployed, tmp_path, recorded)
    job = await made.submit(await function_of(deployed), b"{}", of=(of, "n"), at_ms=NOW)
    (send,) = recorded.spans
    trace = (await record(deployed, job)).trace
    assert trace is not None
    assert (trace.trace_id, trace.span_id, parent_of(send)) == (trace_of(send), id_of(send), None)
    assert send.attributes is not None
    assert send.attributes["faas.trigger"] == trigger


async def test_a_destination_goes_on_in_the_trace_that_led_to_it(deployed: Deployed, tmp_path: Path) -> None:
    recorded = Recorded(ratio=0.0)
    made = submitting(deployed, tmp_path, recorded)
    function = await function_of(deployed)
    job = await made.submit(function, b"{}", of=("destination", "f", "n"), at_ms=NOW, trace=context())
    (send,) = recorded.spans
    assert (trace_of(send), parent_of(send)) == (TRACE, SPAN)
    trace = (await record(deployed, job)).trace
    assert trace is not None
    assert trace.span_id == id_of(send)


async def test_what_is_not_traced_leaves_nothing_or_what_was_there(deployed: Deployed, tmp_path: Path) -> None:
    recorded = Recorded(ratio=0.0)
    made = submitting(deployed, tmp_path, recorded)
    function = await function_of(deployed)
    timer = await made.submit(function, b"{}", of=("timer", "n"), at_ms=NOW)
    unsampled = context(CALLER[:-2] + "00")
    next_one = await made.submit(function, b"{}", of=("destination", "f", "n"), at_ms=NOW, trace=unsampled)
    assert (await record(deployed, timer)).trace is None
    assert (await record(deployed, next_one)).trace == unsampled
    assert recorded.spans == []


async def test_one_that_found_no_room_is_an_error(deployed: Deployed, tmp_path: Path) -> None:
    recorded = Recorded()
    made = submitting(deployed, tmp_path, recorded)
    function = await function_of(deployed)
    spec = function.spec.model_copy(update={"queue": function.spec.queue.model_copy(update={"max_depth": 0})})
    with pytest.raises(QueueFull):
        await made.submit(function.model_copy(update={"spec": spec}), b"{}", of=("timer", "n"), at_ms=NOW)
    (send,) = recorded.spans
    assert send.status.status_code is StatusCode.ERROR
