"""A user of Function Compute brings s.yaml and provision.json, and types what they always typed."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import missing
from tests.e2e import specs
from tests.e2e.harness import FUNCTIONS, Stack, docker_answers, docker_client, wait_until
from tests.e2e.load import ab, field, watched

S_YAML = """\
edition: 1.0.0
name: container-demo
access: {access}
vars:
  region: cn-shanghai
services:
  best-practice:
    component: devsapp/fc
    props:
      region: ${vars.region}
      service:
        name: best-practice-service
        internetAccess: false
        logConfig:
          enableRequestMetrics: true
          project: log-ca04
        role: acs:ram::0:role/default
      function:
        name: text-detection
        description: This is the demo
        handler: not-used
        timeout: 1200
        caPort: 9000
        memorySize: 512
        cpu: 1
        diskSize: 512
        instanceConcurrency: 1
        runtime: custom-container
        environmentVariables:
          FCGPU_RUNTIME_SHMSIZE : '67108864'
          SECONDS: '0.2'
        customContainerConfig:
          image: ${env(IMAGE_NAME)}
          accelerationType: Default
        instanceLifecycleConfig:
          initializer: {handler: initialize, timeout: 60}
      triggers:
        - name: httpTrigger
          type: http
          config: {authType: anonymous, methods: [GET, POST]}
"""
"""As in the vendor's guide, but for the GPU, which this machine need not have."""

PROVISION = {
    "target": 2,
    "targetTrackingPolicies": [
        {
            "name": "scaling-policy-demo",
            "startTime": "2023-01-01T16:00:00.000Z",
            "endTime": "2024-01-01T16:00:00.000Z",
            "metricType": "ProvisionedConcurrencyUtilization",
            "metricTarget": 0.3,
            "minCapacity": 2,
            "maxCapacity": 30,
        }
    ],
}
LISTED = """\
[TIME] [INFO] [FC] - Getting list provision: best-practice-service
best-practice:
  -
    serviceName:            best-practice-service
    qualifier:              LATEST
    functionName:           text-detection
    resource:               ACCOUNT#best-practice-service#LATEST#text-detection
    target:                 2
    current:                2
    scheduledActions:       null
    targetTrackingPolicies:
      -
        name:         scaling-policy-demo
        startTime:    2023-01-01T16:00:00.000Z
        endTime:      2024-01-01T16:00:00.000Z
        metricType:   ProvisionedConcurrencyUtilization
        metricTarget: 0.3
        minCapacity:  2
        maxCapacity:  30
    currentError:
    alwaysAllocateCPU:      true
"""
RELEASED = """\
[TIME] [INFO] [FC] - Getting list provision: best-practice-service
End of method: provision
"""


@pytest.fixture
def prepared() -> Iterator[Stack]:
    """With the files of the guide; nothing runs yet."""
    if not docker_answers():
        missing("a Docker Engine with the image penstock/base:bookworm")
    image = specs.server_image(FUNCTIONS / "detection" / "server.py")
    with Stack("docker", WORKERS__SLOTS="4") as stack:
        stack.environment["IMAGE_NAME"] = image
        (stack.folder / "s.yaml").write_text(S_YAML)
        (stack.folder / "provision.json").write_text(json.dumps(PROVISION))
        (stack.folder / "words.txt").write_text("Nice to meet you")
        yield stack
    docker_client().images.remove(image, force=True)


