"""A deployment with keys: official clients get in with one, tenants see nothing of each other, nobody starves."""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import fc2
import pytest
import requests
from alibabacloud_fc20230330 import models
from alibabacloud_fc20230330.client import Client as FcClient
from alibabacloud_tea_openapi.exceptions import ClientException
from alibabacloud_tea_openapi.models import Config as FcConfig
from botocore.exceptions import ClientError
from fc2.fc_exceptions import FcError
from replicate.client import Client as ReplicateClient
from replicate.exceptions import ReplicateError

from penstock import Client
from penstock.client import Unauthorized
from tests.e2e import specs
from tests.e2e.harness import Json, Stack

ADMIN = "admin-key-of-the-end-to-end-tests-0123456789"
_STAYS = {"max": 1, "idle_timeout": "60s"}


def key(stack: Stack, name: str, tenant: str = "", **wanted: Any) -> str:
    made = stack.http.post(f"{stack.url}/v1/keys", json={"name": name, "tenant": tenant, **wanted}, timeout=10)
    assert made.status_code == 201, made.text
    text: str = made.json()["key"]
    return text


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def batch(stack: Stack, function: str, lines: list[Json], text: str) -> Json:
    body = b"\n".join(json.dumps(line).encode() for line in lines)
    url = f"{stack.url}/v1/functions/{function}/invocations:batch"
    said = requests.post(url, data=body, headers=bearer(text), timeout=300)
    assert said.status_code == 202, said.text
    found: Json = said.json()
    assert found["refused"] == 0
    return found


@pytest.mark.waits
def test_a_deployment_with_keys() -> None:
    with Stack("process", GATEWAY__ADMIN_KEY=ADMIN, WORKERS__SLOTS="4") as stack:
        stack.http.headers.update(bearer(ADMIN))
        stack.start().deploy(
            {
                "vendor": specs.folder("vendor", event="json", scaling=_STAYS),
                "shared": specs.folder("slow", event="json", scaling=_STAYS),
            }
        )
        official_clients_get_in(stack, key(stack, "vendors"))
        the_command_line_and_the_python_client_get_in(stack)
        one_batch_starves_nobody(stack)
        no_text_of_a_key_is_anywhere(stack, key(stack, "seen"))


def official_clients_get_in(stack: Stack, good: str) -> None:
    for text in (good, good[:-1]):
        aws = boto3.session.Session().client(  # the default one is for one thread
            "lambda",
            endpoint_url=stack.url,
            region_name="us-east-1",
            aws_access_key_id=text,
            aws_secret_access_key="any",
        )
        host = stack.url.removeprefix("http://")
        keys = {"access_key_id": text, "access_key_secret": "any"}
        fc = FcClient(FcConfig(endpoint=host, protocol="http", region_id="local", **keys))
        older = fc2.Client(endpoint=stack.url, accessKeyID=text, accessKeySecret="any")
        replicate = ReplicateClient(api_token=text, base_url=stack.url)
        request = models.InvokeFunctionRequest(body=b'{"n": 1}')
        calls: dict[str, Callable[[], Any]] = {
            "boto3": partial(aws.invoke, FunctionName="vendor", Payload=b'{"n": 1}'),
            "fc": partial(fc.invoke_function, "vendor", request),
            "fc2": partial(older.invoke_function, "service", "vendor", b'{"n": 1}'),
            "replicate": partial(replicate.run, "me/vendor", {"n": 1}),
        }
        for name, call in calls.items():
            if text == good:
                call()
            else:
                with pytest.raises((ClientError, ClientException, FcError, ReplicateError)) as refused:
                    call()
                assert "checksum is wrong" in str(refused.value), name


