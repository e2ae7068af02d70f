"""The Docker Engine: whether it answers, bounds its containers, and has what functions are built on."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from penstock.cli.checks import Finding, Verdict
from penstock.settings import Settings

_OLDEST = (20, 10)
_LIMITS = {"MemoryLimit": "memory", "CpuCfsQuota": "CPU", "PidsLimit": "processes"}


async def look(settings: Settings, *, gpus: bool) -> list[Finding]:
    """`gpus`: this machine has cards that containers are to use."""
    from workers.engines import EngineError
    from workers.engines.docker import engine_facts

    wanted = settings.workers.engine == "docker"
    image = settings.docker.base_image.replace("{python}", "3.11")
    try:
        info, has_image = await asyncio.to_thread(engine_facts, image)
    except EngineError as error:
        hint = "start dockerd" if shutil.which("dockerd") is not None else "install docker.io"
        if wanted:
            return [Finding("Docker", "problem", str(error), hint)]
        return [Finding("Docker", "warning", f"{error}; only --engine docker needs it", hint)]
    return list(judge(info, image if not has_image else None, gpus=gpus, wanted=wanted))


def judge(info: Mapping[str, Any], missing: str | None, *, gpus: bool, wanted: bool) -> Iterator[Finding]:
    """`info` as the engine says it; `missing`: the image that it lacks; `wanted`: instances are its containers."""
    bad: Verdict = "problem" if wanted else "warning"
    version, driver = str(info["ServerVersion"]), str(info.get("Driver", "unknown"))
    found = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if found < _OLDEST:
        yield Finding("Docker", bad, f"Engine {version}", "20.10 is the oldest that works")
    else:
        yield Finding(
            "Docker", "ok", f"Engine {version}, storage {driver}, cgroup v{info.get('CgroupVersion', '1')}"
        )
    if driver == "vfs":
        text = "storage driver vfs copies every image for every container: starts are slow, disks fill"
        yield Finding("Docker storage", "warning", text, "put its root on a file system that overlay2 works on")
    if unbounded := [what for name, what in _LIMITS.items() if not info.get(name, True)]:
        text = f"the kernel does not bound {', '.join(unbounded)} of containers"
        yield Finding(
            "Docker limits", bad, text, "enable the cgroup controllers (cgroup_enable=memory on old kernels)"
        )
    elif found >= _OLDEST:
        yield Finding("Docker limits", "ok", "memory, CPU and processes of containers are bounded")
    if missing is not None:
        text = f"{missing} is not here; it is fetched when the first function with only a path is deployed"
        yield Finding("Base image", "warning", text, f"docker pull {missing}, or set docker.base_image")
    if gpus and "nvidia" not in (info.get("Runtimes") or {}):
        text = "the engine has no nvidia runtime: its containers get no GPU"
        advice = "install nvidia-container-toolkit, run nvidia-ctk runtime configure, restart docker"
        yield Finding("Docker GPUs", bad, text, advice)
