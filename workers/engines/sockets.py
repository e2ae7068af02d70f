"""Who listens on a port, read from /proc: a machine may have thousands of connections, and starts wait for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

_LISTENING = "0A"


def one_listens(pids: Iterable[int], port: int) -> bool:
    """True if one of these processes listens on a TCP port of this machine."""
    sockets = {f"socket:[{inode}]" for table in ("tcp", "tcp6") for inode in _listeners(table, port)}
    return bool(sockets) and any(not sockets.isdisjoint(_open_files(pid)) for pid in pids)


def _listeners(table: str, port: int) -> Iterator[str]:
    """Inodes of the sockets that listen on it."""
    with contextlib.suppress(FileNotFoundError), Path("/proc/net", table).open() as lines:
        next(lines)
        for line in lines:
            _, local, _, state, *others = line.split()
            if state != _LISTENING:
                return  # the kernel lists those that listen first
            if int(local.rpartition(":")[2], 16) == port:
                yield others[5]


def _open_files(pid: int) -> Iterator[str]:
    with contextlib.suppress(OSError):  # it has ended
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                yield str(descriptor.readlink())
