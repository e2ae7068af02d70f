"""Which field of Function Compute becomes which of ours, in both editions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from penstock import specfile
from penstock.errors import ConfigurationError
from penstock.fc.project import load
from tests.unit.penstock.fc.files import DOCUMENTS, FC, FC3, fc3, of_documents, only, read

AT = "resources.f.props"


def spec(folder: Path, **props: object) -> dict[str, Any]:
    """The spec of a function with these fields, as far as it is not at its default."""
    return only(folder, fc3(**props)).spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def warnings(folder: Path, **props: object) -> list[str]:
    return [said.partition(": ")[2] for said in read(folder, fc3(**props)).notes.warnings]


@pytest.mark.parametrize("text", [FC, FC3], ids=["1.0.0", "3.0.0"])
def test_the_same_function_in_both_editions(tmp_path: Path, text: str) -> None:
    found = only(tmp_path, text)
    assert found.name == "text-detection"
    assert found.region == "eu-central-1"
    assert found.spec.model_dump(mode="json", exclude_defaults=True) == {
        "image": "registry.example.com/demo/text-detection:v1",
        "timeout": "20m",
        "env": {"FCGPU_RUNTIME_SHMSIZE": "8589934592"},
        "resources": {
            "cpu": 2.0,
            "memory": "8GiB",
            "shm_size": "8GiB",
            "gpu": {"memory": "8GiB", "type": "fc.gpu.tesla.1"},
        },
        "triggers": [{"name": "httpTrigger", "type": "http", "methods": ["GET", "POST"]}],
        "auth": "anonymous",
        "region": "eu-central-1",
        "network": "internet",
        "user": "",
        "read_only": False,
    }


def test_a_service_is_part_of_the_vendors_name(tmp_path: Path) -> None:
    assert read(tmp_path, FC).aliases == {"best-practice-service/text-detection": "text-detection"}
    assert read(tmp_path, FC3).aliases == {}


def test_what_is_said_of_a_file_that_is_all_right(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    (idle,) = read(tmp_path, FC).notes.warnings
    assert idle == (
        f"{file}: of the vendor's cloud, without effect here: logConfig (line 14), diskSize (line 23), "
        f"accelerationType (line 31)"
    )


def test_the_documents_own_files(tmp_path: Path) -> None:
    files = of_documents()
    if not DOCUMENTS.is_dir():
        files = {"ours": FC}
    assert files, "a document with an s.yaml lies beside the checkout"
    for name, text in files.items():
        (file := tmp_path / f"{name}.yaml").write_text(text)
        (found,) = load(file, {}).functions
        assert found.spec.image is not None
        assert found.spec.resources.gpu is not None
        assert (found.spec.timeout, found.spec.resources.shm_size) == (1200, 8 * 2**30)
        assert found.original.endswith(f"/{found.name}")


def test_a_spec_file_of_it_reads_the_same(tmp_path: Path) -> None:
    provision = {"target": 1, "scheduledActions": [], "targetTrackingPolicies": []}
    hooks = {"initializer": {"handler": "x", "timeout": 60}, "preStop": {"handler": "x", "timeout": 30}}
    text = fc3(provisionConfig=provision, instanceLifecycleConfig=hooks, environmentVariables={"NO": "010"})
    project = read(tmp_path, text)
    (file := tmp_path / "penstock.yaml").write_text(specfile.dump(project.specs, {}))
    assert specfile.load(file) == project.specs


# Containers


def test_the_command_of_a_container(tmp_path: Path) -> None:
    newer = {"image": "i", "entrypoint": ["python"], "command": ["app.py"], "port": 8080}
    found = spec(tmp_path, customContainerConfig=newer)
    assert (found["entrypoint"], found["command"], found["port"]) == (["python"], ["app.py"], 8080)
    assert spec(tmp_path, customContainerConfig={"image": "i", "command": ["app.py"]})["command"] == ["app.py"]

    older = '{image: i, command: \'["python"]\', args: \'["app.py", "8"]\'}'
    text = FC.replace("          image: registry", "          x: registry").replace(
        "customContainerConfig:\n", f"customContainerConfig: {older}\n        x:\n"
    )
    in_1 = only(tmp_path, text).spec
    assert (in_1.entrypoint, in_1.command) == (("python",), ("app.py", "8"))
    text = text.replace(older, '{image: i, command: \'["python", "app.py"]\'}')
    assert only(tmp_path, text).spec.entrypoint == ("python", "app.py"), "in 1.0.0 it takes the entrypoint's place"


def test_ports_that_contradict(tmp_path: Path) -> None:
    container = {"image": "i", "port": 8080}
    assert spec(tmp_path, caPort=8000)["port"] == 8000
    assert spec(tmp_path, caPort=8000, customContainerConfig=container)["port"] == 8080
    (said,) = warnings(tmp_path, caPort=8000, customContainerConfig=container)
    assert said == f"{AT}.caPort: 8000 is ignored: customContainerConfig.port says 8080"


def test_a_container_without_a_web_server(tmp_path: Path) -> None:
    container = {"image": "i", "webServerMode": False}
    hooks = {"preStop": {"handler": "x"}}
    found = only(
        tmp_path,
        fc3(
            customContainerConfig=container,
            instanceConcurrency=5,
            instanceLifecycleConfig=hooks,
            provisionConfig={"target": 1},
        ),
    ).spec
    assert not found.web_server
    assert (found.concurrency, found.lifecycle.pre_stop, found.provision) == (1, None, None)
    said = warnings(
        tmp_path,
        customContainerConfig=container,
        instanceConcurrency=5,
        instanceLifecycleConfig=hooks,
        provisionConfig={"target": 1},
    )
    assert [one.split(": ")[1].split()[0] for one in said] == ["instanceConcurrency", "lifecycle", "provision"]


def test_a_python_runtime(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    found = spec(
        tmp_path, runtime="python3.10", code="./code", handler="pkg/index.main", customContainerConfig=None
    )
    assert (found["path"], found["handler"]) == (str(tmp_path / "code"), "pkg.index:main")


def test_the_internet(tmp_path: Path) -> None:
    assert spec(tmp_path)["network"] == "internet"
    assert "network" not in spec(tmp_path, internetAccess=False)
    assert only(tmp_path, FC.replace("internetAccess: true", "internetAccess: false")).spec.network == "none"


# Resources


@pytest.mark.parametrize(
    ("props", "gpu"),
    [
        ({}, None),
        ({"instanceType": "e1"}, None),
        ({"instanceType": "g1"}, {"type": "fc.gpu.tesla.1"}),
        ({"gpuMemorySize": 4096}, {"memory": "4GiB"}),
        ({"instanceType": "fc.gpu.ada.1", "gpuMemorySize": 16384}, {"type": "fc.gpu.ada.1", "memory": "16GiB"}),
        ({"instanceType": "fc.gpu.tesla.1", "gpuMemorySize": 16384}, {"type": "fc.gpu.tesla.1"}),
        (
            {"gpuConfig": {"gpuType": "fc.gpu.hopper.2", "gpuMemorySize": 144_384}},
            {"type": "fc.gpu.hopper.2"},
        ),
    ],
)
def test_cards(tmp_path: Path, props: dict[str, Any], gpu: dict[str, Any] | None) -> None:
    found = only(tmp_path, fc3(**props)).spec.resources.gpu
    assert (found and found.model_dump(mode="json", exclude_none=True)) == gpu


def test_cards_that_contradict(tmp_path: Path) -> None:
    props = {
        "instanceType": "fc.gpu.tesla.1",
        "gpuMemorySize": 1024,
        "gpuConfig": {"gpuType": "fc.gpu.ampere.1", "gpuMemorySize": 2048},
    }
    gpu = only(tmp_path, fc3(**props)).spec.resources.gpu
    assert gpu is not None
    assert (gpu.type, gpu.memory) == ("fc.gpu.ampere.1", 2 * 2**30)
    assert warnings(tmp_path, **props) == [
        f"{AT}.instanceType: fc.gpu.tesla.1 is ignored: gpuConfig.gpuType says fc.gpu.ampere.1",
        f"{AT}.gpuMemorySize: 1024 is ignored: gpuConfig.gpuMemorySize says 2048",
    ]
    (said,) = warnings(tmp_path, instanceType="fc.gpu.testla.1")
    assert "did you mean fc.gpu.tesla.1?" in said


# Lifecycle


def test_hooks(tmp_path: Path) -> None:
    hooks = {"initializer": {"handler": "x", "timeout": 60}, "preStop": {"handler": "x", "timeout": 30}}
    assert spec(tmp_path, instanceLifecycleConfig=hooks)["lifecycle"] == {
        "initialize": {"path": "/initialize", "timeout": "1m"},
        "pre_stop": {"path": "/pre-stop", "timeout": "30s"},
    }
    older = spec(tmp_path, initializer="index.initializer", initializationTimeout=100)["lifecycle"]
    assert older == {"initialize": {"path": "/initialize", "timeout": "100s"}}
    off = {"initializer": {"handler": "", "timeout": 60}}
    assert "lifecycle" not in spec(tmp_path, instanceLifecycleConfig=off)
    freeze = {"preFreeze": {"handler": "x"}, "preStop": {"handler": "x", "timeout": 120}}
    late, frozen = warnings(tmp_path, instanceLifecycleConfig=freeze)
    assert late == f"{AT}.instanceLifecycleConfig.preStop.timeout: 120 is more than 90 s: it gets 90"
    assert frozen.startswith(f"{AT}.instanceLifecycleConfig.preFreeze: ignored")


def test_health(tmp_path: Path) -> None:
    check = {"httpGetUrl": "/ready", "periodSeconds": 3, "failureThreshold": 5}
    container = {"image": "i", "healthCheckConfig": check}
    assert spec(tmp_path, customContainerConfig=container)["lifecycle"] == {"health": {"path": "/ready"}}
    (said,) = warnings(tmp_path, customContainerConfig=container)
    inside = f"{AT}.customContainerConfig.healthCheckConfig"
    assert said == f"{inside}.failureThreshold: 5 is ignored: here it is 3"


# How many, how long, who is told


def test_async_configuration_of_both_editions(tmp_path: Path) -> None:
    newer = {
        "maxAsyncEventAgeInSeconds": 3600,
        "maxAsyncRetryAttempts": 2,
        "destinationConfig": {
            "onSuccess": {"destination": "https://example.com/done"},
        },
    }
    newer["destinationConfig"]["onFailure"] = {"destination": "acs:mns:::/queues/q/messages"}  # type: ignore[index]
    older = {**newer, "destination": {"onSuccess": "https://example.com/done", "onFailure": "acs:fc:::x"}}
    del older["destinationConfig"]
    for name, given in (("asyncInvokeConfig", newer), ("asyncConfiguration", older)):
        found = spec(tmp_path, **{name: given})
        assert found["queue"] == {"max_age": "1h"}
        assert found["retry"] == {"on": [408, 429, 500, 502, 503, 504]}, "3 attempts are the default"
        assert found["callbacks"] == {"on_success": "https://example.com/done"}
        (said,) = warnings(tmp_path, **{name: given})
        assert "is told nothing: only functions and http:// or https:// URLs are" in said
    assert spec(tmp_path, asyncInvokeConfig={"maxAsyncRetryAttempts": 0})["retry"]["attempts"] == 1


@pytest.mark.parametrize(
    ("reserved", "concurrency", "comes_to"),
    [(10, 1, (10, 1)), (10, 5, (2, 5)), (11, 5, (2, 5)), (3, 5, (1, 3)), (0, 5, (None, 5))],
)
def test_reserved_concurrency(
    tmp_path: Path, reserved: int, concurrency: int, comes_to: tuple[int | None, int]
) -> None:
    props = {"concurrencyConfig": {"reservedConcurrency": reserved}, "instanceConcurrency": concurrency}
    found = only(tmp_path, fc3(**props)).spec
    assert (found.scaling.max, found.concurrency) == comes_to
    assert bool(warnings(tmp_path, **props)) == (reserved in (0, 11)), "what is not exact is said"


POLICY = {"name": "p", "metricType": "GPUSmUtilization", "metricTarget": 0.5}


def test_what_is_kept_warm(tmp_path: Path) -> None:
    action = {"name": "a", "scheduleExpression": "cron(0 0 8 * * *)", "target": 3}
    older = {
        "target": 2,
        "scheduledActions": [action],
        "targetTrackingPolicies": [{**POLICY, "minCapacity": 1, "maxCapacity": 5}],
    }
    newer = {
        "minInstances": 2,
        "scheduledPolicies": [action],
        "horizontalScalingPolicies": [{**POLICY, "minInstances": 1, "maxInstances": 5}],
    }
    found = only(tmp_path, fc3(provisionConfig=older)).spec.provision
    assert found is not None
    assert (found.default_target, found.target_tracking_policies[0].max_capacity) == (2, 5)
    assert only(tmp_path, fc3(scalingConfig=newer)).spec.provision == found
    assert warnings(tmp_path, scalingConfig=newer, provisionConfig=older) == [
        f"{AT}.scalingConfig: ignored beside provisionConfig, which says the same"
    ]
    (said,) = warnings(tmp_path, provisionConfig={**older, "current": 1})
    assert said == f"{AT}.provisionConfig.current: unknown field, ignored"


# What a file holds beside


def test_templates_that_blocks_extend(tmp_path: Path) -> None:
    text = fc3(environmentVariables={"B": "own"}).replace(
        "    component: fc3\n", "    component: fc3\n    extend: {name: base, ignore: [cpu]}\n"
    )
    base = "template:\n  base:\n    timeout: 9\n    cpu: 4\n    environmentVariables: {A: base, B: base}\n"
    found = only(tmp_path, text + base).spec
    assert (found.timeout, found.resources.cpu, found.env) == (9, 1, {"A": "base", "B": "own"})


def test_what_is_no_function_is_left_out_with_a_warning(tmp_path: Path) -> None:
    text = fc3(customDomain={"domainName": "auto", "routeConfig": {"routes": [{"path": "/a"}]}}) + (
        "  bucket: {component: oss, props: {}}\n"
        "  domain:\n    component: fc3-domain\n    props: {domainName: a.example, routeConfig: {routes: []}}\n"
        "actions: {pre-deploy: []}\n"
    )
    project = read(tmp_path, text)
    assert project.domains == {}
    said = [one.partition(": ")[2] for one in project.notes.warnings]
    assert said == [
        f"{AT}.customDomain: auto is left out, since no domain is made up here: call /fn/f/",
        "resources.bucket: left out: component oss is not available, fc and fc3 are",
        "resources.domain.props: a.example leads nowhere: it has no routes",
        "actions: not run",
    ]


def test_fields_that_are_not_there_and_fields_that_nobody_knows(tmp_path: Path) -> None:
    said = warnings(tmp_path, vpcConfig={"vpcId": "v"}, memorysize=512, role="r", zzz=1)
    assert said == [
        f"{AT}.vpcConfig: ignored: there are no private networks: the function reaches the internet or nothing",
        f"{AT}.memorysize: unknown field, ignored; did you mean memorySize?",
        f"{AT}.zzz: unknown field, ignored",
        "of the vendor's cloud, without effect here: role (line 10)",
    ]


def test_a_destination_that_is_a_function(tmp_path: Path) -> None:
    told = {"destinationConfig": {"onFailure": {"destination": "acs:fc:eu:1:functions/Other.f/LATEST"}}}
    assert spec(tmp_path, asyncInvokeConfig=told)["callbacks"] == {"on_failure": "function:other-f"}
    assert warnings(tmp_path, asyncInvokeConfig=told) == []


TWO_SERVICES = """\
edition: 1.0.0
services:
  a:
    component: fc
    props:
      service: {name: A}
      function:
        name: f
        runtime: custom-container
        customContainerConfig: {image: i}
        asyncConfiguration:
          destination:
            onSuccess: acs:fc:eu:1:services/B.LATEST/functions/f
            onFailure: acs:fc:eu:1:functions/g
  b:
    component: fc
    props:
      service: {name: B}
      function: {name: f, runtime: custom-container, customContainerConfig: {image: i}}
  c:
    component: fc
    props:
      service: {name: B}
      function: {name: g, runtime: custom-container, customContainerConfig: {image: i}}
