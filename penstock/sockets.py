"""Where the Unix sockets of a data-dir are."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

_LONGEST = 100
"""Bytes of a Unix socket's name that every system takes."""


def socket_path(data_dir: Path, name: str) -> Path:
    """`name` below the data-dir; elsewhere if that path is too long for a socket."""
    path = data_dir / name
    if len(str(path).encode()) <= _LONGEST:
        return path
    digest = hashlib.sha256(str(data_dir).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"penstock-{digest}" / path.name
