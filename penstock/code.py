"""The code of a function that brings a folder: what of it counts, and how a change is noticed."""

from __future__ import annotations

import hashlib
from pathlib import Path

IGNORED = frozenset({"__pycache__", ".git", ".venv", ".mypy_cache", ".pytest_cache", ".ruff_cache"})
"""Names that never belong to a function."""


def folder_digest(folder: Path) -> str:
    """SHA-256 over names and contents of a function's folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not IGNORED.intersection(name.parts):
            digest.update(str(name).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
