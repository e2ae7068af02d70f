"""What befalls containers: no memory left in one, and their engine killed over all of them."""

from __future__ import annotations

import pytest
import requests

from tests.conftest import missing
from tests.e2e.harness import docker_answers, wait_until
from tests.faults.deployment import Deployment
from tests.faults.ledger import Ledger


@pytest.mark.timeout(180)
def test_a_job_that_takes_more_memory_than_its_container_has_ends_alone() -> None:
    if not docker_answers():
        missing("a Docker Engine with the image penstock/base:bookworm")
    with Deployment("docker") as stack:
        # Its folder is copied into the image, and what it would write stays in the container.
        stack.start().deploy({"work": stack.work(env={}, resources={"memory": "128MiB"})})
        ledger = Ledger(stack)
        ledger.submits(1)
        ledger.check(60)
        (poison,) = ledger.submits(1, hoard=512, headers={"Penstock-Max-Attempts": "2"})
        neighbours = ledger.submits(8, 0.3)
        record = stack.finished("work", poison, timeout=30)
        assert (record["state"], record["attempt"]) == ("failed", 2)
        error = record["error"]
        assert (error["code"], error["exit_code"]) == ("instance_lost", 137), error
        assert f"hoarding for {ledger.acknowledged[poison]}" in error["log_tail"]
        url = f"{stack.url}/v1/functions/work/dead-letters"
        (letter,) = requests.get(url, timeout=10).json()["dead_letters"]
        assert (letter["id"], letter["error"]) == (poison, error)
        for one in neighbours:
            assert stack.finished("work", one, timeout=40)["state"] == "succeeded"
        ledger.submits(2)
        ledger.check(30, states=("succeeded", "failed"))
        wait_until(lambda: len(stack.containers()) == 1, 20, "those that died are removed")