def the_command_line_and_the_python_client_get_in(stack: Stack) -> None:
    text = key(stack, "cli", scopes=["invoke:vendor", "read:vendor"])
    with Client(stack.url, api_key=text) as client:
        assert client.invoke("vendor", {"n": 2}).value["event"] == {"n": 2}
    with Client(stack.url) as client, pytest.raises(Unauthorized):
        client.invoke("vendor", {"n": 2})
    done = stack.cli("invoke", "vendor", "-d", '{"n": 3}', KEY=text)
    assert json.loads(done.stdout)["event"] == {"n": 3}, done.stderr
    assert stack.cli("invoke", "vendor", "-d", "{}").returncode == 1
    shown = stack.cli("functions", KEY=text).stdout
    assert "vendor" in shown
    assert "shared" not in shown, "it may read vendor alone"
    made = stack.cli("keys", "create", "other", KEY=ADMIN)
    assert made.stdout.startswith("psk_"), made.stderr
    assert "other" in stack.cli("keys", "list", KEY=ADMIN).stdout
    acme = key(stack, "acme", tenant="acme", scopes=["*:*"])
    theirs = requests.get(f"{stack.url}/v1/functions/vendor", headers=bearer(acme), timeout=10)
    nobodys = requests.get(f"{stack.url}/v1/functions/rodnev", headers=bearer(acme), timeout=10)
    assert theirs.status_code == nobodys.status_code == 404
    assert theirs.text.replace("vendor", "NAME") == nobodys.text.replace("rodnev", "NAME")
    assert requests.get(f"{stack.url}/v1/functions", headers=bearer(acme), timeout=10).json() == {"functions": []}


def one_batch_starves_nobody(stack: Stack) -> None:
    many, few = key(stack, "many", scopes=["*:*"]), key(stack, "few")
    batch(stack, "shared", [{"seconds": 0.02}] * 2_000, many)
    wanted = {**bearer(few), "Prefer": "respond-async"}
    submitted = requests.post(stack.path("shared"), json={"seconds": 0.02}, headers=wanted, timeout=10).json()
    record = stack.finished("shared", submitted["id"])
    assert record["state"] == "succeeded"
    left = requests.delete(f"{stack.url}/v1/functions/shared/queue", headers=bearer(many), timeout=60).json()
    assert left["removed"] > 1_000, "it waited for most of the other's batch"
    began = record["started_at"]
    listed = stack.http.get(stack.path("shared"), params={"limit": 100}, timeout=10).json()["invocations"]
    between = [one for one in listed if one["started_at"] and submitted["created_at"] < one["started_at"] < began]
    assert len(between) <= 5, "runs of the other that began while it waited"


def no_text_of_a_key_is_anywhere(stack: Stack, text: str) -> None:
    called = requests.post(stack.path("vendor"), json={"n": 1}, headers=bearer(text), timeout=30)
    assert called.status_code == 200
    assert requests.post(f"{stack.url}/fn/vendor/x", json={}, headers=bearer(text), timeout=30).ok
    secret = text.split("_")[2].encode()
    for file in stack.folder.rglob("*"):
        if file.is_file():
            assert secret not in file.read_bytes(), file
    assert secret not in subprocess.run(["ps", "-ef"], capture_output=True, check=True).stdout
    for pid in stack.processes():
        assert ADMIN.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_tenants_flood_leaves_its_neighbour_as_quick_as_before() -> None:
    """100,000 jobs of one tenant; the 99th percentile of another's calls stays below twice its quiet value."""
    with Stack("process", GATEWAY__ADMIN_KEY=ADMIN, WORKERS__SLOTS="4") as stack:
        stack.http.headers.update(bearer(ADMIN))
        stack.start()
        noisy, quiet = (key(stack, tenant, tenant=tenant, scopes=["*:*"]) for tenant in ("noisy", "quiet"))
        for tenant in ("noisy", "quiet"):
            functions = {tenant: specs.folder("slow", event="json", scaling=_STAYS)}
            file = str(stack.write_specs(functions, f"{tenant}.yaml"))
            redis = ("--redis-url", stack.redis.url)
            done = stack.cli("deploy", "-f", file, "--tenant", tenant, *redis, timeout=100)
            assert done.returncode == 0, done.stderr

        def percentile(calls: int) -> float:
            took = []
            with requests.Session() as session:
                for _ in range(calls):
                    begun = time.monotonic()
                    reply = session.post(
                        stack.path("quiet"), json={"seconds": 0.2}, headers=bearer(quiet), timeout=60
                    )
                    took.append(time.monotonic() - begun)
                    assert reply.status_code == 200, reply.text
            return statistics.quantiles(took, n=100)[98]

        percentile(5)
        before = percentile(100)
        for _ in range(10):
            batch(stack, "noisy", [{"seconds": 0.2}] * 10_000, noisy)
        during = percentile(100)
        assert during < 2 * before, f"p99 {during:.3f} s beside {before:.3f} s when it is quiet"