"""


def test_a_destination_has_the_name_that_the_file_gives_it_here(tmp_path: Path) -> None:
    first, *_ = read(tmp_path, TWO_SERVICES).functions
    assert first.spec.callbacks.model_dump() == {"on_success": "function:b-f", "on_failure": "function:g"}


OSS = {"events": ["oss:ObjectCreated:*"], "filter": {"Key": {"Prefix": "in/", "Suffix": ".png"}}}
STORED = {"events": ["created"], "prefix": "in/", "suffix": ".png"}
BERLIN = {"schedule": "0 0 4 * * *", "timezone": "Europe/Berlin"}
TRIGGERS: list[tuple[dict[str, Any], dict[str, Any] | None, str | None]] = [
    ({"type": "http", "config": {}}, {"methods": []}, None),
    ({"type": "http", "config": {"methods": ["get", "LINK"]}}, {"methods": ["GET"]}, "LINK: no method that"),
    ({"type": "http", "config": {"authType": "jwt"}}, {"methods": []}, "callers need an API key"),
    ({"type": "timer", "config": {"cronExpression": "@every 1m"}}, {"schedule": "@every 1m"}, None),
    ({"type": "timer", "config": {"cronExpression": "CRON_TZ=Europe/Berlin 0 0 4 * * *"}}, BERLIN, None),
    (
        {"type": "timer", "config": {"cronExpression": "0 0 4 * * *", "enable": False, "payload": "p"}},
        {"schedule": "0 0 4 * * *", "enabled": False, "payload": "p"},
        None,
    ),
    (
        {"type": "timer", "qualifier": "prod", "config": {"cronExpression": "@every 1m"}},
        {"schedule": "@every 1m"},
        "t calls LATEST, and not prod",
    ),
    (
        {"type": "oss", "sourceArn": "acs:oss:eu:1:pictures", "config": OSS},
        {"type": "objects", "bucket": "s3://pictures", **STORED},
        "of the workers' AWS_ENDPOINT_URL",
    ),
    (
        {"type": "oss", "config": {"bucketName": "/srv/pictures", **OSS}},
        {"type": "objects", "bucket": "/srv/pictures", **STORED},
        None,
    ),
    ({"type": "oss", "config": OSS}, None, "it calls nothing without bucketName"),
    (
        {"type": "oss", "config": {**OSS, "events": ["oss:ObjectRemoved:DeleteObject"], "bucketName": "/x"}},
        {"type": "objects", "bucket": "/x", **STORED, "events": ["removed"]},
        None,
    ),
    (
        {"type": "mns_topic", "config": {"topicName": "t", "notifyContentFormat": "JSON", "filterTag": "a"}},
        {"type": "topic", "topic": "t", "format": "json", "tag": "a"},
        None,
    ),
    (
        {"type": "mns_topic", "sourceArn": "acs:mns:eu:1:/topics/orders", "config": {}},
        {"type": "topic", "topic": "orders"},
        None,
    ),
    ({"type": "mns_topic", "config": {}}, None, "it calls nothing without topicName"),
    ({"type": "tablestore", "config": {}}, None, "triggers of type tablestore are not available"),
]


@pytest.mark.parametrize(("trigger", "becomes", "says"), TRIGGERS)
def test_triggers(
    tmp_path: Path, trigger: dict[str, Any], becomes: dict[str, Any] | None, says: str | None
) -> None:
    given = [{"name": "t", **trigger}]
    found = spec(tmp_path, triggers=given).get("triggers", [])
    wanted = [] if becomes is None else [{"name": "t", "type": trigger["type"], **becomes}]
    plain = {"methods": [], "events": ["created"]}
    assert [plain | one for one in found] == [plain | one for one in wanted]
    said = warnings(tmp_path, triggers=given)
    assert len(said) == (says is not None), said
    assert all(says in one and one.startswith(f"{AT}.triggers.0: ") for one in said if says)


@pytest.mark.parametrize(
    ("asked", "needed"),
    [(None, "anonymous"), ("anonymous", "anonymous"), ("function", "function"), ("jwt", "function")],
)
def test_who_may_call_it_is_what_its_http_trigger_says(tmp_path: Path, asked: str | None, needed: str) -> None:
    config = {} if asked is None else {"authType": asked}
    http = {"name": "h", "type": "http", "config": config}
    timer = {"name": "t", "type": "timer", "config": {"cronExpression": "@every 1m"}}

    assert spec(tmp_path, triggers=[timer, http])["auth"] == needed
    assert "auth" not in spec(tmp_path, triggers=[timer])


def test_the_same_trigger_in_the_shape_of_1_0_0(tmp_path: Path) -> None:
    timer = (
        "        - {name: tick, type: timer, config: {cronExpression: '@every 90s', payload: p, enable: true}}\n"
    )
    _, trigger = only(tmp_path, FC + timer).spec.triggers
    assert trigger.model_dump(exclude_defaults=True) == {
        "name": "tick",
        "type": "timer",
        "schedule": "@every 90s",
        "payload": "p",
    }


def test_two_triggers_of_one_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="two triggers are named t"):
        spec(tmp_path, triggers=[{"name": "t", "type": "http", "config": {}}] * 2)
