"""Tries to get out of its container, and to take what is not its own. Each probe says how it ended."""

import ctypes
import os
import resource
import signal
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)
_NEW_USER = 0x10000000
_LOTS = 4 * 2**30


def handler(event: dict[str, Any], context: Any) -> Any:
    return _PROBES[event["do"]](*event.get("with", ()))


def _tried(do: Callable[..., Any], *args: Any) -> str:
    try:
        do(*args)
    except TimeoutError:
        return "timed out"
    except OSError as error:
        return os.strerror(error.errno or 0)
    return "done"


def _call(name: str, *args: Any) -> None:
    if getattr(_LIBC, name)(*args) != 0:
        raise OSError(ctypes.get_errno(), name)


def escape() -> dict[str, str]:
    """What a process with any right would do."""
    return {
        "mount": _tried(_call, "mount", b"none", b"/tmp", b"tmpfs", 0, None),
        "unshare": _tried(_call, "unshare", _NEW_USER),
        "chroot": _tried(os.chroot, "/tmp"),
        "setuid": _tried(os.setuid, 0),
        "device": _tried(os.mknod, "/tmp/disk", stat.S_IFBLK | 0o600, os.makedev(8, 0)),
        "priority": _tried(os.nice, -5),
        "raw socket": _tried(socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
        "packet socket": _tried(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0),
        "Docker": _tried(_unix, "/var/run/docker.sock"),
        **{path: _tried(_append, path) for path in _SYSTEM},
    }


_SYSTEM = (
    *("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/vm/overcommit_memory", "/proc/kcore"),
    *("/proc/1/environ", "/sys/kernel/profiling", "/sys/fs/cgroup/memory/memory.limit_in_bytes"),
    *("/sys/fs/cgroup/cgroup.procs", "/etc/passwd", "/usr/bin/python3", "/x", "/dev/x", "/run/x", "/var/tmp/x"),
)


def _append(path: str) -> None:
    with open(path, "ab") as file:
        file.write(b"1")


def _unix(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(path)


def setuid_program() -> list[str]:
    """Whose the process of a program is that belongs to root and says that it runs as root."""
    with subprocess.Popen(
        ["/bin/su"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as su:
        status = Path(f"/proc/{su.pid}/status").read_text()  # also of one that has ended, until it is waited for
        su.kill()
    return next(line.split()[1:] for line in status.splitlines() if line.startswith("Uid:"))


def limits() -> dict[str, int]:
    return {
        "files": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        "core": resource.getrlimit(resource.RLIMIT_CORE)[1],
        "setuid bit of su": Path("/bin/su").stat().st_mode & stat.S_ISUID,
    }


def fork_bomb(seconds: float) -> tuple[int, str]:
    """How many there were when no other could be made, which was tried for a while, and why."""
    children: list[int] = []
    why = ""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            children.append(os.posix_spawn("/bin/sleep", ["sleep", "60"], {}))
        except OSError as error:
            why = os.strerror(error.errno or 0)
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    for pid in children:
        os.waitpid(pid, 0)
    return len(children), why


def fill(path: str) -> tuple[int, str]:
    """Bytes until no other could be written, and why."""
    written, piece = 0, b"x" * 2**20
    try:
        with open(path, "wb", buffering=0) as file:
            while written < _LOTS:
                written += file.write(piece)
    except OSError as error:
        return written, os.strerror(error.errno or 0)
    finally:
        Path(path).unlink()
    return written, "done"


def connect(*targets: tuple[str, int]) -> dict[str, str]:
    """All at the same time."""
    seen: dict[str, str] = {}

    def one(host: str, port: int) -> None:
        seen[host] = _tried(lambda: socket.create_connection((host, port), timeout=1.0).close())

    threads = [threading.Thread(target=one, args=target) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def chatter(seconds: float) -> int:
    """Bytes written to the log meanwhile."""
    line, written = b"x" * 1000 + b"\n", 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        written += os.write(1, line)
    return written


def hog() -> int:
    kept = bytearray()
    while len(kept) < _LOTS:
        kept += b"x" * 2**24
    return len(kept)


_PROBES: dict[str, Callable[..., Any]] = {
    one.__name__: one for one in (escape, setuid_program, limits, fork_bomb, fill, connect, chatter, hog)
}
