"""What the stack's files must say, whatever else changes in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

COMPOSE = Path(__file__).parents[3] / "compose"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_hardened_and_its_image_pinned(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert re.fullmatch(r"[1-9]\d*:\d+", service["user"]), "a number: names differ between images"
    tag = service["image"].partition(":")[2]
    assert re.search(r"\d+\.\d+\.\d+", tag), "a release of its own, not whatever is the newest"
    assert not {"privileged", "cap_add", "pid", "ipc", "devices"} & service.keys()


def test_only_the_workers_have_the_docker_socket_and_the_hosts_network() -> None:
    with_socket = [
        name for name, one in SERVICES.items() if any("docker.sock" in v for v in one.get("volumes", ()))
    ]
    assert with_socket == ["workers"]
    assert [name for name, one in SERVICES.items() if one.get("network_mode") == "host"] == ["workers"]


def test_the_folder_of_redis_socket_keeps_its_owner() -> None:
    """An image that has this folder would give the volume its own, and Redis could not make its socket."""
    mounts = [v for one in SERVICES.values() for v in one.get("volumes", ()) if v.startswith("redis-socket:")]
    assert len(mounts) == 4
    assert set(mounts) == {"redis-socket:/run/redis:nocopy"}


def test_what_is_reached_from_elsewhere_is_on_loopback_unless_somebody_says_otherwise() -> None:
    ports = [port for one in SERVICES.values() for port in one.get("ports", ())]
    assert len(ports) == 4
    assert all(re.match(r"(\$\{PENSTOCK_\w+:-)?127\.0\.0\.1:", port) for port in ports), ports


def test_every_variable_is_explained() -> None:
    explained = (COMPOSE / "example.env").read_text()
    files = [COMPOSE / name for name in ("compose.yaml", "tls.yaml", "gpu.yaml", "offline.yaml")]
    used = {name for file in files for name in re.findall(r"\$\{(\w+)", file.read_text())}
    internal = {"PENSTOCK_VERSION", "PENSTOCK_SECRETS"}
    assert {name for name in used - internal if f"{name}=" not in explained} == set()
