"""What is asked of the Docker Engine for a container: nothing else of a spec ever reaches it.

Pure. Each field stands here by name, so that a spec can ask for more processor, memory or folders, and for
nothing that opens the cage: no privileges, no capability, no device but its card, no namespace of the host's, and
no folder beside those that the operator named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from posixpath import normpath
from typing import Any

from workers.contract import runtime_environment, secret_environment
from workers.engines import EngineError, Order
from workers.engines.builder import LABEL
from workers.engines.images import CODE

SECRETS = "/run/secrets"
"""Where a container finds its secrets."""

_SCRATCH = "/tmp"  # noqa: S108 - in the container, and all that is writable there
_PIDS = 512
_FILES = 16_384
"""That one process may have open."""
_SYSTEM = ("/boot", "/dev", "/etc", "/proc", "/run", "/sys", "/var/lib/docker", "/var/run")
"""Folders of a host that are never mounted unless a root names them: the engine's socket is in one."""


def body(
    order: Order, *, deployment: str, image: str, network: str, roots: Sequence[PurePosixPath] | None
) -> dict[str, Any]:
    """As the docker package takes it. `roots`: below these are the folders that may be mounted; None: all but the
    system's own. Raises EngineError for a volume elsewhere."""
    function, spec = order.function, order.function.spec
    return {
        "image": image,
        "entrypoint": list(spec.entrypoint) if spec.entrypoint else None,
        "command": list(spec.command) if spec.command else None,
        "name": f"penstock-{order.instance}",
        "labels": {
            f"{LABEL}deployment": deployment,
            f"{LABEL}function": function.name,
            f"{LABEL}revision": str(function.revision),
            f"{LABEL}digest": function.digest,
            f"{LABEL}instance": order.instance,
            f"{LABEL}epoch": str(order.epoch),
            f"{LABEL}port": str(spec.port),
            **({f"{LABEL}gpu": order.gpu} if order.gpu else {}),
            **({} if spec.web_server else {f"{LABEL}once": "true"}),
        },
        "device_requests": _cards(order),
        "environment": _environment(order),
        "healthcheck": {"test": ["NONE"]},  # we probe it ourselves, and without a process for each look
        "init": True,
        "network": network,
        "ipc_mode": "private",
        "user": spec.user,
        "read_only": spec.read_only,
        "tmpfs": _scratch(spec.resources.memory) if spec.read_only else {},
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "pids_limit": _PIDS,
        "mem_limit": spec.resources.memory,
        "memswap_limit": spec.resources.memory,
        "nano_cpus": int(spec.resources.cpu * 1e9),
        "shm_size": spec.resources.shm_size,
        "ulimits": [
            {"name": "nofile", "soft": _FILES, "hard": _FILES},
            {"name": "core", "soft": 0, "hard": 0},  # a dump would be written by the host
        ],
        "mounts": [
            *(_mount(volume, roots) for volume in spec.volumes),
            *([_secrets_volume()] if spec.secrets else []),
        ],
        # A chatty function must not fill the disk.
        "log_config": {"type": "json-file", "config": {"max-size": "10m", "max-file": "2"}},
    }


def allowed(source: str, roots: Sequence[PurePosixPath] | None) -> str | None:
    """Why a folder of the host may not be mounted; None: it may."""
    path = PurePosixPath(source)
    if normpath(source) != str(path) or not path.is_absolute():
        return f"volume {source}: write the folder without . and .. in it"
    if roots is None:
        system = [one for one in _SYSTEM if path.is_relative_to(one) or PurePosixPath(one).is_relative_to(path)]
        if system:
            return (
                f"volume {source} holds or is part of {system[0]}, which is the host's own: mount another folder"
            )
        return None
    if any(path.is_relative_to(root) for root in roots):
        return None
    below = " or ".join(str(root) for root in roots)
    where = f"is not below {below}" if roots else "is below no folder that may be mounted"
    return f"volume {source} {where}: add one to the setting docker.volume_roots"


def _mount(volume: str, roots: Sequence[PurePosixPath] | None) -> dict[str, Any]:
    # Not as `volumes`: of a folder that is not there the engine would make an empty one, owned by root.
    source, target, *mode = volume.split(":")
    if (problem := allowed(source, roots)) is not None:
        raise EngineError(problem)
    return {"Target": target, "Source": source, "Type": "bind", "ReadOnly": mode == ["ro"]}


def _secrets_volume() -> dict[str, Any]:
    """Of this container alone, and gone with it: the one place of a read-only container that can be filled before
    it starts. (A tmpfs is empty until then, and the daemon may not see a folder of ours.)"""
    return {"Target": SECRETS, "Type": "volume", "ReadOnly": False, "VolumeOptions": {"NoCopy": True}}


def _scratch(memory: int) -> Mapping[str, str]:
    # It counts as memory. Full at half of it, a write fails; at all of it, the kernel would kill the writer.
    return {_SCRATCH: f"mode=1777,size={memory // 2}"}


def _cards(order: Order) -> list[dict[str, Any]] | None:
    """Exactly its card, by its UUID: an index changes when a card falls off the bus. One that stands by is told
    later which it is (`initialize`), and holds none until then."""
    if order.gpu is not None:
        return [{"Driver": "nvidia", "DeviceIDs": [order.gpu], "Capabilities": [["gpu"]]}]
    if order.function.spec.resources.gpu is not None:
        return [{"Driver": "nvidia", "Count": -1, "Capabilities": [["gpu"]]}]
    return None


def _environment(order: Order) -> dict[str, str]:
    function, spec = order.function, order.function.spec
    common = {
        "PORT": str(spec.port),
        "FC_SERVER_PORT": str(spec.port),
        "HOST": "0.0.0.0",
        "PENSTOCK_INSTANCE": order.instance,
    }
    runtime = runtime_environment(function.name, spec, CODE) if spec.path else {}
    return {
        **common,
        **runtime,
        **spec.env,
        **secret_environment(spec, SECRETS),
        **order.env,
        **_no_more_cards(order),
    }


def _no_more_cards(order: Order) -> dict[str, str]:
    """Where NVIDIA's runtime is the default, this variable of a spec or an image would open every card."""
    return {"NVIDIA_VISIBLE_DEVICES": order.gpu or ("all" if _cards(order) else "void")}
