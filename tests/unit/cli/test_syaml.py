"""An s.yaml on the command line: what is refused in one line and changes nothing, and what a file comes to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from penstock import specfile
from penstock.function import FunctionSpec
from penstock.store import Store
from tests.conftest import RedisServer
from tests.unit.cli.conftest import InStore, Penstock, free_port, one_line, process
from tests.unit.penstock.fc.files import FC, FC3, fc3

BROKEN: list[tuple[str, str, int, str]] = [
    ("no YAML", "edition: 1.0.0\nservices:\n  a: [\n", 4, "not YAML: "),
    ("nothing in it", "edition: 3.0.0\nname: x\n", 1, "it must hold `services:`"),
    (
        "no function",
        "resources:\n  a: {component: oss, props: {}}\n",
        1,
        "no service or resource of it is a function",
    ),
    ("no props", "resources:\n  a:\n    component: fc3\n", 2, "resources.a.props: missing"),
    ("no name", fc3(functionName=None), 5, "resources.f.props.functionName: missing"),
    ("a name that is none", fc3(functionName="my function"), 6, "resources.f.props.functionName: must match"),
    ("no image", fc3(customContainerConfig={}), 7, "resources.f.props.customContainerConfig.image: missing"),
    (
        "a number that is none",
        fc3(memorySize="8 GB"),
        8,
        "resources.f.props.memorySize: input should be a valid int",
    ),
    (
        "too large",
        fc3(instanceConcurrency=500),
        8,
        "resources.f.props.instanceConcurrency: input should be less than",
    ),
    (
        "more memory than the card has",
        fc3(gpuConfig={"gpuType": "fc.gpu.tesla.1", "gpuMemorySize": 24576}),
        8,
        "resources.f.props.gpuConfig.gpuMemorySize: 24576 MB is more than the 16 GB of a fc.gpu.tesla.1",
    ),
    ("no such runtime", fc3(runtime="nodejs20"), 8, "resources.f.props.runtime: nodejs20 is not available"),
    (
        "a command that is none",
        fc3(customContainerConfig={"image": "i", "command": "python app.py"}),
        7,
        "resources.f.props.customContainerConfig.command: must be a list of words",
    ),
    (
        "shared memory with a unit",
        fc3(environmentVariables={"FCGPU_RUNTIME_SHMSIZE": "8GiB"}),
        8,
        "resources.f.props.environmentVariables.FCGPU_RUNTIME_SHMSIZE: must be a number of bytes",
    ),
    (
        "a cron that is none",
        fc3(triggers=[{"name": "t", "type": "timer", "config": {"cronExpression": "every day"}}]),
        8,
        "resources.f.props.triggers.0.config.cronExpression: ",
    ),
    (
        "a metric that is none",
        fc3(provisionConfig={"targetTrackingPolicies": [{"name": "p", "metricType": "Mood"}]}),
        8,
        "resources.f.props.provisionConfig.targetTrackingPolicies.0.metricType: ",
    ),
    (
        "an image that was never filled in",
        fc3(customContainerConfig={"image": "${env(IMAGE)}"}),
        7,
        "resources.f.props.customContainerConfig.image: must match",
    ),
]


@pytest.fixture
def s_yaml(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        (file := tmp_path / "s.yaml").write_text(text)
        return file

    return write


@pytest.mark.parametrize(("text", "line", "says"), [one[1:] for one in BROKEN], ids=[one[0] for one in BROKEN])
def test_a_broken_file_is_one_line_and_changes_nothing(
    penstock: Penstock,
    s_yaml: Callable[[str], Path],
    redis_server: RedisServer,
    in_store: InStore[object],
    text: str,
    line: int,
    says: str,
) -> None:
    file = s_yaml(text)
    before = in_store(everything)
    for command in (
        ("deploy", "--redis-url", redis_server.url, "-t", file),
        ("deploy", "--dry-run", "-t", file),
        ("convert", file),
        ("provision", "put", "--target", "1", "-t", file),
    ):
        said = one_line(penstock(*command), 2)
        assert said.startswith(f"{file}:{line}: {says}"), said
    assert in_store(everything) == before


async def everything(store: Store) -> tuple[object, ...]:
    return await store.catalog.changes(), await store.catalog.stored(), await store.aliases.all()


def test_as_a_users_shell_sees_it(s_yaml: Callable[[str], Path]) -> None:
    file = s_yaml(FC.replace("timeout: 1200", "timeout: soon"))
    said = one_line(process("deploy", "--skip-push", "true", "-t", file), 2)
    assert said.startswith(
        f"{file}:18: services.best-practice.props.function.timeout: input should be a valid integer"
    )
    assert said.endswith("(got 'soon')")


@pytest.mark.parametrize("text", [FC, FC3], ids=["1.0.0", "3.0.0"])
def test_the_specs_are_printed_and_nothing_is_asked_for(
    penstock: Penstock, s_yaml: Callable[[str], Path], text: str, tmp_path: Path
) -> None:
    file = s_yaml(text)
    flags = ("-a", "default", "-y", "--use-local", "--skip-push", "true")
    dry = penstock("deploy", "-t", file, "--dry-run", "--redis-url", "unix:///nowhere", *flags)
    assert dry.code == 0, dry.err
    assert all(said.startswith("warning: ") for said in dry.err.splitlines())
    converted = penstock("convert", file)
    assert (converted.out, converted.err) == (dry.out, dry.err)
    (native := tmp_path / "penstock.yaml").write_text(dry.out)
    (spec,) = specfile.load(native).values()
    assert (spec.image, spec.timeout) == ("registry.example.com/demo/text-detection:v1", 1200)


def test_the_file_of_the_folder_is_taken(
    penstock: Penstock, s_yaml: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    s_yaml(FC)
    monkeypatch.chdir(tmp_path)
    assert list(yaml.safe_load(penstock("deploy", "--dry-run").out)["functions"]) == ["text-detection"]
    (tmp_path / "penstock.yaml").write_text("functions: {own: {image: x}}")
    assert list(yaml.safe_load(penstock("deploy", "--dry-run").out)["functions"]) == ["own"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["deploy", "-t", "s.yaml", "-f", "p.yaml"], "not both"),
        (["deploy", "-t", "s.yaml", "service"], "service: not an option of deploy"),
        (["deploy", "-t", "gone.yaml"], "gone.yaml: No such file or directory"),
        (["deploy", "-t", "s.yaml", "--skip-push", "maybe"], "maybe: not an option of deploy"),
        (["provision", "put", "-t", "s.yaml"], "give --target N, or --config FILE"),
        (
            ["provision", "put", "other", "-t", "s.yaml", "--target", "1"],
            "no function other; it has text-detection",
        ),
        (["provision", "put", "-t", "s.yaml", "--config", "gone.json"], "gone.json: No such file or directory"),
    ],
)
def test_a_command_that_cannot_be(
    penstock: Penstock,
    s_yaml: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    says: str,
) -> None:
    s_yaml(FC)
    monkeypatch.chdir(tmp_path)
    assert says in one_line(penstock(*arguments), 2)


def test_without_a_file_a_function_must_be_named(
    penstock: Penstock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "name a function" in one_line(penstock("provision", "put", "--target", "1"), 2)
    assert "give -t" in one_line(penstock("provision", "list", "--format", "fc"), 2)


# Names that are taken


def test_a_name_that_is_anothers_is_refused(
    penstock: Penstock, s_yaml: Callable[[str], Path], redis_server: RedisServer, in_store: InStore[object]
) -> None:
    file = s_yaml(FC)
    place = (
        f"{file}:15: services.best-practice.props.function: best-practice-service/text-detection cannot be called"
    )

    async def a_native_one(store: Store) -> None:
        await store.catalog.deploy("text-detection", FunctionSpec(image="x"))

    async def another_services(store: Store) -> None:
        await store.aliases.put({"other/text-detection": "text-detection"})

    async def elsewhere(store: Store) -> None:
        await store.aliases.forget("text-detection")
        await store.aliases.put({"best-practice-service/text-detection": "elsewhere"})

    async def nothing(store: Store) -> None:
        for name in ("text-detection", "elsewhere"):
            await store.catalog.delete(name)
            await store.aliases.forget(name)

    in_store(nothing)
    for before, why in (
        (a_native_one, "a function text-detection is deployed already, from another file"),
        (another_services, "here text-detection is other/text-detection"),
        (elsewhere, "it is deployed as elsewhere"),
    ):
        in_store(before)
        known = in_store(everything)
        said = one_line(penstock("deploy", "-t", file, "--redis-url", redis_server.url), 2)
        assert said == f"{place} text-detection: {why}; rename or delete one of them"
        assert in_store(everything) == known
    in_store(nothing)


# Provisioned instances


@pytest.fixture
def deployed(in_store: InStore[object], s_yaml: Callable[[str], Path]) -> Path:
    async def deploy(store: Store) -> None:
        await store.catalog.deploy("text-detection", FunctionSpec(image="x"))

    in_store(deploy)
    return s_yaml(FC)


def test_provisioned_instances_of_a_file(
    penstock: Penstock, deployed: Path, gateway_url: str, tmp_path: Path
) -> None:
    policy = {
        "name": "demo",
        "startTime": "2023-01-01T16:00:00.000Z",
        "endTime": "2024-01-01T16:00:00.000Z",
        "metricType": "ProvisionedConcurrencyUtilization",
        "metricTarget": 0.3,
        "minCapacity": 2,
        "maxCapacity": 30,
    }
    (config := tmp_path / "provision.json").write_text(
        json.dumps({"target": 2, "targetTrackingPolicies": [policy]})
    )
    at = ("-t", deployed, "-a", "default", "--url", gateway_url)
    put = penstock("provision", "put", "--config", config, "--qualifier", "LATEST", *at)
    assert put.code == 0, put.err
    assert put.out.startswith("text-detection: default target 2")
    listed = penstock("provision", "list", *at)
    head, _, rest = listed.out.partition("\n")
    assert head.endswith("] [INFO] [FC] - Getting list provision: best-practice-service")
    (one,) = yaml.safe_load(rest)["best-practice"]
    assert one["resource"] == "local#best-practice-service#LATEST#text-detection"
    assert (one["target"], one["current"], one["scheduledActions"]) == (2, 0, None)
    assert one["targetTrackingPolicies"][0]["maxCapacity"] == 30
    table = penstock("provision", "list", "--format", "table", "--url", gateway_url)
    assert table.out.startswith("FUNCTION"), table

    both = penstock("provision", "put", "text-detection", "--config", config, "--target", "1", *at)
    assert both.out.startswith("text-detection: default target 1"), "the number counts beside a file"
    assert penstock("provision", "put", "--target", "0", "--qualifier", "LATEST", *at).code == 0
    assert penstock("provision", "list", *at).out.splitlines()[1:] == ["End of method: provision"]
    assert penstock("provision", "release", *at).out == "text-detection: default target 0, of its spec\n"


def test_provision_needs_a_gateway(penstock: Penstock, deployed: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    said = one_line(penstock("provision", "put", "--target", "1", "-t", deployed, "--url", url), 1)
    assert said.startswith(f"no gateway answers at {url}")