def test_the_walk_of_the_guide(prepared: Stack) -> None:
    stack, template, access = prepared.start(), *options(prepared)

    deployed = run(stack, "deploy", "--skip-push", "true", *template, "--redis-url", stack.redis.url)
    url = re.search(r"^best-practice-service/text-detection: (http://\S+/)$", deployed, re.MULTILINE)
    assert url is not None, deployed
    assert url[1] == f"{stack.url}/fn/text-detection/"
    assert deployed == run(stack, "deploy", "--skip-push", "true", *template, "--redis-url", stack.redis.url), (
        "the same file again changes nothing"
    )
    assert stack.redis.cli("HGET", "ps:aliases", "best-practice-service/text-detection") == "text-detection"

    answer = requests.post(
        f"{url[1]}invoke", data="Nice to meet you", headers={"Content-Type": "text/plain"}, timeout=60
    )
    assert answer.status_code == 200, answer.text
    assert answer.json() == [{"text": "Nice to meet you", "label": 0, "key": "polite", "warmed": 1}]
    assert answer.headers["Penstock-Cold-Start"] == "true"

    config = ("--config", str(stack.folder / "provision.json"))
    run(stack, "provision", "put", *config, "--qualifier", "LATEST", *template, *access)
    wait_until(lambda: view(stack)["current"] == 2, 60, "two are provisioned", every=0.1)
    assert timeless(run(stack, "provision", "list", *template, *access)) == LISTED
    assert view(stack)["expired"] == ["scaling-policy-demo"], "today it is past its endTime, and the target rules"
    assert view(stack)["reason"].startswith("2: the default target")
    assert len(stack.instances("text-detection")) == 2

    run(stack, "provision", "put", "--target", "0", "--qualifier", "LATEST", *template, *access)
    assert timeless(run(stack, "provision", "list", *template, *access)) == RELEASED
    wait_until(lambda: view(stack)["current"] == 0, 20, "none is provisioned", every=0.1)
    removed = stack.http.delete(f"{stack.url}/v1/functions/text-detection", timeout=10)
    assert removed.status_code == 200
    assert stack.redis.cli("HLEN", "ps:aliases") == "0"
    stack.gone("text-detection", timeout=30)


def test_the_stress_test_of_the_guide_in_the_year_of_its_policy(prepared: Stack) -> None:
    stack, template, access = in_june_2023(prepared), *options(prepared)
    run(stack, "deploy", "--skip-push", "true", *template, "--redis-url", stack.redis.url)
    spec = f"{stack.url}/v1/functions/text-detection"
    brisk = stack.http.get(spec, timeout=10).json()["spec"]
    brisk["scaling"] |= {"max_queue_wait": "500ms", "idle_timeout": "2s"}  # so that nobody waits for minutes
    assert stack.http.put(spec, json=brisk, timeout=10).status_code in (200, 202)
    config = ("--config", str(stack.folder / "provision.json"))
    run(stack, "provision", "put", *config, "--qualifier", "LATEST", *template, *access)
    wait_until(lambda: view(stack)["current"] == 2, 60, "two are provisioned", every=0.1)
    assert view(stack)["active"] == ["scaling-policy-demo"], "its endTime is to come"
    assert view(stack)["expired"] == []

    words = stack.folder / "words.txt"
    with watched(stack, "text-detection") as counts:
        report = ab(f"{stack.url}/fn/text-detection/invoke", words, "text/plain", requests=150, clients=10)
    assert (field(report, "Complete requests"), field(report, "Failed requests")) == (150, 0), report
    assert "Non-2xx responses" not in report
    assert (min(counts), max(counts)) == (2, 4), "out to as many as there is room for, never below the floor"
    wait_until(lambda: len(stack.instances("text-detection")) == 2, 30, "in again, to the floor", every=0.2)

    run(stack, "provision", "put", "--target", "0", "--qualifier", "LATEST", *template, *access)
    stack.gone("text-detection", timeout=30)


def options(stack: Stack) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of the vendor's command line: the file, and whose it is."""
    return ("-t", str(stack.folder / "s.yaml")), ("-a", "{access}")


def in_june_2023(stack: Stack) -> Stack:
    """Started, with workers whose calendar says so; how fast time passes is not changed."""
    libraries = [Path(folder) / "faketime/libfaketime.so.1" for folder in glob.glob("/usr/lib/*-linux-gnu")]
    library = next((one for one in libraries if one.exists()), None)
    if library is None:
        missing("libfaketime")
    today = stack.environment
    stack.redis.start()
    stack.start_gateway()
    stack.environment = today | {
        "LD_PRELOAD": str(library),
        "FAKETIME": "@2023-06-15 12:00:00",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    stack.start_workers()
    stack.environment = today
    wait_until(stack.ready, 30, "the gateway finds workers that lead")
    return stack


def run(stack: Stack, *command: str) -> str:
    done = stack.cli(*command, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


def timeless(listing: str) -> str:
    listing = re.sub(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\]", "[TIME]", listing)
    return re.sub(r"(resource: +)[^#]+#", r"\1ACCOUNT#", listing)


def view(stack: Stack) -> dict[str, Any]:
    reply = stack.http.get(f"{stack.url}/v1/functions/text-detection/provision-config", timeout=10)
    found: dict[str, Any] = reply.json()
    return found
