"""This machine: its GPUs, disk, limits, kernel and port."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from penstock.cli.checks import Finding, gib
from penstock.settings import Settings

_FILES, _TASKS = 4_096, 2_048
_LITTLE, _NEARLY_NONE = 5 * 2**30, 512 * 2**20
_THP = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_OVERCOMMIT = Path("/proc/sys/vm/overcommit_memory")


def look(settings: Settings) -> list[Finding]:
    """All but the GPUs."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    return [
        Finding("Python", "ok", version),
        _files(resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
        _tasks(),
        *_kernel(local_redis=_is_local(settings)),
        _data_dir(settings.folder),
        _port(settings.gateway.host, settings.gateway.port),
    ]


async def gpus(settings: Settings) -> list[Finding]:
    """The cards as the workers see them."""
    from workers.gpus import inventory

    source = inventory(settings.workers)
    try:
        cards = await source.read()
    finally:
        source.close()
    if not cards:
        return [Finding("GPU", "warning", f"none: {source.reason}; only functions with resources.gpu need one")]
    found = []
    for card in cards:
        what = f"{card.name or card.uuid}, {card.memory / 2**30:.0f} GiB"
        if card.problem:
            advice = "nothing is started there; nvidia-smi -q tells more"
            found.append(Finding("GPU", "warning", f"{what}: {card.problem}", advice))
        else:
            found.append(Finding("GPU", "ok", what))
    return found


def _files(soft: int) -> Finding:
    if soft == resource.RLIM_INFINITY or soft >= _FILES:
        return Finding("Open files", "ok", "no limit" if soft == resource.RLIM_INFINITY else f"{soft} at a time")
    text = f"{soft} at a time: as many clients and instances fit, less some"
    return Finding("Open files", "warning", text, "ulimit -n 65536, or LimitNOFILE= of the service")


def _tasks() -> Finding:
    most = [limit for limit in (resource.getrlimit(resource.RLIMIT_NPROC)[0], _pids_max()) if limit and limit > 0]
    if not most or min(most) >= _TASKS:
        return Finding("Processes", "ok", f"{min(most)} at a time" if most else "no limit")
    text = f"{min(most)} at a time, threads included: some tens of instances fill that"
    return Finding("Processes", "warning", text, "ulimit -u, TasksMax= of the service, or --pids-limit")


def _pids_max() -> int | None:
    """Of our control group, version 2 or 1; None: no limit, or nobody knows."""
    for path in (Path("/sys/fs/cgroup/pids.max"), Path("/sys/fs/cgroup/pids/pids.max")):
        try:
            return int(path.read_text())
        except (OSError, ValueError):
            continue
    return None


def _kernel(*, local_redis: bool) -> Iterator[Finding]:
    """What Redis asks of the kernel that it runs on."""
    if not local_redis:
        return
    if _first(_OVERCOMMIT) == "0":
        text = "vm.overcommit_memory is 0: Redis may fail to rewrite its file when memory is short"
        yield Finding("Kernel", "warning", text, "sysctl vm.overcommit_memory=1")
    if "[always]" in (_first(_THP) or ""):
        text = "transparent huge pages are always on: Redis forks slowly and takes more memory"
        yield Finding("Kernel", "warning", text, f"echo madvise > {_THP}")


def _data_dir(folder: Path) -> Finding:
    there = next((parent for parent in (folder, *folder.parents) if parent.exists()), Path("/"))
    if not os.access(there, os.W_OK | os.X_OK):
        text = f"{there} may not be written to by this user"
        return Finding("Data folder", "problem", text, "give another --data-dir, or change its owner")
    free = shutil.disk_usage(there).free
    text = f"{folder}: {gib(free)} free"
    if free < _NEARLY_NONE:
        return Finding("Data folder", "problem", text, "make room: bodies, answers and Redis's file go there")
    if free < _LITTLE:
        return Finding("Data folder", "warning", text, "make room: bodies, answers and Redis's file go there")
    if folder.exists() and folder.stat().st_mode & 0o077:
        text = f"{folder} is open to other users, and secrets are in it"
        return Finding("Data folder", "warning", text, f"chmod 700 {folder}")
    return Finding("Data folder", "ok", text)


def _port(host: str, port: int) -> Finding:
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        why = os.strerror(error.errno or 0)
        text, advice = (
            f"{host}:{port}: {why}{_by_whom(port)}",
            "a gateway may run there already, else give another --port",
        )
        return Finding("Port", "warning", text, advice)
    return Finding("Port", "ok", f"{host}:{port} is free")


def _by_whom(port: int) -> str:
    try:
        listening = [one for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
        pids = [one.pid for one in listening if one.laddr and one.laddr.port == port and one.pid]
        return f" by {psutil.Process(pids[0]).name()} (pid {pids[0]})" if pids else ""
    except (psutil.Error, OSError):
        return ""  # another user's


def _is_local(settings: Settings) -> bool:
    url = settings.redis.url
    return (
        "url" not in settings.redis.model_fields_set
        or url.startswith("unix:")
        or "//127." in url
        or "//localhost" in url
    )


def _first(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
