"""Whatever a spec says, the engine is asked for a hardened container and nothing else: what goes over the wire is
held against a list of all that may be there."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pytest
from docker import APIClient
from docker.models.containers import _create_container_args
from hypothesis import given, reject
from hypothesis import strategies as st
from pydantic import ValidationError

from penstock.function import FunctionSpec
from tests.unit.workers.samples import function
from workers.engines import EngineError, Order
from workers.engines.body import allowed, body

CARD = "GPU-5e2f3c1a-0000-0000-0000-000000000001"
ROOT = PurePosixPath("/srv/models")

ASKED = {
    *("Hostname", "Domainname", "ExposedPorts", "User", "Tty", "OpenStdin", "StdinOnce", "AttachStdin"),
    *("AttachStdout", "AttachStderr", "Env", "Cmd", "Image", "Volumes", "NetworkDisabled", "Entrypoint"),
    *("WorkingDir", "HostConfig", "NetworkingConfig", "MacAddress", "Labels", "StopSignal", "Healthcheck"),
    *("StopTimeout", "Runtime"),
}
CAGE: dict[str, Any] = {
    "NetworkMode": "penstock-d-none",
    "IpcMode": "private",
    "CapDrop": ["ALL"],
    "SecurityOpt": ["no-new-privileges"],
    "Init": True,
    "PidsLimit": 512,
    "Ulimits": [
        {"Name": "nofile", "Soft": 16_384, "Hard": 16_384},
        {"Name": "core", "Soft": 0, "Hard": 0},
    ],
    "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}},
}
"""Of the host configuration, what never differs. A namespace, capability or device is not there at all."""
VARIES = {
    *("ReadonlyRootfs", "Tmpfs", "Memory", "MemorySwap", "NanoCpus", "ShmSize", "Mounts", "DeviceRequests"),
}

words = st.text(max_size=20)
names = st.sampled_from(["A", "HF_TOKEN", "NVIDIA_VISIBLE_DEVICES", "LD_PRELOAD", "DOCKER_HOST"])
folders = st.sampled_from(
    [
        "/srv/models",
        "/srv/models/llm",
        "/srv/models/../..",
        "/srv/modelsother",
        "/",
        "/var/run/docker.sock",
        "/a",
    ]
)
volumes = st.builds(
    "{}:{}{}".format, folders, st.sampled_from(["/models", "/etc", "/"]), st.sampled_from(["", ":ro", ":rw"])
)
specs = st.fixed_dictionaries(
    {"image": words.filter(bool)},
    optional={
        "entrypoint": st.lists(words, max_size=3),
        "command": st.lists(words, max_size=3),
        "env": st.dictionaries(names | words.filter(bool), words, max_size=4),
        "secrets": st.lists(st.sampled_from(["HF_TOKEN", "B"]), max_size=2, unique=True),
        "user": words | st.sampled_from(["", "root", "0:0", "1000:1000"]),
        "read_only": st.booleans(),
        "network": st.sampled_from(["none", "internet"]),
        "volumes": st.lists(volumes, max_size=2),
        "port": st.integers(1, 65_535),
        "web_server": st.booleans(),
        "resources": st.fixed_dictionaries(
            {},
            optional={
                "cpu": st.floats(0.01, 512),
                "memory": st.integers(2**24, 2**40),
                "shm_size": st.integers(0, 2**40),
                "gpu": st.just({}),
            },
        ),
    },
)


def asked(made: dict[str, Any]) -> dict[str, Any]:
    """The JSON that the docker package would post."""
    arguments = _create_container_args({**made, "version": "1.41"})
    networking = arguments.pop("networking_config")
    arguments.pop("name")
    config: dict[str, Any] = APIClient(base_url="tcp://127.0.0.1:1", version="1.41").create_container_config(
        **arguments
    )
    return {**config, "NetworkingConfig": networking}


def made(spec: FunctionSpec, *, gpu: str | None, roots: list[PurePosixPath] | None) -> dict[str, Any]:
    one = function(**spec.model_dump(exclude_unset=True))
    order = Order(instance="f-1", function=one, epoch=1, gpu=gpu)
    return body(order, deployment="d", image="sha256:1", network=f"penstock-d-{spec.network}", roots=roots)


@given(fields=specs, gpu=st.sampled_from([None, CARD]), rooted=st.booleans())
def test_no_spec_gets_anything_that_is_not_listed(fields: dict[str, Any], gpu: str | None, rooted: bool) -> None:
    try:
        spec = FunctionSpec.model_validate(fields)
        sent = asked(made(spec, gpu=gpu, roots=[ROOT] if rooted else None))
    except (ValidationError, EngineError):
        reject()
    assert sent.keys() <= ASKED
    assert sent["Image"] == "sha256:1"
    assert not sent["ExposedPorts"]
    assert not sent["Volumes"]
    assert sent["Healthcheck"]["Test"] == ["NONE"]
    host = dict(sent["HostConfig"])
    assert host.keys() <= CAGE.keys() | VARIES
    network = f"penstock-d-{spec.network}"
    assert sent["NetworkingConfig"] == {network: None}
    assert {name: host[name] for name in CAGE} == CAGE | {"NetworkMode": network}
    assert host.get("ReadonlyRootfs", False) is spec.read_only
    assert host["Memory"] == host["MemorySwap"] >= 16 * 2**20
    assert 0 < host["NanoCpus"] <= 512e9
    scratch = {"/tmp": f"mode=1777,size={host['Memory'] // 2}"}
    assert host.get("Tmpfs", {}) == (scratch if spec.read_only else {})
    for mount in host.get("Mounts", ()):
        own = {"Target": "/run/secrets", "Type": "volume", "ReadOnly": False, "VolumeOptions": {"NoCopy": True}}
        if mount == own:
            assert spec.secrets
            continue
        assert mount.keys() == {"Target", "Source", "Type", "ReadOnly"}
        assert mount["Type"] == "bind"
        assert (
            mount["Source"] in (("/srv/models", "/srv/models/llm", "/srv/modelsother", "/a")[: 2 if rooted else 4])
        )
    cards = [request["DeviceIDs"] for request in host.get("DeviceRequests") or ()]
    assert cards == ([[gpu]] if gpu else [[]] if spec.resources.gpu else [])
    visible = [one for one in sent["Env"] if one.startswith("NVIDIA_VISIBLE_DEVICES=")]
    shown = gpu or ("all" if spec.resources.gpu else "void")
    assert visible == [f"NVIDIA_VISIBLE_DEVICES={shown}"], "a variable of a spec opens no card"


@pytest.mark.parametrize(
    ("source", "roots", "problem"),
    [
        ("/srv/models/llm", ["/srv/models"], None),
        ("/srv/models", ["/srv/models"], None),
        ("/srv/modelsother", ["/srv/models"], "is not below /srv/models"),
        ("/etc", ["/srv/models", "/cache"], "is not below /srv/models or /cache"),
        ("/srv", [], "is below no folder that may be mounted"),
        ("/srv/models/../..", ["/srv/models"], "without . and .."),
        ("/srv/x", None, None),
        ("/", None, "holds or is part of /boot"),
        ("/var", None, "/var/lib/docker"),
        ("/var/run/docker.sock", None, "/var/run"),
        ("/etc/shadow", None, "/etc"),
        ("/run/user/0", ["/run/user/0"], None),
    ],
)
def test_which_folders_may_be_mounted(source: str, roots: list[str] | None, problem: str | None) -> None:
    said = allowed(source, None if roots is None else [PurePosixPath(root) for root in roots])
    assert (said is None) if problem is None else problem in (said or "")
