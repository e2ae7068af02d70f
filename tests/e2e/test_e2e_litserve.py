"""LitServe's server as it comes: called by its own path through /fn, and by SageMaker's contract."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e import vendors
from tests.e2e.harness import Stack


@pytest.fixture(scope="module")
def stack(_vendors: None) -> Iterator[Stack]:
    with Stack("process") as stack:
        health = {"health": {"path": "/health"}}
        sagemaker = {"SAGEMAKER": "1", "SETUP_SECONDS": "1"}
        stack.start().deploy(
            {
                "own": vendors.served("litserve", "server.py", protocol="http", lifecycle=health, concurrency=4),
                "contract": vendors.served("litserve", "server.py", protocol="sagemaker", env=sagemaker),
            }
        )
        yield stack


def test_its_own_path_is_reached_through_the_trigger(stack: Stack) -> None:
    answer = stack.http.post(f"{stack.url}/fn/own/predict", json={"text": "hi"}, timeout=30)
    assert (answer.status_code, answer.json()) == (200, {"said": "HI"})


def test_clients_that_come_together_are_all_answered(stack: Stack) -> None:
    with ThreadPoolExecutor(4) as threads:
        answers = list(
            threads.map(
                lambda n: stack.http.post(f"{stack.url}/fn/own/predict", json={"text": f"x{n}"}), range(12)
            )
        )
    assert [answer.json() for answer in answers] == [{"said": f"X{n}"} for n in range(12)]
    assert len(stack.instances("own")) == 1


def test_its_own_errors_pass_through(stack: Stack) -> None:
    answer = stack.http.post(f"{stack.url}/fn/own/predict", json={"wrong": 1}, timeout=30)
    assert answer.status_code >= 400
    assert "Penstock-Invocation-Id" in answer.headers
    assert stack.http.get(f"{stack.url}/fn/own/no/such/path", timeout=30).status_code == 404


def test_sagemakers_contract_waits_for_the_ping_and_posts_to_invocations(stack: Stack) -> None:
    job = stack.submit("contract", {"text": "job"})["id"]
    record = stack.finished("contract", job)
    assert (record["state"], record["cold_start"]) == ("succeeded", True)
    assert sum(ms for stage, ms in record["timeline"].items() if stage != "running") >= 1_000, "its setup's second"
    assert stack.result("contract", job).json() == {"said": "JOB"}
    assert stack.call("contract", {"text": "held"}).json() == {"said": "HELD"}


def test_an_event_that_fails_there_is_a_failed_job_with_its_answer(stack: Stack) -> None:
    record = stack.finished(
        "contract", stack.submit("contract", {"wrong": 1}, headers={"Penstock-Max-Attempts": "1"})["id"]
    )
    assert (record["state"], record["error"]["code"]) == ("failed", "function_error")
    assert stack.result("contract", record["id"]).status_code >= 400
