"""The functions that the shared deployments of the end-to-end tests have, one or two for each file of tests.

Names are the same in every run, so that the docker engine finds the images of the last one.
"""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

from tests.e2e.harness import BASE_IMAGE, FUNCTIONS, Json, docker_client


def folder(name: str, **more: object) -> Json:
    """A function of tests/functions, small and soon gone when idle."""
    scaling = {"max": 1, "idle_timeout": "2s", **more.pop("scaling", {})}  # type: ignore[dict-item]
    return {
        "path": str(FUNCTIONS / name),
        "resources": {"memory": "256MiB"},
        "scaling": scaling,
        **more,
    }


def shared(engine: str, scratch: Path) -> dict[str, Json]:
    """All of them. `scratch` is where code goes that no formatter could read."""
    return {
        "echo": folder("echo", concurrency=8, scaling={"idle_timeout": "60s"}),
        "cold": folder("echo", scaling={"idle_timeout": "1s"}),
        "jobs": folder("slow", event="json"),
        "burst": folder(
            "slow",
            event="json",
            concurrency=2,
            scaling={"max": 3, "max_queue_wait": "1s", "idle_timeout": "2s"},
        ),
        "floor": folder(
            "slow", event="json", scaling={"min": 1, "max": 2, "max_queue_wait": "100ms", "idle_timeout": "1s"}
        ),
        "shallow": folder("slow", event="json", queue={"max_depth": 2}),
        "raises": folder("raises"),
        "exits": folder("exits", retry={"attempts": 2, "backoff": "100ms"}),
        "broken": folder("broken"),
        "unreadable": unreadable(scratch),
        "brief": folder("slow", event="json", timeout="1s"),
        "held": folder("slow", event="json"),
        "cancelled": folder("slow", event="json"),
        "heavy": folder("heavy"),
        "doomed": folder("slow", event="json"),
        "big": folder("big", event="json"),
        "metered": folder("slow", event="json"),
        "vendor": folder("vendor", event="json", scaling={"max": 2, "idle_timeout": "60s"}),
        "server": server(engine),
        "streams": streams(engine),
        **(probes() if engine == "docker" else {"stubborn": server(engine) | {"command": ["sleep", "30"]}}),
    }


def probes() -> dict[str, Json]:
    """Functions that look at their cage, on each network, and a neighbour to be reached."""
    stays = {"scaling": {"idle_timeout": "60s"}, "event": "json"}
    return {
        "probe": folder("probe", **stays) | {"resources": {"memory": "96MiB", "cpu": 0.5}},
        "probe-open": folder("probe", **stays, user="1000:1000", read_only=False, network="internet"),
        "neighbour": folder("probe", **stays),
    }


def unreadable(scratch: Path) -> Json:
    """A handler that Python cannot parse."""
    path = scratch / "unreadable"
    path.mkdir(parents=True)
    (path / "app.py").write_text("def handler(event, context)\n    return event\n")
    return {**folder("echo"), "path": str(path)}


def server(engine: str) -> Json:
    """A server of its own behind the container contract: a command for one engine, an image for the other."""
    script = FUNCTIONS / "server" / "server.py"
    runs = {"image": server_image(script)} if engine == "docker" else {"command": [sys.executable, str(script)]}
    return {
        **runs,
        "concurrency": 4,
        "resources": {"memory": "256MiB"},
        "lifecycle": {"initialize": {"path": "/initialize", "timeout": "10s"}},
        "scaling": {"max": 1, "idle_timeout": "2s"},
    }


def streams(engine: str, **more: object) -> Json:
    """A server whose answers come piece by piece, in the same two ways."""
    script = FUNCTIONS / "streams" / "server.py"
    runs = {"image": server_image(script)} if engine == "docker" else {"command": [sys.executable, str(script)]}
    return {
        **runs,
        "resources": {"memory": "256MiB"},
        "scaling": {"max": 2, "idle_timeout": "10s"},
        **more,
    }


def server_image(script: Path) -> str:
    """Builds an image that runs a script; it is removed with `remove_images`."""
    dockerfile = f'FROM {BASE_IMAGE}\nCOPY server.py /server.py\nCMD ["python3", "-u", "/server.py"]\n'
    return image({"Dockerfile": dockerfile.encode(), "server.py": script.read_bytes()})


def image(files: Mapping[str, bytes], folders: Mapping[str, Path] | None = None) -> str:
    """Builds an image from these files and folders, by their names in the context."""
    tag = f"penstock-e2e/server:{hashlib.sha256(repr((files, folders)).encode()).hexdigest()[:12]}"
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
        for name, folder in (folders or {}).items():
            archive.add(folder, arcname=name)
    context.seek(0)
    docker_client().images.build(fileobj=context, custom_context=True, tag=tag, rm=True, forcerm=True)
    return tag


def remove_images() -> None:
    client = docker_client()
    for image in client.images.list(name="penstock-e2e/server"):
        client.images.remove(str(image.id), force=True)
