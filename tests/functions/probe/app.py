"""Looks at the cage it is in: who it is, what it may write, whom it can reach, what it is told."""

import os
import socket
from pathlib import Path
from typing import Any


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    status = Path("/proc/self/status").read_text().splitlines()
    return {
        "uid": os.getuid(),
        "status": dict(line.split(":\t", 1) for line in status if ":\t" in line),
        "environment": sorted(os.environ),
        "write": {path: _write(path) for path in event.get("write", ())},
        "connect": {f"{host}:{port}": _connect(host, port) for host, port in event.get("connect", ())},
        "raw_socket": _raw_socket(),
    }


def _write(path: str) -> str:
    try:
        Path(path).write_text("x")
    except OSError as error:
        return os.strerror(error.errno or 0)
    Path(path).unlink()
    return "written"


def _connect(host: str, port: int) -> str:
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except TimeoutError:
        return "timed out"
    except OSError as error:
        return os.strerror(error.errno or 0)
    return "connected"


def _raw_socket() -> str:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
    except OSError as error:
        return os.strerror(error.errno or 0)
    return "opened"
