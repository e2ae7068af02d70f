"""`python -P -m runtime.forkserver FD MODULE…`: forks instances, for whoever holds the other end of the socket FD.

An order is {"fork": number, "env": {…}, "cwd": folder}, with a listening socket and the end of a pipe for output.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime import __main__ as server
from runtime import zygote


def main() -> None:
    zygote.serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:], _serve)


def _serve(order: Mapping[str, Any], fds: Sequence[int]) -> None:
    """An instance like one that was started anew."""
    listener, output = fds
    os.setpgid(0, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    _set_environment({**order["env"], "PENSTOCK_LISTEN_FD": str(listener)})
    os.chdir(order["cwd"])
    sys.argv = ["runtime"]
    server.main()


def _set_environment(environment: dict[str, str]) -> None:
    """For Python, for C, and as the system shows it in /proc: who looks for a function's processes looks there."""
    os.environ.clear()
    os.environ.update(environment)
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    begin, end = int(fields[47]), int(fields[48])
    block = b"".join(f"{name}={value}\0".encode() for name, value in environment.items())
    if 0 < len(block) <= end - begin:
        ctypes.memmove(begin, block.ljust(end - begin, b"\0"), end - begin)


if __name__ == "__main__":
    main()
