"""Versions, aliases and custom domains on a deployment that runs functions."""

from __future__ import annotations

import json
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from alibabacloud_fc20230330 import models
from alibabacloud_fc20230330.client import Client

from tests.e2e.harness import Json, Stack, wait_until
from tests.e2e.test_e2e_fc_sdk import client, invoke

__all__ = ["client"]

HANDLER = """
NUMBER = {number}

def handler(event, context):
    return {{"number": NUMBER, "name": context.function.name, "version": context.function_version}}
"""


class Released:
    """A function with a folder of its own, whose answer says which version's code runs."""

    def __init__(self, stack: Stack, name: str, folder: Path) -> None:
        self.stack = stack
        self.name = name
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def deploy(self, number: int) -> None:
        (self.folder / "app.py").write_text(HANDLER.format(number=number))
        scaling = {"max": 2, "idle_timeout": "60s"}
        self.stack.deploy(
            {
                self.name: {
                    "path": str(self.folder),
                    "resources": {"memory": "256MiB"},
                    "scaling": scaling,
                    "concurrency": 4,
                }
            }
        )

    def cli(self, *command: str) -> str:
        done = self.stack.cli(*command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def publish(self, *more: str) -> str:
        return self.cli("versions", "publish", self.name, *more)

    def called(self, qualifier: str = "") -> int:
        reply = self.stack.call(self.name + (f"@{qualifier}" if qualifier else ""), b"{}")
        assert reply.status_code == 200, reply.text
        number: int = reply.json()["number"]
        return number

    def drop(self) -> None:
        self.stack.http.delete(f"{self.stack.url}/v1/functions/{self.name}", timeout=10)


@pytest.fixture
def released(process_stack: Stack, tmp_path: Path) -> Iterator[Released]:
    one = Released(process_stack, "released", tmp_path / "code")
    yield one
    one.drop()


def test_a_version_answers_as_it_was_whatever_becomes_of_its_folder(released: Released) -> None:
    released.deploy(1)
    assert released.publish("--description", "the first") == "released@1: ready to be invoked\n"
    assert released.called("1") == 1
    released.deploy(2)
    assert (released.called(), released.called("1")) == (2, 1)
    released.publish()
    (released.folder / "app.py").write_text("raise SystemExit('half written')\n")
    listed = released.cli("versions", "list", "released").splitlines()
    assert [line.split()[0] for line in listed] == ["VERSION", "2", "1"]
    assert "the first" in listed[2]
    assert (released.called("2"), released.called("1")) == (2, 1)
    assert released.stack.call("released@1", b"{}").json()["version"] == "1"
    assert released.stack.call("released@1", b"{}").json()["name"] == "released"


def test_the_command_line_knows_qualified_names(released: Released) -> None:
    released.deploy(1)
    released.publish()
    said = released.cli("aliases", "set", "released", "prod", "1", "--description", "what is live")
    assert said == "released@prod: 1 to 1\n"
    assert "what is live" in released.cli("aliases", "list", "released")
    assert json.loads(released.cli("invoke", "released@prod", "-d", "{}"))["version"] == "1"
    job = released.cli("invoke", "released@prod", "-d", "{}", "--async").strip()
    released.stack.finished("released@1", job)
    assert job in released.cli("jobs", "released@prod")
    assert json.loads(released.cli("jobs", "released@prod", job))["function"] == "released@1"
    assert "released-v1-" in released.cli("instances", "released@1")
    released.cli("logs", "released@prod")
    done = released.stack.cli("versions", "delete", "released", "1")
    assert (done.returncode, "is in use by alias prod" in done.stderr) == (1, True), done.stderr
    done = released.stack.cli("invoke", "released@test", "-d", "{}")
    assert (done.returncode, "has no alias 'test'" in done.stderr) == (1, True), done.stderr
    released.cli("aliases", "delete", "released", "prod")
    released.cli("versions", "delete", "released", "1")
    released.stack.gone("released@1")


def test_provisioned_instances_follow_an_alias(released: Released) -> None:
    stack = released.stack
    released.deploy(1)
    released.publish()
    released.deploy(2)
    released.publish()
    released.cli("aliases", "set", "released", "prod", "1")
    released.cli("provision", "put", "released", "--target", "1", "--qualifier", "prod")
    wait_until(lambda: len(stack.instances("released@1")) == 1, 20, "version 1 is warm", every=0.1)
    assert "released@prod" in released.cli("provision", "list")
    released.cli("aliases", "set", "released", "prod", "2")
    wait_until(lambda: len(stack.instances("released@2")) == 1, 20, "version 2 is warm", every=0.1)
    where = f"{stack.url}/v1/functions/released@prod/provision-config"
    wait_until(lambda: stack.http.get(where, timeout=10).json()["current"] == 1, 20, "it is shown", every=0.1)
    released.cli("provision", "release", "released", "--qualifier", "prod")
    assert stack.http.get(where, timeout=10).json()["defaultTarget"] == 0


def test_an_alias_that_is_moved_under_load_loses_no_call(released: Released) -> None:
    released.deploy(1)
    released.publish()
    released.deploy(2)
    released.publish()
    released.cli("aliases", "set", "released", "prod", "1")
    seen: list[tuple[int, Any]] = []
    stop = threading.Event()

    def call() -> None:
        import requests

        with requests.Session() as session:
            where = released.stack.path("released@prod")
            while not stop.is_set() and len(seen) < 20_000:
                reply = session.post(where, data=b"{}", timeout=60)
                seen.append((reply.status_code, reply.json().get("number")))

    callers = [threading.Thread(target=call) for _ in range(4)]
    for one in callers:
        one.start()
    where = f"{released.stack.url}/v1/functions/released/aliases/prod"
    try:
        for version, weights in (("2", {}), ("1", {"2": 0.5}), ("2", {}), ("1", {}), ("2", {})):
            before = len(seen)
            body = {"version": version, "weights": weights}
            assert released.stack.http.put(where, json=body, timeout=10).status_code == 200
            wait_until(lambda before=before: len(seen) > before + 40, 60, "calls go on")  # type: ignore[misc]
    finally:
        stop.set()
        for one in callers:
            one.join()
    counts = Counter(seen)
    assert set(counts) == {(200, 1), (200, 2)}, counts
    assert [number for _, number in seen[-4:]] == [2] * 4, "the last move acts"


def test_the_sdk_publishes_and_shares_out_calls(released: Released, client: Client) -> None:
    released.deploy(1)
    for number in (1, 2):
        released.deploy(number)
        request = models.PublishFunctionVersionRequest(body=models.PublishVersionInput())
        assert client.publish_function_version("released", request).body.version_id == str(number)
    given = models.CreateAliasInput(alias_name="prod", version_id="1", additional_version_weight={"2": 0.5})
    client.create_alias("released", models.CreateAliasRequest(body=given))

    def landed(qualifier: str) -> int:
        request = models.InvokeFunctionRequest(body=b"{}", qualifier=qualifier)
        number: int = json.loads(client.invoke_function("released", request).body.read())["number"]
        return number

    assert (landed("1"), landed("2"), landed("LATEST")) == (1, 2, 2)
    counts = Counter(landed("prod") for _ in range(60))
    # Sixty draws at a half: the mean is 30, six standard deviations are 23.
    assert abs(counts[1] - 30) <= 23


def test_containers_get_all_headers_of_the_contract_and_no_credentials(
    process_stack: Stack, client: Client
) -> None:
    stolen = {
        "x-fc-access-key-id": "AKID",
        "x-fc-access-key-secret": "secret",
        "x-fc-security-token": "token",
        "x-fc-qualifier": "forged",
        "x-fc-region": "forged",
    }
    seen = process_stack.http.get(f"{process_stack.url}/fn/server/x", headers=stolen, timeout=30).json()["headers"]
    said = {name: value for name, value in seen.items() if name.startswith("x-fc-")}
    request_id = said.pop("x-fc-request-id")
    assert request_id
    assert said == {
        "x-fc-function-name": "server",
        "x-fc-function-handler": "",
        "x-fc-function-memory": "256",
        "x-fc-region": "local",
        "x-fc-account-id": "0",
        "x-fc-version-id": "LATEST",
        "x-fc-qualifier": "LATEST",
        "x-fc-control-path": "/http-invoke",
        "x-fc-invocation-type": "Sync",
    }
    invoke(client, "server", b"x", x_fc_invocation_type="Async", x_fc_async_task_id="task-of-headers")
    asked = models.GetAsyncTaskRequest()

    def ended() -> bool:
        state: str = client.get_async_task("server", "task-of-headers", asked).body.status
        return state == "Succeeded"

    wait_until(ended, 20, "the task ends", every=0.1)
    seen = json.loads(client.get_async_task("server", "task-of-headers", asked).body.return_payload)["headers"]
    assert seen["x-fc-async-task-id"] == "task-of-headers"
    assert (seen["x-fc-invocation-type"], seen["x-fc-control-path"]) == ("Async", "/invoke")


def curl(stack: Stack, host: str, path: str, *more: str) -> tuple[int, str]:
    """Status and body, with the name resolved to the gateway as DNS would."""
    resolved = f"{host}:{stack.port}:127.0.0.1"
    done = subprocess.run(
        ("curl", "-s", "-w", "\n%{http_code}", "--resolve", resolved, *more, f"http://{host}:{stack.port}{path}"),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def deploy_domains(stack: Stack, specs: Json, domains: Json) -> subprocess.CompletedProcess[str]:
    file = stack.folder / "domains.yaml"
    file.write_text(yaml.safe_dump({"functions": specs, "domains": domains}))
    return stack.cli("deploy", "-f", str(file), "--redis-url", stack.redis.url, timeout=100)


def test_a_domain_of_a_spec_file_leads_to_its_functions(process_stack: Stack) -> None:
    shown = process_stack.http.get(f"{process_stack.url}/v1/functions/server", timeout=10).json()
    command = {
        "command": shown["spec"]["command"],
        "lifecycle": {"initialize": {"path": "/initialize", "timeout": "10s"}},
    }
    routes = [
        {
            "path": "/api/*",
            "function": "routed",
            "methods": ["GET"],
            "rewrite": [{"match": "/api/*", "replacement": "/v2/$1"}],
        },
        {"path": "/hook", "function": "routed", "methods": ["POST"]},
    ]
    done = deploy_domains(process_stack, {"routed": command}, {"shop.example.com": {"routes": routes}})
    assert done.returncode == 0, done.stdout + done.stderr
    wait_until(lambda: curl(process_stack, "shop.example.com", "/api/a?b=c")[0] == 200, 20, "it is routed")
    status, body = curl(process_stack, "SHOP.example.com", "/api/a?b=c")
    assert (status, json.loads(body)["path"]) == (200, "/v2/a?b=c")
    assert json.loads(curl(process_stack, "shop.example.com", "/hook", "-d", "x")[1])["body"] == "x"
    assert curl(process_stack, "shop.example.com", "/api/a", "-X", "DELETE")[0] == 405
    assert curl(process_stack, "shop.example.com", "/v1/functions")[0] == 404
    assert curl(process_stack, "other.example.com", "/v1/functions")[0] == 403
    # The same name in another file, which does not have what it leads to.
    done = deploy_domains(process_stack, {"elsewhere": command}, {"shop.example.com": "elsewhere"})
    assert (done.returncode, "shop.example.com leads to routed already" in done.stderr) == (2, True), done.stderr
    where = f"{process_stack.url}/v1/domains/shop.example.com"
    assert process_stack.http.delete(where, timeout=10).status_code == 200
    wait_until(lambda: curl(process_stack, "shop.example.com", "/api/a")[0] == 403, 20, "it is gone")
    process_stack.http.delete(f"{process_stack.url}/v1/functions/routed", timeout=10)


def test_what_was_published_is_in_its_image(docker_stack: Stack, tmp_path: Path) -> None:
    """A container's version, too, is what was published, while the folder has become something else."""
    released = Released(docker_stack, "released", tmp_path / "code")
    try:
        released.deploy(1)
        released.publish()
        released.deploy(2)
        assert (released.called("1"), released.called()) == (1, 2)
        (container,) = docker_stack.containers("released@1")
        assert str(container.name).startswith("penstock-released-v1-")
    finally:
        released.drop()
