"""The runpod package's client on a deployment that runs functions."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
import runpod

from tests.e2e.harness import Stack, wait_until
from tests.e2e.receiver import Receiver


@pytest.fixture
def endpoint(process_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> runpod.Endpoint:
    monkeypatch.setattr(runpod, "endpoint_url_base", process_stack.url + "/v2")
    monkeypatch.setattr(runpod, "api_key", "rp_key")
    return runpod.Endpoint("vendor")


def test_runpod_runs_at_once_and_as_a_job(endpoint: runpod.Endpoint) -> None:
    assert endpoint.run_sync({"input": {"n": 1}})["event"] == {"n": 1}
    job = endpoint.run({"input": {"n": 2}})
    assert job.output(timeout=20)["event"] == {"n": 2}
    assert job.status() == "COMPLETED"


def test_runpod_streams_what_a_generator_yields(endpoint: runpod.Endpoint) -> None:
    pieces = [{"token": "once"}, {"token": "upon"}, {"token": "a time"}]
    slowly = endpoint.run({"input": {"pieces": pieces, "pause": 0.7}})
    assert list(slowly.stream()) == pieces
    assert slowly.output() == pieces
    at_once = endpoint.run({"input": {"pieces": pieces}})
    assert list(at_once.stream()) == pieces
    text = endpoint.run({"input": {"pieces": ["a ", "b ", "c"], "pause": 0.3}})
    assert "".join(text.stream()) == "a b c"


def test_runpod_is_told_what_went_wrong(process_stack: Stack, endpoint: runpod.Endpoint) -> None:
    job = endpoint.run({"input": {"raise": "no tears left"}})
    assert job.output(timeout=20) is None
    assert job.status() == "FAILED"
    shown = requests.get(f"{process_stack.url}/v2/vendor/status/{job.job_id}", timeout=10).json()
    assert shown["error"] == "TooSad: no tears left"
    brief = endpoint.run({"input": {"seconds": 30}, "policy": {"executionTimeout": 1000}})
    assert brief.output(timeout=20) is None
    assert brief.status() == "TIMED_OUT"


def test_runpod_cancels_a_job_that_runs(endpoint: runpod.Endpoint) -> None:
    job = endpoint.run({"input": {"seconds": 60}})
    wait_until(lambda: job.status() == "IN_PROGRESS", 20, "it runs")
    assert job.cancel()["status"] == "CANCELLED"
    assert job.status() == "CANCELLED"


def test_runpod_reads_progress_and_health(endpoint: runpod.Endpoint) -> None:
    job = endpoint.run({"input": {"progress": 0.5, "seconds": 4}})
    wait_until(lambda: job.output() == {"progress": 0.5, "message": "on its way"}, 20, "it tells how far it is")
    assert endpoint.health()["jobs"]["inProgress"] >= 1
    wait_until(lambda: endpoint.health()["workers"]["running"] >= 1, 10, "the leader shows who is busy")
    assert job.output(timeout=20)["event"]["progress"] == 0.5


def test_a_webhook_gets_what_runpod_would_send(endpoint: runpod.Endpoint, receiver: Receiver) -> None:
    def post(event: Any) -> str:
        url = {"webhook": f"{receiver.url}/hook"}
        return str(endpoint.run({"input": event, **url}).job_id)

    def told() -> dict[str, Any]:
        bodies = [json.loads(delivery.body) for delivery in receiver.deliveries]
        return {body["id"]: body for body in bodies}

    good, bad = post({"n": 1}), post({"raise": "no tears left"})
    wait_until(lambda: {good, bad} <= told().keys(), 20, "both are told")
    assert told()[good]["status"] == "COMPLETED"
    assert told()[good]["output"]["event"] == {"n": 1}
    assert (told()[bad]["status"], told()[bad]["error"]) == ("FAILED", "TooSad: no tears left")


def test_runpod_sends_and_gets_megabytes(endpoint: runpod.Endpoint) -> None:
    text = "0123456789abcdef" * 2**17
    assert endpoint.run_sync({"input": {"text": text}})["event"] == {"text": text}
